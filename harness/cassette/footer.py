r"""The end of a segment: the index of its runs, their roots, and where its dictionary is. Versions 0 and 1.

    goldrun.segment/1\n | frame of run 1 | ... | frame of run n | dictionary frame | footer (JSON) | trailer
    trailer = footer length (8 bytes, little endian) + CRC-32 of the footer (4) + b"GRSEG/1\n" (8)

The dictionary stands in front of the footer and not of the runs, so that one read of the end brings both.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import msgspec

from harness.cassette.limits import MAX_DICTIONARY_BYTES, MAX_FOOTER_BYTES, MAX_RUN_BYTES
from harness.cassette.merkle import merkle_root
from harness.cassette.ranges import Ranges
from harness.errors import CassetteError

VERSION = 1
MAGIC = b"goldrun.segment/1\n"
TAIL_MAGIC = b"GRSEG/1\n"
_VERSIONS = {b"goldrun.segment/0\n": 0, MAGIC: 1}
_TAILS = {b"GRSEG/0\n": 0, TAIL_MAGIC: 1}
TRAILER_BYTES = 8 + 4 + len(TAIL_MAGIC)
_FIRST_READ_MIN, _FIRST_READ_MAX = 256 * 1024, 8 * 1024 * 1024


class SegmentRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run's entry in the footer.

    Attributes:
        request_id: Finds the run.
        run_id: Names the execution; unique in the segment.
        offset: First byte of its frame.
        length: Bytes of its frame.
        size: Bytes of its records before compression.
        crc: CRC-32 of its frame, in hex.
        root: SHA-256 chain over its records.
        tenant: From the header; its fingerprint in a tenant-blind segment.
        task: From the header.
        stop_reason: From the end; `crashed` if it was cut off.
        records: How many records it has.
        flags: Why sampling always keeps it: failed, denied, killed, over_budget, slow, cut_off.
        started_at: From the header.
        deleted_at: When the run was deleted, ISO 8601 UTC; its frame is gone, its root stays.
    """

    request_id: str
    run_id: str
    offset: int
    length: int
    size: int
    crc: str
    root: str
    tenant: str
    task: str | None = None
    stop_reason: str
    records: int
    flags: tuple[str, ...] = ()
    started_at: str | None = None
    deleted_at: str | None = None

    @property
    def is_deleted(self) -> bool:
        """Whether only the run's root is left."""
        return self.deleted_at is not None


class FramePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a frame is, how much it holds, and its CRC-32 in hex."""

    offset: int
    length: int
    size: int
    crc: str


class Footer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The index of a segment.

    Attributes:
        version: Container version.
        root: Merkle root over the roots of all runs, deleted ones included.
        runs: Entries in file order; deleted ones keep their place.
        dictionary: The frame of common text that the runs' frames refer to.
        sealed_at: When the segment was made, ISO 8601 UTC.
        sampled_out: Runs that the sampling rule left out.
        dropped: Runs whose recording broke off or looked secret, and that were left out.
    """

    version: int
    root: str
    runs: tuple[SegmentRun, ...]
    dictionary: FramePlace | None = None
    sealed_at: str | None = None
    sampled_out: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of a segment as it was read: the footer, and the dictionary's frame where it came along."""

    footer: Footer
    dictionary: bytes | None


def encode_tail(footer: Footer) -> bytes:
    """Return footer and trailer as they stand in the file."""
    data = msgspec.json.encode(footer)
    return data + len(data).to_bytes(8, "little") + zlib.crc32(data).to_bytes(4, "little") + TAIL_MAGIC


def read_tail(ranges: Ranges) -> Tail:
    """Read a segment's footer and check it.

    Raises:
        CassetteError: If the object is missing, empty, damaged or no segment.
    """
    raw = _read_raw(ranges)
    footer = _decode(raw.data, raw.version, ranges.name)
    _check_offsets(footer, raw.start, ranges.name)
    return Tail(footer=footer, dictionary=_dictionary(footer, raw.tail, raw.begin))


def read_tail_if(ranges: Ranges, name: str) -> Tail | None:
    """Read a segment's footer if it names a run so; else `None`, without decoding the index.

    Raises:
        CassetteError: As `read_tail`.
    """
    raw = _read_raw(ranges)
    if msgspec.json.encode(name) not in raw.data:
        return None
    footer = _decode(raw.data, raw.version, ranges.name)
    _check_offsets(footer, raw.start, ranges.name)
    return Tail(footer=footer, dictionary=_dictionary(footer, raw.tail, raw.begin))


@dataclass(frozen=True, slots=True)
class _Raw:
    """The end of a segment: its footer's bytes, where they begin, and what was read from where."""

    version: int
    data: bytes
    start: int
    tail: bytes
    begin: int


def _read_raw(ranges: Ranges) -> _Raw:
    where, size = ranges.name, ranges.size()
    first = min(size, max(_FIRST_READ_MIN, min(size // 16, _FIRST_READ_MAX)))
    tail = ranges.read(size - first, first)
    begin = size - len(tail)
    if begin == 0 and tail[: len(MAGIC)] not in _VERSIONS:
        raise foreign("the file is empty" if size == 0 else "not a segment: it has no magic line", where)
    version = _TAILS.get(tail[-len(TAIL_MAGIC) :])
    length = int.from_bytes(tail[-TRAILER_BYTES : -TRAILER_BYTES + 8], "little")
    start = size - TRAILER_BYTES - length
    if version is None and begin > 0 and ranges.read(0, len(MAGIC)) not in _VERSIONS:
        raise foreign("not a segment: it has no magic line", where)
    if version is None or length > MAX_FOOTER_BYTES or start < len(MAGIC):
        raise damaged("the segment is cut off: its trailer is missing", where)
    if start < begin:
        tail = ranges.read(start, begin - start) + tail
        begin = start
    data = tail[start - begin : -TRAILER_BYTES]
    if zlib.crc32(data).to_bytes(4, "little") != tail[-TRAILER_BYTES + 8 : -len(TAIL_MAGIC)]:
        raise damaged("the segment's footer does not fit its checksum", where)
    return _Raw(version, data, start, tail, begin)


def check_head(ranges: Ranges, version: int) -> None:
    """Check that the magic line names the same version as the trailer.

    Raises:
        CassetteError: If it does not.
    """
    if _VERSIONS.get(ranges.read(0, len(MAGIC))) != version:
        raise foreign("not a segment: its magic line is wrong", ranges.name)


def damaged(what: str, where: str) -> CassetteError:
    """Return the error of a segment that was whole once."""
    return CassetteError(what, where=where, next_step="take the file from a backup, or import it again")


def foreign(what: str, where: str) -> CassetteError:
    """Return the error of a file that is no segment."""
    return CassetteError(
        what, where=where, next_step="give a *.seg file made by `goldrun import` or a recorder"
    )


def _decode(data: bytes, version: int, where: str) -> Footer:
    try:
        footer = msgspec.json.decode(data, type=Footer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(f"the segment's footer is wrong: {error}", where) from error
    if footer.version != version:
        raise damaged(f"the footer says version {footer.version}, the trailer {version}", where)
    if footer.root != merkle_root([run.root for run in footer.runs]):
        raise damaged("the segment's root does not fit its runs", where)
    if not footer.runs:
        raise CassetteError("the segment holds no run", where=where, next_step="import or record it again")
    return footer


def _check_offsets(footer: Footer, end: int, where: str) -> None:
    expected = len(MAGIC)
    for run in footer.runs:
        if run.is_deleted and run.length == 0:
            continue
        if run.offset != expected or run.length <= 0 or not 0 < run.size <= MAX_RUN_BYTES:
            raise damaged(f"the place of run {run.request_id!r} is wrong", where)
        expected += run.length
    place = footer.dictionary
    if place is not None:
        if place.offset != expected or place.length <= 0 or not 0 < place.size <= MAX_DICTIONARY_BYTES:
            raise damaged("the place of the dictionary is wrong", where)
        expected += place.length
    if expected != end:
        raise damaged("the runs do not fill the segment", where)


def _dictionary(footer: Footer, tail: bytes, begin: int) -> bytes | None:
    place = footer.dictionary
    if place is None or place.offset < begin:
        return None
    return tail[place.offset - begin : place.offset - begin + place.length]
