"""What a command's target names: a trace of some kind of file, or a deploy of the history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.cassette.store import iter_recordings, split_target
from harness.cli.output import emit_json, say
from harness.text import safe_text, table
from runtime.core.trace import Trace, parse_trace
from runtime.errors import DataError, ExitCode, UsageError

FILE_ENDINGS = (".json", ".jsonl", ".seg")
"""Endings with which a target that does not exist was meant as a file, not as a request id."""


def load_traces(target: str) -> list[Trace]:
    """Return the traces of a target: a trace JSON, or each recording of a file or folder.

    Raises:
        CassetteError: If a recording cannot be read.
        DataError: If the file is no trace.
    """
    path, _ = split_target(target)
    if path.is_file() and path.suffix == ".json" and not path.name.endswith(".cassette.json"):
        return [_trace_file(path)]
    return [recording.trace() for recording in iter_recordings(target)]


def named_target(target: str, root: str) -> str:
    """Return the target itself, or where a bare request id is recorded below a root.

    Raises:
        CassetteError: If neither such a file nor such a run exists.
        UsageError: If the request id names several runs.
    """
    path, request_id = split_target(target)
    if request_id is not None or path.exists() or len(path.parts) != 1 or path.suffix in FILE_ENDINGS:
        return target
    from harness.cli.commands.recover import locate

    return locate(root, target)


def load_trace(target: str) -> Trace:
    """Return the one trace of a target.

    Raises:
        UsageError: If the target holds several.
    """
    traces = load_traces(target)
    if len(traces) != 1:
        raise UsageError(
            f"{target!r} holds {len(traces)} runs", next_step="name one of them as FILE#REQUEST_ID"
        )
    return traces[0]


def _trace_file(path: Path) -> Trace:
    try:
        return parse_trace(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"this is no trace: {error}",
            where=str(path),
            next_step="name a cassette, a segment, or a trace made by `goldrun show --json`",
        ) from error


def is_deploy(target: str, history: Path) -> bool:
    """Return whether a target is a deploy label of the history rather than a file."""
    if split_target(target)[0].exists():
        return False
    from harness.reports import list_deploys

    return target in list_deploys(history)


def deploy_diff(a: str, b: str, history: Path, *, as_json: bool) -> int:
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
