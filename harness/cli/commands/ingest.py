"""`goldrun ingest`: recordings become rows of the history, with progress."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.cassette.store import count_recordings, iter_recordings
from harness.cli.output import Advance, progress
from harness.errors import CassetteError
from harness.reports import IngestResult
from harness.reports import ingest as add_rows
from runtime.core.trace import Trace


def ingest_targets(targets: list[str], *, deploy: str, history: Path, git_sha: str | None) -> IngestResult:
    """Add all recordings of some targets to a history.

    Raises:
        CassetteError: If a target holds no recording or a damaged one; the history is as it was.
    """
    total = sum(count_recordings(t) for t in targets)
    if total == 0:
        raise CassetteError("there is no recording to ingest", where=", ".join(targets))
    hashes: dict[str, str] = {}
    with progress("ingesting", total) as advance:
        return add_rows(
            _traces(targets, hashes, advance),
            deploy=deploy,
            history=history,
            cassette_hashes=hashes,
            git_sha=git_sha,
        )


def _traces(targets: list[str], hashes: dict[str, str], advance: Advance) -> Iterator[Trace]:
    for target in targets:
        for recording in iter_recordings(target):
            hashes.clear()
            if recording.root is not None:
                hashes[recording.header.run_id] = recording.root
            advance(1, recording.header.request_id)
            yield recording.trace()


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
