"""Compare two deploys of a history task by task, and decide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runtime.errors import DataError, UsageError
from harness.reports import breakdown
from harness.reports.attribution import attribute
from harness.reports.causes import find_causes, find_differences
from harness.reports.collapse import judge_cheapness, lost_usage, tool_use_collapsed
from harness.reports.columns import Columns, read_sides
from harness.reports.reading import require_deploy
from harness.reports.manifest import Manifest, read_manifest
from harness.reports.metrics import DEFAULT_GATES, METRICS, decide_metric, decide_tasks, measure
from harness.reports.pairing import Pairs, pair_tasks
from harness.reports.report import MetricChange, Mode, PairCounts, Report, ShareChange, Verdict
from harness.reports.shares import decide_shares, main_traits, stop_traits

_NUMBERS = (
    *("duration_s", "steps", "model_calls", "tool_calls", "loops", "denials", "passed", "input_tokens"),
    *("output_tokens", "cache_read_tokens", "cache_write_tokens", "total_tokens", "cost_nanousd"),
)
_NAMES = (
    *("source", "environment", "tenant", "agent", "suite", "task", "model", "stop_reason", "stop_class"),
    *("price_table", "prompt_hash", "tools_hash", "policy_hash"),
)


def compare(history: Path, *, baseline: str, candidate: str, gates: Sequence[str] = ()) -> Report:
    """Return the comparison of two deploys.

    Args:
        history: Folder that `ingest` filled.
        baseline: Deploy label to compare with.
        candidate: Deploy label that is judged.
        gates: Metrics the verdict follows besides cost, tokens, tool calls and the shares.

    Raises:
        UsageError: If a gate is no metric.
        DataError: If a label is unknown, no task stands on both sides, or a file is damaged.
    """
    gated = _check_gates(gates)
    manifest = read_manifest(history)
    for label in (baseline, candidate):
        require_deploy(history, manifest, label)
    columns = read_sides(
        history, manifest, "runs", baseline=baseline, candidate=candidate, numbers=_NUMBERS, names=_NAMES
    )
    pairs = pair_tasks(columns)
    if pairs.count == 0:
        raise _no_pairs(columns, pairs, baseline, candidate)
    labels = (baseline, candidate)
    measured = [measure(metric, columns, pairs) for metric in METRICS]
    shares = [
        *decide_shares(main_traits(columns), pairs, labels=labels),
        *decide_shares(stop_traits(columns.take(pairs.cell >= 0)), _cut(pairs), labels=labels),
    ]
    calls = next(one for one in measured if one.metric.name == "tool_calls")
    metrics = judge_cheapness(
        [decide_metric(one, pairs, labels=labels, gated=one.metric.name in gated) for one in measured],
        shares,
        tool_use_collapsed(calls, pairs),
    )
    tasks = [task for one in measured for task in decide_tasks(one, pairs)]
    reasons = breakdown.stop_reasons(columns, pairs.cell >= 0)
    attribution = attribute(columns)
    tools = _tools(history, manifest, columns, labels)
    return Report(
        baseline=baseline,
        candidate=candidate,
        history=str(history),
        verdict=_verdict(metrics, shares, gates),
        mode=_mode(pairs),
        pairs=PairCounts(
            paired=pairs.count, only_baseline=pairs.only_baseline, only_candidate=pairs.only_candidate
        ),
        metrics=tuple(metrics),
        shares=tuple(shares),
        tasks=tuple(tasks),
        attribution=attribution,
        causes=tuple(find_causes(metrics, shares, reasons, attribution, tools)),
        comparability=(*find_differences(columns, pairs), *lost_usage(measured)),
        gates=gated,
        stop_reasons=reasons,
        summary=breakdown.summarise(columns),
        by_tenant=breakdown.by_tenant(columns),
        by_tool=tools,
        strata=breakdown.compare_strata(columns, labels=labels),
    )


def _check_gates(gates: Sequence[str]) -> tuple[str, ...]:
    names = [metric.name for metric in METRICS]
    unknown = [gate for gate in gates if gate not in names]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is no metric to gate on; metrics are {', '.join(names)}")
    return tuple(name for name in names if name in DEFAULT_GATES or name in gates)


def _no_pairs(columns: Columns, pairs: Pairs, baseline: str, candidate: str) -> DataError:
    unnamed = int((columns.names["task"].codes < 0).sum())
    return DataError(
        f"0 pairs: no task stands in both deploys ({pairs.only_baseline} tasks in {baseline!r} only,"
        f" {pairs.only_candidate} in {candidate!r} only, {unnamed} runs that name no task)",
        next_step="compare deploys that ran the same tasks, and name the task of each recorded run",
    )


def _cut(pairs: Pairs) -> Pairs:
    """Return the pairs over paired rows alone."""
    return Pairs(
        tasks=pairs.tasks,
        exact=pairs.exact,
        cell=pairs.cell[pairs.cell >= 0],
        only_baseline=pairs.only_baseline,
        only_candidate=pairs.only_candidate,
        mixed_sources=pairs.mixed_sources,
    )


def _mode(pairs: Pairs) -> Mode:
    if pairs.exact.all():
        return "exact"
    return "mixed" if pairs.exact.any() else "statistical"


def _verdict(metrics: list[MetricChange], shares: list[ShareChange], asked: Sequence[str]) -> Verdict:
    gated = [metric for metric in metrics if metric.gated]
    decisions = {metric.decision for metric in gated} | {share.decision for share in shares}
    if "regressed" in decisions:
        return "regressed"
    if any(metric.decision == "not_available" for metric in gated if metric.metric in asked):
        return "not_comparable"
    known = decisions - {"not_available"}
    return "insufficient" if known <= {"insufficient"} else "ok"


def _tools(
    history: Path, manifest: Manifest, columns: Columns, labels: tuple[str, str]
) -> list[dict[str, object]]:
    calls = read_sides(
        history,
        manifest,
        "calls",
        baseline=labels[0],
        candidate=labels[1],
        numbers=("duration_s",),
        names=("kind", "name", "status"),
    )
    runs = np.bincount(columns.side, minlength=2)
    return breakdown.by_tool(calls, (int(runs[0]), int(runs[1])))
