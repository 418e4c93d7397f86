"""Commands about deploys: ingest, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import emit_json, say
from runtime.errors import ExitCode

HISTORY = Path("reports/history")
History = Annotated[Path, typer.Option(help="Folder of the Parquet history.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(ingest)
    app.command()(report)


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Cassettes, segments, journals or folders of them.")],
    deploy: Annotated[str, typer.Option(help="Version label that reports compare.")],
    history: History = HISTORY,
    git_sha: Annotated[str | None, typer.Option(help="Commit of the deployed code.")] = None,
    json: Json = False,
) -> int:
    """Add recorded runs to the history under a deploy label; adding twice changes nothing."""
    from harness.cli.commands.ingest import ingest_targets

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


def report(
    baseline: Annotated[str, typer.Option(help="Deploy to compare with.")],
    candidate: Annotated[str, typer.Option(help="Deploy to judge.")],
    history: History = HISTORY,
    markdown: Annotated[Path | None, typer.Option(help="Also write Markdown to this file.")] = None,
    gate: Annotated[
        list[str] | None, typer.Option(help="Further metric that decides, e.g. duration_s.")
    ] = None,
    json: Json = False,
) -> int:
    """Compare two deploys task by task: what changed, is it worse, and why."""
    from harness.cli.commands.ingest import write_text
    from harness.reports import compare, render_markdown, render_text, report_json

    found = compare(history, baseline=baseline, candidate=candidate, gates=gate or ())
    if markdown is not None:
        write_text(markdown, render_markdown(found))
    if json:
        emit_json(report_json(found))
    else:
        say(render_text(found).rstrip("\n"))
    match found.verdict:
        case "regressed":
            return ExitCode.CHECK_FAILED
        case "not_comparable" | "insufficient":
            return ExitCode.DATA
        case _:
            return ExitCode.OK
