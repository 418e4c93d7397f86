"""`goldrun ingest`: add recordings to the history as rows, with progress."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import HISTORY, History, Json
from harness.cli.output import Advance, emit_json, progress, say
from harness.errors import CassetteError
from harness.reports import IngestResult, RunToIngest, recorded_run
from harness.reports import ingest as add_rows
from harness.sessions.recordings import count_recordings, iter_recordings
from runtime.errors import ExitCode
from runtime.journal.recording import Recording


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
                "superseded": list(result.superseded),
                "history": str(history),
            }
        )
    else:
        say(f"added {result.added} runs to deploy {deploy} ({result.duplicates} were there) in {history}")
        if result.superseded:
            say(f"{len(result.superseded)} runs supersede earlier ones: `goldrun history show {deploy}`")
    return ExitCode.OK


def ingest_targets(targets: list[str], *, deploy: str, history: Path, git_sha: str | None) -> IngestResult:
    """Add all recordings of the targets to a history.

    Raises:
        CassetteError: If a target holds no recording or a damaged one. The history is then unchanged.
    """
    total = sum(count_recordings(t) for t in targets)
    if total == 0:
        raise CassetteError("there is no recording to ingest", where=", ".join(targets))
    with progress("ingesting", total) as advance:
        return add_rows(_runs(targets, advance), deploy=deploy, history=history, git_sha=git_sha)


def _runs(targets: list[str], advance: Advance) -> Iterator[RunToIngest]:
    for target in targets:
        for recording in iter_recordings(target):
            advance(1, recording.header.request_id)
            yield recorded_run(recording, _locator(recording))


def _locator(recording: Recording) -> str | None:
    """Return the target that `goldrun show` takes to read the recording again."""
    source = recording.source
    if not source:
        return None
    named = source.partition("#")[0]
    return named if named.endswith(".cassette.json") else f"{named}#{recording.header.request_id}"
