"""The basic metrics of two deploys over all runs and by tenant, and tools and models over the compared runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.reports.aggregates import Aggregate
from harness.reports.columns import Bools, Columns, Floats
from harness.reports.stats import newcombe

SIDES = ("baseline", "candidate")


def summarise(columns: Columns) -> dict[str, dict[str, Any]]:
    """Return completion, percentiles, cost, loop and deny rate of all runs of each side."""
    return {name: _seed_metrics(columns, columns.side == side) for side, name in enumerate(SIDES)}


def by_tenant(columns: Columns) -> list[dict[str, Any]]:
    """Return the basic metrics of each tenant, the tenants with most runs first."""
    tenants = columns.names["tenant"]
    counts = np.bincount(tenants.codes[tenants.codes >= 0], minlength=len(tenants.values))
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda c: (-int(counts[c]), tenants.values[c]))
    return [
        {
            "tenant": tenants.values[code],
            **{
                name: _seed_metrics(columns, (tenants.codes == code) & (columns.side == side))
                for side, name in enumerate(SIDES)
            },
        }
        for code in order
    ]


def by_tool(tools: Aggregate, columns: Columns, rows: Bools) -> list[dict[str, Any]]:
    """Return each tool's use in the compared runs, the largest change of calls per run first.

    Args:
        tools: Rows of the table `tools`.
        columns: Runs of both sides.
        rows: The compared runs.
    """
    found = _by_name(tools, columns, rows, _tool_metrics, "tool")
    return sorted(
        found, key=lambda t: (-abs(t["candidate"]["per_run"] - t["baseline"]["per_run"]), t["tool"])
    )


def by_model(models: Aggregate, columns: Columns, rows: Bools) -> list[dict[str, Any]]:
    """Return each model's use in the compared runs, the most expensive first."""
    found = _by_name(models, columns, rows, _model_metrics, "model")
    return sorted(found, key=lambda m: (-(m["candidate"]["cost_usd"] or 0.0), m["model"]))


def new_tasks(columns: Columns, paired: Bools, new: Bools) -> list[str]:
    """Return a warning if tasks that only the candidate has do clearly worse than the paired ones."""
    if not new.any():
        return []
    finished = columns.names["stop_class"].codes == columns.names["stop_class"].code_of("finish")
    passed = columns.numbers["passed"]
    good = np.where(np.isnan(passed), finished, passed > 0)
    old = paired & (columns.side == 1)
    mine, theirs = (float(good[new].sum()), float(new.sum())), (float(good[old].sum()), float(old.sum()))
    if not old.any() or newcombe(theirs, mine)[1] >= 0:
        return []
    return [f"new tasks fare worse: {mine[0]:.0f} of {mine[1]:.0f} runs are good"]


def _by_name(
    table: Aggregate,
    columns: Columns,
    rows: Bools,
    measure: Callable[[Aggregate, Bools, int], dict[str, Any]],
    title: str,
) -> list[dict[str, Any]]:
    side = columns.side[table.row]
    here = rows[table.row]
    runs = [int((rows & (columns.side == one)).sum()) for one in (0, 1)]
    found = []
    for code, name in enumerate(table.name.values):
        mine = here & (table.name.codes == code)
        if mine.any():
            sides = {
                label: measure(table, mine & (side == one), runs[one]) for one, label in enumerate(SIDES)
            }
            found.append({title: name, **sides})
    return found


def stop_reasons(columns: Columns, paired: Bools) -> dict[str, dict[str, int]]:
    """Return how many paired runs ended for each stop reason, on each side."""
    names = columns.names["stop_reason"]
    table: dict[str, dict[str, int]] = {}
    for side, label in enumerate(SIDES):
        codes, counts = np.unique(names.codes[paired & (columns.side == side)], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            table.setdefault(names.values[code], dict.fromkeys(SIDES, 0))[label] = count
    return dict(sorted(table.items(), key=lambda e: (-max(e[1].values()), e[0])))


def _seed_metrics(columns: Columns, rows: Bools) -> dict[str, Any]:
    classes, numbers = columns.names["stop_class"], columns.numbers
    cost = numbers["cost_nanousd"][rows]
    return {
        "runs": int(rows.sum()),
        "completion_rate": _mean((classes.codes[rows] == classes.code_of("finish")).astype(np.float64)),
        "passed_rate": _mean(numbers["passed"][rows]),
        "duration_s_p50": _quantile(numbers["duration_s"][rows], 0.5),
        "duration_s_p95": _quantile(numbers["duration_s"][rows], 0.95),
        "tool_calls_p50": _quantile(numbers["tool_calls"][rows], 0.5),
        "tool_calls_p95": _quantile(numbers["tool_calls"][rows], 0.95),
        "tool_calls_per_run": _mean(numbers["tool_calls"][rows]),
        "total_tokens_per_run": _mean(numbers["total_tokens"][rows]),
        "cost_usd_per_run": _mean(cost / 1e9),
        "runs_with_cost": int((~np.isnan(cost)).sum()),
        "loop_stops": _mean((classes.codes[rows] == classes.code_of("loop")).astype(np.float64)),
        "loop_rate": _mean((numbers["loops"][rows] > 0).astype(np.float64)),
        "deny_rate": _mean((numbers["denials"][rows] > 0).astype(np.float64)),
    }


def _tool_metrics(tools: Aggregate, rows: Bools, runs: int) -> dict[str, Any]:
    numbers = {name: values[rows] for name, values in tools.numbers.items()}
    calls, executions = float(numbers["calls"].sum()), float(numbers["executions"].sum())
    started = executions - float(numbers["retries"].sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = numbers["duration_s"] / numbers["calls"]
    return {
        "calls": int(calls),
        "per_run": calls / runs if runs else 0.0,
        "runs": int(rows.sum()),
        "write": bool((numbers["write"] > 0).any()),
        "executions": int(executions),
        "errors": int(numbers["errors"].sum()),
        "error_rate": float(numbers["errors"].sum()) / calls if calls else None,
        "retries": int(numbers["retries"].sum()),
        "not_started": max(int(calls - started), 0),
        "deny_rate": max(calls - started, 0.0) / calls if calls else None,
        "duration_s_p50": _quantile(seconds, 0.5),
        "duration_s_p95": _quantile(seconds, 0.95),
        "cost_usd": _total(numbers["cost_nanousd"]),
    }


def _model_metrics(models: Aggregate, rows: Bools, runs: int) -> dict[str, Any]:
    numbers = {name: values[rows] for name, values in models.numbers.items()}
    calls = float(numbers["calls"].sum())
    return {
        "calls": int(calls),
        "per_run": calls / runs if runs else 0.0,
        "input_tokens": _count(numbers["input_tokens"]),
        "output_tokens": _count(numbers["output_tokens"]),
        "cache_read_tokens": _count(numbers["cache_read_tokens"]),
        "cost_usd": _total(numbers["cost_nanousd"]),
    }


def _total(nanos: Floats) -> float | None:
    known = nanos[~np.isnan(nanos)]
    return float(known.sum()) / 1e9 if len(known) else None


def _count(values: Floats) -> int | None:
    known = values[~np.isnan(values)]
    return int(known.sum()) if len(known) else None


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _quantile(values: Floats, q: float) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, q)) if len(known) else None
