"""The seed metrics of two deploys: over all runs, by tenant, by tool, and for runs that name no task."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.reports.columns import Bools, Columns, Floats, Ints
from harness.reports.metrics import MARGIN, METRICS, MIN_PAIRS
from harness.reports.report import Decision, StratumChange
from harness.reports.stats import RESAMPLES, seed_for

SIDES = ("baseline", "candidate")

_STRATUM = ("environment", "tenant", "agent", "model")
_MAX_RESAMPLED = 2_000


def summarise(columns: Columns) -> dict[str, dict[str, Any]]:
    """Return completion, percentiles, cost, loop and deny rate of all runs of each side."""
    return {name: _seed_metrics(columns, columns.side == side) for side, name in enumerate(SIDES)}


def by_tenant(columns: Columns) -> list[dict[str, Any]]:
    """Return the seed metrics of each tenant, those with most runs first."""
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


def by_tool(calls: Columns, runs: tuple[int, int]) -> list[dict[str, Any]]:
    """Return what each tool did, the largest change of calls first.

    Args:
        calls: Rows of the table `calls`; model calls are passed over.
        runs: Runs of baseline and candidate.
    """
    kinds, tools = calls.names["kind"], calls.names["name"]
    calls = calls.take(kinds.codes == kinds.code_of("tool"))
    tools = calls.names["name"]
    found = []
    for code in np.unique(tools.codes).tolist():
        if code < 0:
            continue
        rows = tools.codes == code
        sides = {
            name: _tool_metrics(calls, rows & (calls.side == side), runs[side])
            for side, name in enumerate(SIDES)
        }
        found.append({"tool": tools.values[code], **sides})
    return sorted(
        found, key=lambda t: (-abs(t["candidate"]["per_run"] - t["baseline"]["per_run"]), t["tool"])
    )


def stop_reasons(columns: Columns, paired: Bools) -> dict[str, dict[str, int]]:
    """Return how many paired runs ended for each stop reason, on each side."""
    names = columns.names["stop_reason"]
    table: dict[str, dict[str, int]] = {}
    for side, label in enumerate(SIDES):
        codes, counts = np.unique(names.codes[paired & (columns.side == side)], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            table.setdefault(names.values[code], dict.fromkeys(SIDES, 0))[label] = count
    return dict(sorted(table.items(), key=lambda e: (-max(e[1].values()), e[0])))


def compare_strata(columns: Columns, *, labels: tuple[str, str]) -> tuple[StratumChange, ...]:
    """Compare runs that name no task, within one environment, tenant, agent and model; never pooled.

    The interval resamples the runs of each side (percentile bootstrap of the ratio of geometric means).
    """
    columns = columns.take(columns.names["task"].codes < 0)
    if not len(columns.side):
        return ()
    keys = np.stack([columns.names[name].codes for name in _STRATUM], axis=1)
    distinct, strata = np.unique(keys, axis=0, return_inverse=True)
    strata = strata.reshape(-1)
    found = []
    for index, key in enumerate(distinct.tolist()):
        parts = zip(_STRATUM, key, strict=True)
        names = [columns.names[n].values[code] if code >= 0 else "unknown" for n, code in parts]
        for metric in METRICS:
            logs = np.log1p(columns.numbers[metric.column] / metric.count_unit)
            one = _compare_stratum(
                " / ".join(names), metric.name, logs, columns.side, strata == index, labels
            )
            if one is not None:
                found.append(one)
    return tuple(sorted(found, key=lambda s: (s.stratum, s.metric)))


def _compare_stratum(
    stratum: str, metric: str, logs: Floats, side: Ints, rows: Bools, labels: tuple[str, str]
) -> StratumChange | None:
    first, second = (logs[rows & (side == s) & ~np.isnan(logs)] for s in (0, 1))
    if min(len(first), len(second)) == 0:
        return None
    gap = float(second.mean() - first.mean())
    rng = np.random.default_rng(seed_for(*labels, stratum, metric))
    spread = _resampled(second, rng) - _resampled(first, rng)
    low, high = np.quantile(spread, [0.025, 0.975]).tolist()
    decision: Decision = "ok"
    if min(len(first), len(second)) < MIN_PAIRS:
        decision = "insufficient"
    elif low > 0 and gap >= np.log1p(MARGIN):
        decision = "warn"
    return StratumChange(
        stratum=stratum,
        metric=metric,
        baseline_runs=len(first),
        candidate_runs=len(second),
        ratio=float(np.exp(gap)),
        ci_low=float(np.exp(low)),
        ci_high=float(np.exp(high)),
        decision=decision,
    )


def _resampled(values: Floats, rng: np.random.Generator) -> Floats:
    """Return means of resamples; of many values from the normal law, which is the same to three digits."""
    if len(values) > _MAX_RESAMPLED:
        error = float(values.std(ddof=1)) / np.sqrt(len(values))
        return rng.normal(float(values.mean()), error, RESAMPLES)
    block = max(1, 1_000_000 // len(values))
    parts = [
        values[rng.integers(0, len(values), size=(min(block, RESAMPLES - start), len(values)))].mean(axis=1)
        for start in range(0, RESAMPLES, block)
    ]
    return np.concatenate(parts)


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
        "loop_rate": _mean((numbers["loops"][rows] > 0).astype(np.float64)),
        "deny_rate": _mean((numbers["denials"][rows] > 0).astype(np.float64)),
    }


def _tool_metrics(calls: Columns, rows: Bools, runs: int) -> dict[str, Any]:
    status, durations = calls.names["status"], calls.numbers["duration_s"][rows]
    codes = status.codes[rows]
    count = int(rows.sum())
    failed = np.isin(codes, [status.code_of(s) for s in ("error", "timeout", "in_doubt")])
    return {
        "calls": count,
        "per_run": count / runs if runs else 0.0,
        "errors": int(failed.sum()),
        "error_rate": _mean(failed.astype(np.float64)),
        "denied": int((codes == status.code_of("denied")).sum()),
        "deny_rate": _mean((codes == status.code_of("denied")).astype(np.float64)),
        "duration_s_p50": _quantile(durations, 0.5),
        "duration_s_p95": _quantile(durations, 0.95),
    }


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _quantile(values: Floats, q: float) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, q)) if len(known) else None
