"""`goldrun report`: compare two deploys, and say whether the candidate is worse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import HISTORY, History, Json
from harness.cli.output import emit_json, say, write_text
from runtime.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from harness.reports import Report


def report(
    baseline: Annotated[str, typer.Option(help="Deploy to compare with.")],
    candidate: Annotated[str, typer.Option(help="Deploy to judge.")],
    history: History = HISTORY,
    key: Annotated[str, typer.Option(help="Unit of comparison: task, stratum or label:NAME.")] = "task",
    markdown: Annotated[Path | None, typer.Option(help="Also write Markdown to this file.")] = None,
    gate: Annotated[
        list[str] | None, typer.Option(help="Additional metric to judge, e.g. duration_s.")
    ] = None,
    max_ratio: Annotated[float, typer.Option(help="Tolerated growth of a replayed task, as a ratio.")] = 1.01,
    min_delta: Annotated[
        list[str] | None, typer.Option(help="METRIC=VALUE: tolerated growth of a replayed task.")
    ] = None,
    fail_on: Annotated[str, typer.Option(help="Verdict that exits with 1: regressed or warn.")] = "regressed",
    skip_damaged: Annotated[bool, typer.Option(help="Leave damaged files of the history out.")] = False,
    json: Json = False,
) -> int:
    """Compare two deploys: what changed, is it worse, and why."""
    from harness.reports import compare, render_markdown, render_text, report_json
    from harness.reports.metrics import ExactLimits

    if fail_on not in {"regressed", "warn"}:
        raise UsageError(f"{fail_on!r} is not a verdict to fail on", next_step="use regressed or warn")
    found = compare(
        history,
        baseline=baseline,
        candidate=candidate,
        gates=gate or (),
        key=key,
        limits=ExactLimits(max_ratio=max_ratio, min_delta=_deltas(min_delta or [])),
        skip_damaged=skip_damaged,
    )
    if markdown is not None:
        write_text(markdown, render_markdown(found))
    if json:
        emit_json(report_json(found))
    else:
        say(render_text(found).rstrip("\n"))
    return _exit_code(found, fail_on)


def _exit_code(found: Report, fail_on: str) -> ExitCode:
    from harness.reports.headline import has_warnings

    match found.verdict:
        case "regressed":
            return ExitCode.CHECK_FAILED
        case "not_comparable" | "insufficient":
            return ExitCode.DATA
        case _:
            return ExitCode.CHECK_FAILED if fail_on == "warn" and has_warnings(found) else ExitCode.OK


def _deltas(entries: list[str]) -> dict[str, float]:
    """Return the values of `METRIC=VALUE` options.

    Raises:
        UsageError: If an entry is not such a pair.
    """
    from harness.reports.metrics import METRICS

    names = [metric.name for metric in METRICS]
    found: dict[str, float] = {}
    for entry in entries:
        name, mark, value = entry.partition("=")
        try:
            amount = float(value)
        except ValueError:
            amount = -1.0
        if not mark or name not in names or not 0 <= amount < float("inf"):
            raise UsageError(
                f"{entry!r} is not a growth of a metric",
                next_step=f"use METRIC=VALUE with {', '.join(names)}",
            )
        found[name] = amount
    return found
