"""Seal a journal: write the runs that the sampling rule keeps to a segment, then remove the journal.

Theory of operation. A journal is appended to while runs are active, so it is fast to write but slow to search, and its
last record may be torn. A segment is compressed, indexed and never changes. Sealing turns the one into the other, once
no writer has the journal open.

Rules.
1. The segment is complete and synced before the journal is removed. A crash in between leaves both. The next sealing
   finds the segment intact and only removes the journal, so no run is lost or doubled.
2. Runs are read and written one by one, so memory is that of one run.
3. A run without an end is sealed as `crashed`. A run that was sampled out, broke off, or still looks secret is counted
   in the segment's footer, so a reader can tell a complete segment from one with gaps.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.cassette.file_io import guarded
from harness.cassette.segment import SegmentWriter, read_segment
from harness.errors import CassetteError
from harness.record.sampling import Sampling
from runtime.core.stored_header import read_header
from runtime.execution.clock import SystemClock
from runtime.journal.files import read_journal
from runtime.journal.open_runs import RunRecords
from runtime.journal.records import EndBody
from runtime.ports.control_values import RunKey

SEGMENT_SUFFIX, JOURNAL_SUFFIX = ".seg", ".jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The result of sealing a journal.

    Attributes:
        path: The segment; `None` if no run was kept.
        runs: Runs in the segment.
        cut_off: Of these, runs without an end; their stop reason is `crashed`.
        sampled_out: Runs that the sampling rule left out.
        dropped: Runs left out because their recording broke off.
        refused: Runs left out because they looked secret.
        torn_bytes: Bytes of a torn last record that was dropped.
        size_bytes: Size of the segment.
        crashed: All runs of the journal without an end, kept or not.
    """

    path: Path | None
    runs: int = 0
    cut_off: int = 0
    sampled_out: int = 0
    dropped: int = 0
    refused: int = 0
    torn_bytes: int = 0
    size_bytes: int = 0
    crashed: tuple[RunKey, ...] = ()


def seal_journal(
    journal: Path,
    *,
    sampling: Sampling | None = None,
    dropped: Container[str] = frozenset(),
    tenant_blind: bool = False,
    now: datetime | None = None,
    pause: Callable[[], None] | None = None,
) -> Sealed:
    """Write the segment of a journal beside it, then remove the journal.

    If the segment already exists, because a crash came before the removal, only the journal is removed.

    Args:
        journal: A `*.jsonl` that no writer has open.
        sampling: Which runs are kept; all by default.
        dropped: Names of runs whose recording broke off while the run went on.
        tenant_blind: Name tenants in the footer by their fingerprint only.
        now: Time of the sealing.
        pause: Called after each record, so that other threads are not blocked.

    Raises:
        CassetteError: If the journal is damaged, or the segment cannot be written. The journal is then kept.
    """
    target = journal.with_name(journal.name.removesuffix(JOURNAL_SUFFIX) + SEGMENT_SUFFIX)
    if target.exists():
        segment = read_segment(target)
        _remove(journal)
        return Sealed(path=target, runs=len(segment), size_bytes=target.stat().st_size)
    with guarded(str(journal)):
        if journal.stat().st_size == 0:
            _remove(journal)
            return Sealed(path=None)
        return _seal(journal, target, sampling or Sampling(), dropped, tenant_blind, now, pause)


def _seal(
    journal: Path,
    target: Path,
    sampling: Sampling,
    dropped: Container[str],
    tenant_blind: bool,
    now: datetime | None,
    pause: Callable[[], None] | None,
) -> Sealed:
    reader = read_journal(journal, pause=pause)
    runs = iter(reader)
    # No segment is opened until a run is kept: a journal without kept runs leaves no file.
    count = _Count()
    kept = _kept(runs, sampling, dropped, count)
    first = next(kept, None)
    if first is not None:
        stamp = utc_text(now or SystemClock().now())
        with (
            suppress(_NothingKept),
            SegmentWriter(target, tenant_blind=tenant_blind, sealed_at=stamp) as writer,
        ):
            for run, flags in _chain(first, kept):
                _add(writer, run, flags, count)
            if not count.runs:
                raise _NothingKept
            writer.sampled_out, writer.dropped = count.sampled_out, count.dropped + count.refused
    _remove(journal)
    return Sealed(
        path=target if count.runs else None,
        runs=count.runs,
        cut_off=count.cut_off,
        sampled_out=count.sampled_out,
        dropped=count.dropped,
        refused=count.refused,
        torn_bytes=reader.torn_bytes,
        size_bytes=target.stat().st_size if count.runs else 0,
        crashed=tuple(count.crashed),
    )


class _NothingKept(Exception):
    """No run of a journal may be kept; its segment is not written."""


@dataclass(slots=True)
class _Count:
    runs: int = 0
    cut_off: int = 0
    sampled_out: int = 0
    dropped: int = 0
    refused: int = 0
    crashed: list[RunKey] = field(default_factory=list)


_Kept = tuple[RunRecords, tuple[str, ...]]


def _kept(
    runs: Iterator[RunRecords], sampling: Sampling, dropped: Container[str], count: _Count
) -> Iterator[_Kept]:
    for run in runs:
        if run.run in dropped:
            count.dropped += 1
            continue
        header = read_header(run.records[0].request)
        if not run.ended:
            count.crashed.append(
                RunKey(tenant=header.tenant, environment=header.environment, request_id=header.request_id)
            )
        end = msgspec.json.decode(run.records[-1].outcome, type=EndBody) if run.ended else None
        flags = sampling.flags(None if end is None else end.stop_reason, {} if end is None else end.totals)
        if sampling.keeps(header.request_id, flags):
            yield run, flags
        else:
            count.sampled_out += 1


def _chain(first: _Kept, rest: Iterator[_Kept]) -> Iterator[_Kept]:
    yield first
    yield from rest


def _add(writer: SegmentWriter, run: RunRecords, flags: tuple[str, ...], count: _Count) -> None:
    try:
        writer.add(run.records, run_id=run.run or None, flags=flags)
    except CassetteError:
        # One run that still looks secret must not keep the others from being sealed.
        count.refused += 1
        return
    count.runs += 1
    count.cut_off += not run.ended


def utc_text(moment: datetime) -> str:
    """Return a moment as ISO 8601 UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def yield_to_others() -> None:
    """Let another thread run at once, instead of after the interpreter's switch interval of 5 ms."""
    time.sleep(0)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CassetteError(f"cannot be removed: {error.strerror}", where=os.fspath(path)) from error
