"""`goldrun diff`: compare two runs call by call, or two deploys task by task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cassette.store import split_target
from harness.cli.options import HISTORY, History, Json
from harness.cli.output import emit_json, say, wants_colour
from harness.cli.targets import load_trace
from harness.text import safe_text, table
from runtime.errors import ExitCode, UsageError


def diff(
    a: Annotated[
        str, typer.Argument(help="A cassette, a trace JSON, SEGMENT#REQUEST_ID, or a deploy label.")
    ],
    b: Annotated[str, typer.Argument(help="The run or deploy to compare it with.")],
    history: History = HISTORY,
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    stat: Annotated[bool, typer.Option("--stat", help="Print one line of counts.")] = False,
    ignore_order: Annotated[
        bool, typer.Option("--ignore-order", help="Compare lists in arguments and JSON results in any order.")
    ] = False,
) -> int:
    """Compare two runs call by call, or two deploys task by task."""
    if _is_deploy(a, history) and _is_deploy(b, history):
        if ignore_order:
            raise UsageError(
                "--ignore-order compares two runs, and both are deploy labels",
                where="goldrun diff",
                next_step="name a cassette or a trace of each",
            )
        return _diff_deploys(a, b, history, as_json=json)
    from harness.diff import diff_json, diff_traces, render_markdown, render_stat, render_text

    difference = diff_traces(load_trace(a), load_trace(b), ignore_order=ignore_order)
    if json:
        emit_json(diff_json(difference))
    elif markdown:
        say(render_markdown(difference))
    elif stat:
        say(render_stat(difference))
    else:
        say(render_text(difference, color=wants_colour()))
    match difference.verdict:
        case "same":
            return ExitCode.OK
        case "not_comparable":
            return ExitCode.DATA
        case _:
            return ExitCode.CHECK_FAILED


def _is_deploy(target: str, history: Path) -> bool:
    """Return whether a target is a deploy label of the history rather than a file."""
    if split_target(target)[0].exists():
        return False
    from harness.reports import list_deploys

    return target in list_deploys(history)


def _diff_deploys(a: str, b: str, history: Path, *, as_json: bool) -> int:
    """Print which tasks changed between two deploys; return the exit code."""
    from harness.reports.deploys import changed_tasks

    rows = changed_tasks(history, a, b)
    changed = [r for r in rows if r["changed"]]
    if as_json:
        emit_json({"schema": "goldrun.deploy-diff/1", "a": a, "b": b, "tasks": rows})
    else:
        _print_tasks(a, b, rows, changed)
    return ExitCode.CHECK_FAILED if changed else ExitCode.OK


def _print_tasks(a: str, b: str, rows: list[dict[str, Any]], changed: list[dict[str, Any]]) -> None:
    say(f"verdict: {'changed' if changed else 'same'}: {len(changed)} of {len(rows)} tasks ({a} -> {b})")
    cells = [
        [
            safe_text(r["task"], 60),
            _pair(r["a"]["stop_reason"], r["b"]["stop_reason"]),
            _pair(r["a"]["tool_calls"], r["b"]["tool_calls"]),
            _pair(r["a"]["tool_executions"], r["b"]["tool_executions"]),
            _pair(r["a"]["cost_usd"] or "unknown", r["b"]["cost_usd"] or "unknown"),
        ]
        for r in changed[:40]
    ]
    if cells:
        say(table(cells, ["task", "stop reason", "tool calls", "executions", "cost $"]))
    if len(changed) > len(cells):
        say(f"... and {len(changed) - len(cells)} more")


def _pair(before: Any, now: Any) -> str:
    return str(now) if before == now else f"{before} -> {now}"
