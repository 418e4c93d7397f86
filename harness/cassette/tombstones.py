"""Delete runs from a segment: their frames go, their roots stay, so that the segment's root is still the same."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import msgspec

from harness.cassette.file_io import replace_file
from harness.cassette.footer import MAGIC, VERSION, SegmentRun, encode_tail
from harness.cassette.segment import Segment, read_segment
from harness.errors import CassetteError


def delete_runs(path: Path, names: Collection[str], *, now: datetime) -> int:
    """Delete runs from a segment, leaving a tombstone with the root of each.

    The file is written anew and replaced as a whole; the other runs keep their bytes. What a tombstone says is
    request id, run id, tenant, root and when it was deleted.

    Args:
        path: The segment.
        names: Request ids or run ids; a request id deletes each of its runs.
        now: When it is done.

    Returns:
        How many runs were deleted.

    Raises:
        CassetteError: If a name is not in the segment, or the file is damaged or cannot be written.
    """
    segment = read_segment(path)
    wanted = set(names)
    gone = [run for run in segment.runs if run.run_id in wanted or run.request_id in wanted]
    missing = wanted - {name for run in segment.footer.runs for name in (run.run_id, run.request_id)}
    if missing:
        raise CassetteError(f"no run {min(missing)!r} in this segment", where=str(path))
    if gone:
        _rewrite(path, segment, {run.run_id for run in gone}, now)
    return len(gone)


def _rewrite(path: Path, segment: Segment, gone: set[str], now: datetime) -> None:
    stamp = now.isoformat(timespec="seconds")
    runs: list[SegmentRun] = []
    with replace_file(path, overwrite=True) as file:
        file.write(MAGIC)
        for run in segment.footer.runs:
            if run.is_deleted:
                runs.append(run)
            elif run.run_id in gone:
                runs.append(_tombstone(run, stamp))
            else:
                runs.append(msgspec.structs.replace(run, offset=file.tell()))
                file.write(segment.frame(run))
        place, frame = segment.footer.dictionary, segment.dictionary_frame()
        if place is not None and frame is not None:
            place = msgspec.structs.replace(place, offset=file.tell())
            file.write(frame)
        footer = msgspec.structs.replace(segment.footer, version=VERSION, runs=tuple(runs), dictionary=place)
        file.write(encode_tail(footer))


def _tombstone(run: SegmentRun, stamp: str) -> SegmentRun:
    return SegmentRun(
        request_id=run.request_id,
        run_id=run.run_id,
        offset=0,
        length=0,
        size=0,
        crc="",
        root=run.root,
        tenant=run.tenant,
        stop_reason="",
        records=0,
        deleted_at=stamp,
    )
