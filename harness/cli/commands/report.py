"""`goldrun report`: two deploys compared, and whether the candidate is worse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import HISTORY, History, Json
from harness.cli.output import emit_json, say, write_text
from runtime.errors import ExitCode


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
