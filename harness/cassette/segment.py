"""Segments: many runs in one `*.seg` file, each opened and verified alone; see `footer` for the container."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from harness.cassette.file_io import guarded, unpack
from harness.cassette.footer import (
    SegmentRun,
    Tail,
    check_head,
    damaged,
    read_tail,
    read_tail_if,
)
from harness.cassette.limits import MAX_DICTIONARY_BYTES
from harness.cassette.merkle import merkle_root
from harness.cassette.ranges import FileRanges, Ranges
from harness.cassette.segment_writer import SegmentWriter
from harness.errors import CassetteError
from runtime.errors import UsageError
from runtime.journal.open_runs import check_root
from runtime.journal.recording import Recording, recording_of
from runtime.journal.records import Chain, Record, decode_payload

__all__ = [
    "Segment",
    "SegmentRun",
    "SegmentWriter",
    "merkle_root",
    "open_segment",
    "open_segment_if",
    "read_segment",
]


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
        self.name: str = ranges.name
        self.footer = footer
        self.version: int = footer.version
        self.root: str = footer.root
        self.runs: tuple[SegmentRun, ...] = tuple(run for run in footer.runs if not run.is_deleted)
        self.tombstones: tuple[SegmentRun, ...] = tuple(run for run in footer.runs if run.is_deleted)
        self._packed = tail.dictionary
        self._shared: bytes | None = None
        self._positions: dict[str, list[SegmentRun]] | None = None

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
        if self._positions is None:
            self._positions = {}
            for run in self.footer.runs:
                for name in {run.request_id, run.run_id}:
                    self._positions.setdefault(name, []).append(run)
        return self._positions


def read_segment(path: str | Path) -> Segment:
    """Open a segment of the local disk by its index; runs are read on first use.

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
    """Open a segment if its index names a run so; `None` if it does not, which is found without decoding it.

    Raises:
        CassetteError: As `open_segment`.
    """
    tail = read_tail_if(ranges, name)
    return None if tail is None else Segment(ranges, tail)
