"""Compare two deploys task by task: what each task did, and whether it is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.reports.manifest import Manifest, read_manifest
from harness.reports.reading import read_table
from runtime.core.money import usd_text

_COLUMNS = (
    "task",
    "repeat",
    "stop_reason",
    "tool_calls",
    "tool_executions",
    "total_tokens",
    "cost_nanousd",
    "trace_hash",
)


def changed_tasks(history: Path, a: str, b: str) -> list[dict[str, Any]]:
    """Return one row for each task that both deploys ran, sorted by task.

    A task is the same if its runs have equal traces (apart from times, ids and keys) and equally many executions.

    Args:
        history: Folder of the history.
        a: Deploy label.
        b: Deploy label.

    Raises:
        DataError: If a label is unknown or a file is damaged.
    """
    manifest = read_manifest(history)
    before, now = _by_task(history, manifest, a), _by_task(history, manifest, b)
    return [
        {
            "task": task,
            "changed": _behaviour(before[task]) != _behaviour(now[task]),
            "a": _summary(before[task]),
            "b": _summary(now[task]),
        }
        for task in sorted(before.keys() & now.keys())
    ]


def _by_task(history: Path, manifest: Manifest, deploy: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in read_table(history, manifest, "runs", deploy, _COLUMNS).to_pylist():
        if row["task"] is not None:
            found.setdefault(row["task"], []).append(row)
    for rows in found.values():
        rows.sort(key=lambda r: (r["repeat"] or 0, r["trace_hash"]))
    return found


def _behaviour(rows: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [(r["trace_hash"], r["tool_executions"]) for r in rows]


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    costs = [r["cost_nanousd"] for r in rows]
    return {
        "runs": len(rows),
        "stop_reason": ", ".join(sorted({r["stop_reason"] for r in rows})),
        "tool_calls": sum(r["tool_calls"] for r in rows),
        "tool_executions": sum(r["tool_executions"] for r in rows),
        "cost_usd": None if any(c is None for c in costs) else usd_text(sum(costs)),
    }
