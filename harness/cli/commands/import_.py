"""`goldrun import`: turn foreign run logs into cassettes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.options import Json, Redact
from harness.cli.output import emit_json, progress, say, warn
from harness.importers.registry import ImportSummary, import_paths


def import_runs(
    format: Annotated[str, typer.Argument(help="agentdojo, openai-messages, tau-bench, or a plug-in's.")],  # noqa: A002
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for cassettes and segments.")],
    deploy: Annotated[str | None, typer.Option(help="Version label for reports.")] = None,
    redact: Redact = True,
    json: Json = False,
) -> int:
    """Turn foreign run logs into cassettes that replay without agent code."""
    with progress("importing", None) as advance:
        summary = import_paths(
            format,
            paths,
            out,
            deploy=deploy,
            redact=redact,
            progress=lambda path, _runs: advance(1, path.name),
        )
    for reason in summary.skipped:
        warn(f"skipped: {reason}")
    for error in summary.damaged:
        warn(f"damaged: {error}")
    if json:
        emit_json(_document(summary))
    else:
        say(
            f"imported {summary.runs} runs ({summary.replayable} replayable, "
            f"{summary.runs - summary.replayable} assert-only) into {len(summary.files)} files below {out}; "
            f"skipped {len(summary.skipped)}, damaged {len(summary.damaged)}"
        )
    return int(summary.exit_code)


def _document(summary: ImportSummary) -> dict[str, Any]:
    return {
        "schema": "goldrun.import/1",
        "runs": summary.runs,
        "replayable": summary.replayable,
        "assert_only": summary.runs - summary.replayable,
        "skipped": summary.skipped,
        "damaged": [str(e) for e in summary.damaged],
        "files": [str(f) for f in summary.files],
    }
