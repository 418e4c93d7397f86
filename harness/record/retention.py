"""How long recordings stay: runs by age and tenant, folders by size; what goes leaves its root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from harness.cassette.footer import SegmentRun
from harness.cassette.segment import Segment, read_segment
from harness.cassette.tombstones import delete_runs
from harness.errors import CassetteError
from harness.record.sealing import SEGMENT_SUFFIX
from runtime.core.canonical import fingerprint

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept; `None` is no limit.

    Attributes:
        days: Age from which a run is deleted.
        days_by_tenant: The same for single tenants, in place of `days`.
        max_bytes: Bytes of all segments of the folder; above it the oldest segments go as a whole.
        max_bytes_by_tenant: Bytes of one tenant's runs; above it its oldest runs are deleted.
    """

    days: float | None = None
    days_by_tenant: Mapping[str, float] = field(default_factory=dict)
    max_bytes: int | None = None
    max_bytes_by_tenant: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_set(self) -> bool:
        """Whether anything is ever deleted."""
        return bool(
            self.days is not None or self.days_by_tenant or self.max_bytes or self.max_bytes_by_tenant
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What a round of retention deleted."""

    runs: int = 0
    files: int = 0


def apply_retention(folder: Path, retention: Retention, *, now: datetime) -> Cleared:
    """Delete what is too old or too much.

    A segment of which every run goes is removed as a file; of others the runs are deleted, see `delete_runs`.
    Files that are no readable segments are left alone.

    Raises:
        CassetteError: If a file cannot be written or removed.
    """
    segments = _segments(folder)
    gone: dict[str, set[str]] = {}
    for segment in segments:
        gone[segment.name] = {run.run_id for run in segment.runs if _is_old(run, segment, retention, now)}
    for tenant, limit in retention.max_bytes_by_tenant.items():
        _trim_tenant(segments, gone, tenant, limit)
    if retention.max_bytes is not None:
        _trim_folder(segments, gone, retention.max_bytes)
    runs = files = 0
    for segment in segments:
        names = gone[segment.name]
        path = Path(segment.name)
        if not names:
            continue
        runs += len(names)
        if len(names) == len(segment.runs):
            _unlink(path)
            files += 1
        else:
            delete_runs(path, names, now=now)
    return Cleared(runs=runs, files=files)


def _segments(folder: Path) -> list[Segment]:
    """Return the readable segments of a folder, oldest first."""
    found: list[Segment] = []
    for path in sorted(folder.glob(f"*{SEGMENT_SUFFIX}")):
        try:
            found.append(read_segment(path))
        except CassetteError:
            continue
    return sorted(found, key=lambda segment: segment.footer.sealed_at or "")


def _is_old(run: SegmentRun, segment: Segment, retention: Retention, now: datetime) -> bool:
    days = retention.days
    for tenant, own in retention.days_by_tenant.items():
        if _is_of(run, tenant):
            days = own
    began = _moment(run, segment)
    return days is not None and began is not None and now - began >= days * _DAY


def _moment(run: SegmentRun, segment: Segment) -> datetime | None:
    """Return when a run began, or was sealed where that is not known."""
    for text in (run.started_at, segment.footer.sealed_at):
        if text is not None:
            try:
                found = datetime.fromisoformat(text)
            except ValueError:
                continue
            if found.tzinfo is not None:
                return found
    return None


def _trim_tenant(segments: list[Segment], gone: dict[str, set[str]], tenant: str, limit: int) -> None:
    own = [(s, r) for s in segments for r in s.runs if _is_of(r, tenant) and r.run_id not in gone[s.name]]
    own.sort(key=lambda pair: pair[1].started_at or pair[0].footer.sealed_at or "")
    excess = sum(run.length for _, run in own) - limit
    for segment, run in own:
        if excess <= 0:
            return
        gone[segment.name].add(run.run_id)
        excess -= run.length


def _trim_folder(segments: list[Segment], gone: dict[str, set[str]], limit: int) -> None:
    sizes = {segment.name: segment.ranges.size() for segment in segments}
    excess = sum(sizes.values()) - limit
    for segment in segments:
        if excess <= 0:
            return
        gone[segment.name] = {run.run_id for run in segment.runs}
        excess -= sizes[segment.name]


def _is_of(run: SegmentRun, tenant: str) -> bool:
    return run.tenant in {tenant, fingerprint(tenant)}


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CassetteError(f"cannot be removed: {error.strerror}", where=str(path)) from error
