"""Segments: many runs in one `*.seg` file, each opened and verified alone; see `footer` for the container."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.cassette.dictionary import common_text
from harness.cassette.files import FileOut, guarded, replace_file, unpack
from harness.cassette.footer import (
    MAGIC,
    VERSION,
    Footer,
    Place,
    SegmentRun,
    Tail,
    check_head,
    damaged,
    encode_tail,
    read_tail,
    read_tail_if,
)
from harness.cassette.limits import MAX_DICTIONARY_BYTES, MAX_RUN_BYTES
from harness.cassette.merkle import merkle_root
from harness.cassette.ranges import FileRanges, Ranges
from harness.cassette.redact import refuse_secrets
from harness.errors import CassetteError, UsageError
from runtime.core.canonical import fingerprint
from runtime.core.run import Header
from runtime.journal.files import check_root
from runtime.journal.recording import Recording, recording_of
from runtime.journal.records import Chain, EndBody, Record, decode_payload, encode_payload

__all__ = [
    "Segment",
    "SegmentRun",
    "SegmentWriter",
    "merkle_root",
    "open_segment",
    "open_segment_if",
    "read_segment",
]

_LEVEL = 9
_SAMPLE_RUNS, _SAMPLE_BYTES = 64, 4 * 1024 * 1024
"""Runs that are looked at for common text before the first is written."""


class _Waiting(msgspec.Struct, frozen=True):
    """A run that waits for the dictionary."""

    header: Header
    data: bytes
    entry: SegmentRun


class SegmentWriter:
    """Writes a segment to a temporary name and renames it when its block ends without an error.

    Memory is the first runs, one run and the footer, whatever the number of runs.

    Args:
        path: Where to.
        overwrite: Replace a file that is there.
        tenant_blind: Name tenants in the footer by their fingerprint only.

    Attributes:
        sampled_out: Runs that were left out by rule; stated in the footer.
        dropped: Runs that were left out because their recording was not whole; stated in the footer.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        tenant_blind: bool = False,
        sealed_at: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.sampled_out = self.dropped = 0
        self._runs: list[SegmentRun] = []
        self._known: set[str] = set()
        self._waiting: list[_Waiting] | None = []
        self._waiting_bytes = 0
        self._common = b""
        self._blind = tenant_blind
        self._sealed_at = sealed_at
        self._swap = replace_file(self.path, overwrite=overwrite)

    def __enter__(self) -> SegmentWriter:
        self._file: FileOut = self._swap.__enter__()
        self._file.write(MAGIC)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            try:
                self._finish()
            except BaseException as own:
                self._swap.__exit__(type(own), own, own.__traceback__)
                raise
        self._swap.__exit__(kind, error, trace)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._known

    def __len__(self) -> int:
        return len(self._known)

    def add(
        self, records: Iterable[Record], *, run_id: str | None = None, flags: tuple[str, ...] = ()
    ) -> None:
        """Add the records of one run.

        Args:
            records: In order of arrival, begin first.
            run_id: In place of the header's, where a journal holds two executions of one name.
            flags: Facts for the footer; see `SegmentRun.flags`.

        Raises:
            UsageError: If the run is in the segment already.
            CassetteError: If the records do not begin with a header, look secret, or are too many.
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
        name = run_id or header.run_id
        if name in self._known:
            raise UsageError(f"run {name!r} is in the segment already", where=str(self.path))
        data = b"\n".join(lines)
        if len(data) > MAX_RUN_BYTES:
            raise CassetteError(
                f"run {name!r} passes the limit of {MAX_RUN_BYTES} bytes", where=str(self.path)
            )
        refuse_secrets(data, header, where=str(self.path))
        self._known.add(name)
        entry = SegmentRun(
            request_id=header.request_id,
            run_id=name,
            offset=0,
            length=0,
            size=len(data),
            crc="",
            root=chain.root,
            tenant=fingerprint(header.tenant) if self._blind else header.tenant,
            task=header.task,
            stop_reason=stop_reason,
            records=len(lines),
            flags=flags,
            started_at=header.started_at,
        )
        self._put(_Waiting(header, data, entry))

    def _put(self, run: _Waiting) -> None:
        if self._waiting is None:
            self._write(run)
            return
        self._waiting.append(run)
        self._waiting_bytes += len(run.data)
        if len(self._waiting) >= _SAMPLE_RUNS or self._waiting_bytes >= _SAMPLE_BYTES:
            self._settle()

    def _settle(self) -> None:
        """Make the dictionary from the runs seen so far, then write them."""
        import zstandard

        waiting, self._waiting = self._waiting or [], None
        if len(waiting) > 1:
            self._common = common_text(run.header for run in waiting)
            shared = zstandard.ZstdCompressionDict(self._common, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            shared.precompute_compress(level=_LEVEL)
            self._pack = zstandard.ZstdCompressor(level=_LEVEL, dict_data=shared).compress
        else:
            self._pack = zstandard.ZstdCompressor(level=_LEVEL).compress
        for run in waiting:
            self._write(run)

    def _write(self, run: _Waiting) -> None:
        frame = self._pack(run.data)
        self._runs.append(
            msgspec.structs.replace(
                run.entry, offset=self._file.tell(), length=len(frame), crc=f"{zlib.crc32(frame):08x}"
            )
        )
        self._file.write(frame)

    def _finish(self) -> None:
        import zstandard

        if self._waiting is not None:
            self._settle()
        dictionary = None
        if self._common:
            frame = zstandard.ZstdCompressor(level=19).compress(self._common)
            dictionary = Place(
                offset=self._file.tell(),
                length=len(frame),
                size=len(self._common),
                crc=f"{zlib.crc32(frame):08x}",
            )
            self._file.write(frame)
        footer = Footer(
            version=VERSION,
            root=merkle_root([run.root for run in self._runs]),
            runs=tuple(self._runs),
            dictionary=dictionary,
            sealed_at=self._sealed_at,
            sampled_out=self.sampled_out,
            dropped=self.dropped,
        )
        self._file.write(encode_tail(footer))


class Segment:
    """A segment that was opened: its index in memory, its runs where they are stored.

    Attributes:
        name: What it is called in messages: its path or address.
        footer: The index as it was read.
        version: Container version, 0 or 1.
        root: Merkle root over the runs' roots.
        runs: Entries of the runs that are there, in file order.
        tombstones: Entries of the runs that were deleted.
    """

    def __init__(self, ranges: Ranges, tail: Tail) -> None:
        footer = tail.footer
        self.ranges = ranges
        self.name = ranges.name
        self.footer = footer
        self.version = footer.version
        self.root = footer.root
        self.runs = tuple(run for run in footer.runs if not run.is_deleted)
        self.tombstones = tuple(run for run in footer.runs if run.is_deleted)
        self._packed = tail.dictionary
        self._shared: bytes | None = None
        self._places: dict[str, list[SegmentRun]] | None = None

    def find(self, name: str) -> SegmentRun:
        """Return the entry of a run.

        Args:
            name: Request id, or run id where several runs share a request id.

        Raises:
            CassetteError: If there is no such run, or it was deleted.
            UsageError: If the name fits several runs.
        """
        found = self._index().get(name, [])
        there = [run for run in found if not run.is_deleted]
        if len(there) == 1:
            return there[0]
        if there:
            ids = ", ".join(run.run_id for run in there[:5])
            raise UsageError(f"{name!r} names {len(there)} runs", where=self.name, next_step=f"use {ids}")
        if found:
            raise CassetteError(
                f"run {name!r} was deleted at {found[0].deleted_at}; its root was {found[0].root}",
                where=self.name,
            )
        raise CassetteError(
            f"no run {name!r} among {len(self.runs)}",
            where=self.name,
            next_step=f"list its runs with `goldrun show {self.name}`",
        )

    def open(self, name: str) -> Recording:
        """Return a run, verified against its root; `name` and errors as `find`.

        Raises:
            CassetteError: If the run is damaged.
        """
        return self.load(self.find(name))

    def __iter__(self) -> Iterator[Recording]:
        return map(self.load, self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def load(self, run: SegmentRun) -> Recording:
        """Return the run of an entry, verified.

        Raises:
            CassetteError: If it is damaged.
        """
        where = f"{self.name}#{run.request_id}"
        records = self.records(run)
        with guarded(where):
            return recording_of(records, source=where)

    def records(self, run: SegmentRun) -> list[Record]:
        """Return the records of an entry's run, verified against frame checksum and root.

        Raises:
            CassetteError: If it is damaged.
        """
        where = f"{self.name}#{run.request_id}"
        data = unpack(self.frame(run), run.size, where=where, dictionary=self._dictionary())
        chain = Chain()
        records: list[Record] = []
        with guarded(where):
            for number, payload in enumerate(data.split(b"\n"), 1):
                record = decode_payload(payload, where=f"{where}, record {number}")
                check_root(record, chain.root, where=where)
                chain.extend(payload)
                records.append(record)
        if chain.root != run.root or len(records) != run.records:
            raise damaged("the run's records do not fit their root", where)
        return records

    def frame(self, run: SegmentRun) -> bytes:
        """Return the compressed bytes of a run, their checksum checked.

        Raises:
            CassetteError: If they are damaged.
        """
        return self._frame(run.offset, run.length, run.crc, f"{self.name}#{run.request_id}")

    def dictionary_frame(self) -> bytes | None:
        """Return the compressed dictionary, its checksum checked; `None` if there is none.

        Raises:
            CassetteError: If it is damaged.
        """
        place = self.footer.dictionary
        if place is None:
            return None
        where = f"{self.name}, dictionary"
        if self._packed is None:
            self._packed = self._frame(place.offset, place.length, place.crc, where)
        if f"{zlib.crc32(self._packed):08x}" != place.crc:
            raise damaged("the bytes do not fit their checksum", where)
        return self._packed

    def _dictionary(self) -> bytes | None:
        place = self.footer.dictionary
        if self._shared is None and place is not None:
            frame = self.dictionary_frame() or b""
            where = f"{self.name}, dictionary"
            self._shared = unpack(frame, place.size, where=where, limit=MAX_DICTIONARY_BYTES)
        return self._shared

    def _frame(self, offset: int, length: int, crc: str, where: str) -> bytes:
        frame = self.ranges.read(offset, length)
        if len(frame) != length or f"{zlib.crc32(frame):08x}" != crc:
            raise damaged("the run's bytes do not fit their checksum", where)
        return frame

    def _index(self) -> dict[str, list[SegmentRun]]:
        if self._places is None:
            self._places = {}
            for run in self.footer.runs:
                for name in {run.request_id, run.run_id}:
                    self._places.setdefault(name, []).append(run)
        return self._places


def read_segment(path: str | Path) -> Segment:
    """Open a segment of the local disk by its index; runs are read when they are asked for.

    Raises:
        CassetteError: If the file is missing, empty, damaged or no segment.
    """
    ranges = FileRanges(Path(path))
    segment = open_segment(ranges)
    check_head(ranges, segment.version)
    return segment


def open_segment(ranges: Ranges) -> Segment:
    """Open a segment by its index, with one read of its end where the index is not very long.

    Raises:
        CassetteError: If it is missing, empty, damaged or no segment.
    """
    return Segment(ranges, read_tail(ranges))


def open_segment_if(ranges: Ranges, name: str) -> Segment | None:
    """Open a segment if its index names a run so; `None` if it does not, which is told without decoding it.

    Raises:
        CassetteError: As `open_segment`.
    """
    tail = read_tail_if(ranges, name)
    return None if tail is None else Segment(ranges, tail)
