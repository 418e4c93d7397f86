r"""Segments: many runs in one `*.seg` file, each opened and verified alone. Container version 0.

    goldrun.segment/0\n | zstd frame of run 1 | ... | frame of run n | footer (JSON) | trailer
    trailer = footer length (8 bytes, little endian) + CRC-32 of the footer (4) + b"GRSEG/0\n" (8)

A frame holds a run's records as JSON lines. The footer names each run's place, checksum and root; the segment's
root is a Merkle root over the runs' roots. A run opens with two reads: the end of the file and its frame.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.cassette.files import MAX_RUN_BYTES, guarded, replace_file, unpack
from harness.cassette.redact import refuse_secrets
from harness.errors import CassetteError, UsageError
from runtime.core.run import Header
from runtime.journal.files import check_root
from runtime.journal.recording import Recording, recording_of
from runtime.journal.records import Chain, EndBody, Record, decode_payload, encode_payload

VERSION = 0
MAGIC = b"goldrun.segment/0\n"
_TAIL_MAGIC = b"GRSEG/0\n"
_TRAILER_BYTES = 8 + 4 + len(_TAIL_MAGIC)
MAX_FOOTER_BYTES = 1 << 30
_LEVEL = 6


class SegmentRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run's entry in the footer.

    Attributes:
        request_id: Finds the run.
        run_id: Names the execution; unique in the segment.
        offset: First byte of its frame.
        length: Bytes of its frame.
        size: Bytes of its records before compression.
        crc: CRC-32 of its frame, in hex.
        root: SHA-256 chain over its records.
        tenant: From the header.
        task: From the header.
        stop_reason: From the end; `crashed` if it was cut off.
        records: How many records it has.
    """

    request_id: str
    run_id: str
    offset: int
    length: int
    size: int
    crc: str
    root: str
    tenant: str
    task: str | None
    stop_reason: str
    records: int


class _Footer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    root: str
    runs: tuple[SegmentRun, ...]


class SegmentWriter:
    """Writes a segment to a temporary name and renames it when its block ends without an error.

    Memory is one run and the footer, whatever the number of runs.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.runs: list[SegmentRun] = []
        self._known: set[str] = set()
        self._swap = replace_file(self.path, overwrite=overwrite)

    def __enter__(self) -> SegmentWriter:
        import zstandard

        self._pack = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._file = self._swap.__enter__()
        self._file.write(MAGIC)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self._finish()
        self._swap.__exit__(kind, error, trace)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._known

    def add(self, records: Iterable[Record]) -> SegmentRun:
        """Add the records of one run.

        Returns:
            Its entry in the footer.

        Raises:
            UsageError: If the run is in the segment already.
            CassetteError: If the records do not begin with a header, or look secret.
        """
        chain, lines = Chain(), []
        header: Header | None = None
        stop_reason = "crashed"
        for record in records:
            payload = encode_payload(record)
            chain.extend(payload)
            lines.append(payload)
            if record.phase == "begin":
                header = msgspec.json.decode(record.request, type=Header)
            elif record.phase == "end":
                stop_reason = msgspec.json.decode(record.outcome, type=EndBody).stop_reason
        if header is None:
            raise CassetteError("the run does not begin with a header", where=str(self.path))
        if header.run_id in self._known:
            raise UsageError(f"run {header.run_id!r} is in the segment already", where=str(self.path))
        data = b"\n".join(lines)
        refuse_secrets(data, header, where=str(self.path))
        frame = self._pack(data)
        entry = SegmentRun(
            request_id=header.request_id,
            run_id=header.run_id,
            offset=self._file.tell(),
            length=len(frame),
            size=len(data),
            crc=f"{zlib.crc32(frame):08x}",
            root=chain.root,
            tenant=header.tenant,
            task=header.task,
            stop_reason=stop_reason,
            records=len(lines),
        )
        self._file.write(frame)
        self._known.add(header.run_id)
        self.runs.append(entry)
        return entry

    def _finish(self) -> None:
        footer = _Footer(
            version=VERSION, root=merkle_root([run.root for run in self.runs]), runs=tuple(self.runs)
        )
        data = msgspec.json.encode(footer)
        self._file.write(data)
        self._file.write(len(data).to_bytes(8, "little") + zlib.crc32(data).to_bytes(4, "little"))
        self._file.write(_TAIL_MAGIC)


class Segment:
    """A segment that was opened: its index in memory, its runs on disk.

    Attributes:
        path: The file.
        version: Container version, 0.
        root: Merkle root over the runs' roots.
        runs: The index, in file order.
    """

    def __init__(self, path: Path, footer: _Footer) -> None:
        self.path = path
        self.version = footer.version
        self.root = footer.root
        self.runs = footer.runs
        self._places: dict[str, list[int]] = {}
        for place, run in enumerate(footer.runs):
            self._places.setdefault(run.request_id, []).append(place)
            if run.run_id != run.request_id:
                self._places.setdefault(run.run_id, []).append(place)

    def open(self, name: str) -> Recording:
        """Return a run, verified against its root.

        Args:
            name: Request id, or run id where several runs share a request id.

        Raises:
            CassetteError: If there is no such run, or it is damaged.
            UsageError: If the name fits several runs.
        """
        places = self._places.get(name)
        if not places:
            raise CassetteError(
                f"no run {name!r} among {len(self.runs)}",
                where=str(self.path),
                next_step=f"list its runs with `goldrun show {self.path}`",
            )
        if len(places) > 1:
            ids = ", ".join(self.runs[place].run_id for place in places[:5])
            raise UsageError(
                f"{name!r} names {len(places)} runs", where=str(self.path), next_step=f"use {ids}"
            )
        return self._load(self.runs[places[0]])

    def __iter__(self) -> Iterator[Recording]:
        return map(self._load, self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def _load(self, run: SegmentRun) -> Recording:
        where = f"{self.path}#{run.request_id}"
        records = self._records(run, where)
        with guarded(where):
            return recording_of(records, source=where)

    def _records(self, run: SegmentRun, where: str) -> list[Record]:
        try:
            with self.path.open("rb") as file:
                file.seek(run.offset)
                frame = file.read(run.length)
        except OSError as error:
            raise CassetteError(f"cannot be read: {error.strerror}", where=where) from error
        if len(frame) != run.length or f"{zlib.crc32(frame):08x}" != run.crc:
            raise _damaged("the run's bytes do not fit their checksum", where)
        data = unpack(frame, run.size, where=where)
        chain = Chain()
        records: list[Record] = []
        with guarded(where):
            for number, payload in enumerate(data.split(b"\n"), 1):
                record = decode_payload(payload, where=f"{where}, record {number}")
                check_root(record, chain.root, where=where)
                chain.extend(payload)
                records.append(record)
        if chain.root != run.root or len(records) != run.records:
            raise _damaged("the run's records do not fit their root", where)
        return records


def read_segment(path: str | Path) -> Segment:
    """Open a segment by its index; runs are read when they are asked for.

    Raises:
        CassetteError: If the file is missing, empty, damaged or no segment.
    """
    path = Path(path)
    where = str(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(len(MAGIC))
            if head != MAGIC:
                raise CassetteError(
                    "the file is empty"
                    if size == 0
                    else "not a segment: it does not begin with its magic line",
                    where=where,
                    next_step="give a *.seg file made by `goldrun import` or `goldrun record`",
                )
            file.seek(max(size - _TRAILER_BYTES, 0))
            trailer = file.read(_TRAILER_BYTES)
            length = int.from_bytes(trailer[:8], "little")
            start = size - _TRAILER_BYTES - length
            if not trailer.endswith(_TAIL_MAGIC) or length > MAX_FOOTER_BYTES or start < len(MAGIC):
                raise _damaged("the segment is cut off: its trailer is missing", where)
            file.seek(start)
            data = file.read(length)
    except OSError as error:
        raise CassetteError(f"cannot be read: {error.strerror}", where=where) from error
    if zlib.crc32(data).to_bytes(4, "little") != trailer[8:12]:
        raise _damaged("the segment's footer does not fit its checksum", where)
    footer = _decode_footer(data, where)
    _check_places(footer, start, where)
    return Segment(path, footer)


def merkle_root(roots: list[str]) -> str:
    """Return the Merkle root over runs' roots: leaves and nodes are hashed with different prefixes."""
    level = [hashlib.sha256(b"\0" + root.encode()).digest() for root in roots]
    if not level:
        return hashlib.sha256(b"goldrun.segment/empty").hexdigest()
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\1" + b"".join(pair)).digest() for pair in pairs]
    return level[0].hex()


def _decode_footer(data: bytes, where: str) -> _Footer:
    try:
        footer = msgspec.json.decode(data, type=_Footer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _damaged(f"the segment's footer is wrong: {error}", where) from error
    if footer.version != VERSION:
        raise CassetteError(
            f"segment version {footer.version} is not known here, {VERSION} is",
            where=where,
            next_step="update goldrun",
        )
    if footer.root != merkle_root([run.root for run in footer.runs]):
        raise _damaged("the segment's root does not fit its runs", where)
    if not footer.runs:
        raise CassetteError("the segment holds no run", where=where, next_step="import or record it again")
    return footer


def _check_places(footer: _Footer, end: int, where: str) -> None:
    expected = len(MAGIC)
    for run in footer.runs:
        if run.offset != expected or run.length <= 0 or not 0 < run.size <= MAX_RUN_BYTES:
            raise _damaged(f"the place of run {run.request_id!r} is wrong", where)
        expected += run.length
    if expected != end:
        raise _damaged("the runs do not fill the segment", where)


def _damaged(what: str, where: str) -> CassetteError:
    return CassetteError(what, where=where, next_step="take the file from a backup, or import it again")
