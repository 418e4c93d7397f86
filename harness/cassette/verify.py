"""Say of recordings whether they are intact and whether they are complete, which are two questions.

Intact: every checksum, chain and root fits. Complete: every run has its end, and no record was torn off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.cassette.file_io import guarded, refuse_special
from harness.cassette.golden_cassette import read_cassette
from harness.cassette.segment import Segment, SegmentRun, read_segment
from harness.cassette.store import kind_of, recording_files
from harness.errors import CassetteError
from runtime.core.canonical import fingerprint
from runtime.core.stored_header import read_header
from runtime.journal.files import read_journal
from runtime.journal.recording import recording_of
from runtime.journal.records import EndBody

SHOWN_RUNS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found in one file.

    Attributes:
        path: The file.
        kind: cassette, segment, journal or http.
        intact: Whether everything that is there is as it was written.
        complete: Whether nothing is missing; false where it is not intact.
        runs: Runs that were read.
        cut_off: Request ids of runs without an end, the first hundred.
        deleted: Runs of which a tombstone is left.
        torn_bytes: Bytes of a torn last record.
        root: Root of the file, where it states one.
        error: What is damaged.
        gaps: What was not recorded, in words.
    """

    path: str
    kind: str
    intact: bool
    complete: bool
    runs: int = 0
    cut_off: tuple[str, ...] = ()
    deleted: int = 0
    torn_bytes: int = 0
    root: str | None = None
    error: str | None = None
    gaps: tuple[str, ...] = ()


Verifier = Callable[[Path], Verified | None]
"""Verifies a file that is named like a journal; `None` if it is an ordinary journal."""


def verify_path(path: Path, *, other: Verifier | None = None) -> list[Verified]:
    """Verify a file, or every recording below a folder; damage is an answer here, no exception.

    Args:
        path: The file or folder.
        other: Verifies journals that hold no runs of ours.

    Raises:
        CassetteError: If there is no such file, or the folder holds no recording.
    """
    refuse_special(path)
    if not path.exists():
        raise CassetteError("there is no such file or folder", where=str(path), next_step="check the path")
    files = recording_files(path) if path.is_dir() else [path]
    return [verify_file(file, other=other) for file in files]


def verify_file(path: Path, *, other: Verifier | None = None) -> Verified:
    """Verify one recording, reading all of it; `other` as of `verify_path`."""
    kind = "unknown"
    try:
        kind = kind_of(path)
        match kind:
            case "cassette":
                return _cassette(path)
            case "segment":
                return verify_segment(read_segment(path))
            case _ if other is not None and (verified := other(path)) is not None:
                return verified
            case _:
                return _journal(path)
    except CassetteError as error:
        return Verified(path=str(path), kind=kind, intact=False, complete=False, error=error.what)


def verify_segment(segment: Segment) -> Verified:
    """Verify an opened segment: each run against its root, and the index against the runs.

    Raises:
        CassetteError: If something does not fit.
    """
    segment.dictionary_frame()
    cut_off = [run.request_id for run in segment.runs if not _check_run(segment, run)]
    return Verified(
        path=segment.name,
        kind="segment",
        intact=True,
        complete=not cut_off,
        runs=len(segment.runs),
        cut_off=tuple(cut_off[:SHOWN_RUNS]),
        deleted=len(segment.tombstones),
        root=segment.root,
    )


def _check_run(segment: Segment, run: SegmentRun) -> bool:
    """Check a run and what the index says of it; return whether it has its end."""
    records = segment.records(run)
    where = f"{segment.name}#{run.request_id}"
    with guarded(where):
        recording = recording_of(records, source=where)
    header = recording.header
    stated = (run.request_id, run.task, run.stop_reason)
    if stated != (header.request_id, header.task, recording.stop_reason):
        raise CassetteError("the index says other things of a run than its records", where=where)
    if run.tenant not in {header.tenant, fingerprint(header.tenant)}:
        raise CassetteError("the index names another tenant than the run", where=where)
    return recording.end is not None


def _cassette(path: Path) -> Verified:
    recording = read_cassette(path)
    cut_off = () if recording.end is not None else (recording.header.request_id,)
    return Verified(
        path=str(path),
        kind="cassette",
        intact=True,
        complete=not cut_off,
        runs=1,
        cut_off=cut_off,
        root=recording.root,
    )


def _journal(path: Path) -> Verified:
    cut_off: list[str] = []
    reader = read_journal(path)
    with guarded(str(path)):
        for run in reader:
            try:
                header = read_header(run.records[0].request)
                if run.ended:
                    msgspec.json.decode(run.records[-1].outcome, type=EndBody)
                else:
                    cut_off.append(header.request_id)
            except (msgspec.DecodeError, RecursionError) as error:
                raise CassetteError(f"run {run.run!r} is wrong: {error}", where=str(path)) from error
    return Verified(
        path=str(path),
        kind="journal",
        intact=True,
        complete=not cut_off and not reader.torn_bytes,
        runs=reader.runs,
        cut_off=tuple(cut_off[:SHOWN_RUNS]),
        torn_bytes=reader.torn_bytes,
    )
