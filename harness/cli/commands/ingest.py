"""`goldrun ingest`: recordings become rows of the history, with progress."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from harness.cassette.store import count_recordings, iter_recordings
from harness.cli.options import HISTORY, History, Json
from harness.cli.output import Advance, emit_json, progress, say
from harness.errors import CassetteError
from harness.reports import IngestResult
from harness.reports import ingest as add_rows
from runtime.core.trace import Trace
from runtime.errors import ExitCode


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Cassettes, segments, journals or folders of them.")],
    deploy: Annotated[str, typer.Option(help="Version label that reports compare.")],
    history: History = HISTORY,
    git_sha: Annotated[str | None, typer.Option(help="Commit of the deployed code.")] = None,
    json: Json = False,
) -> int:
    """Add recorded runs to the history under a deploy label; adding twice changes nothing."""
    result = ingest_targets(paths, deploy=deploy, history=history, git_sha=git_sha)
    if json:
        emit_json(
            {
                "schema": "goldrun.ingest/1",
                "deploy": deploy,
                "added": result.added,
                "duplicates": result.duplicates,
                "history": str(history),
            }
        )
    else:
        say(f"added {result.added} runs to deploy {deploy} ({result.duplicates} were there) in {history}")
    return ExitCode.OK


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
