"""Decide about one metric over paired tasks, and about its single tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.reports.columns import Bools, Columns, Floats
from harness.reports.pairing import PairedValues, Pairs, paired_values
from harness.reports.report import Decision, MetricChange, TaskChange
from harness.reports.stats import benjamini_hochberg, mean_interval, seed_for, shrunken_t_p

MARGIN = 0.05
"""A significant change regresses from this relative size on."""

TASK_MARGIN = 0.25
TASK_FDR = 0.05
MIN_PAIRS = 8
EXTREME_TASKS = 20
"""Untested tasks that are shown for each metric, the most extreme ratios first."""

_EQUAL = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A quantity of a run.

    Attributes:
        name: As the report calls it.
        column: Column of `runs` that holds it.
        unit: What one unit of the report is in the column's unit.
        count_unit: What counts as 1 in `log(x + 1)`, in the column's unit.
    """

    name: str
    column: str
    unit: float = 1.0
    count_unit: float = 1.0


METRICS = (
    Metric(name="cost_usd", column="cost_nanousd", unit=1e9),
    Metric(name="total_tokens", column="total_tokens"),
    Metric(name="tool_calls", column="tool_calls"),
    Metric(name="duration_s", column="duration_s", count_unit=0.001),
    Metric(name="steps", column="steps"),
)

DEFAULT_GATES = ("cost_usd", "total_tokens", "tool_calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One metric by pair: plain values, and logs of x + 1."""

    metric: Metric
    plain: PairedValues
    logs: PairedValues


def measure(metric: Metric, columns: Columns, pairs: Pairs) -> Measured:
    """Return a metric by pair."""
    values = columns.numbers[metric.column]
    return Measured(
        metric=metric,
        plain=paired_values(pairs, values / metric.unit),
        logs=paired_values(pairs, np.log1p(values / metric.count_unit)),
    )


def decide_metric(measured: Measured, pairs: Pairs, *, labels: tuple[str, str], gated: bool) -> MetricChange:
    """Return what became of a metric.

    Replayed goldens regress if any task grew. Live tasks regress if the geometric mean of their ratios is
    significantly above 1 and at least `1 + MARGIN`; fewer than `MIN_PAIRS` of them decide nothing.

    Args:
        measured: The metric by pair.
        pairs: The pairs.
        labels: Baseline and candidate; they seed the resampling.
        gated: Whether the verdict follows this metric.
    """
    name = measured.metric.name
    known = measured.plain.known
    count = int(known.sum())
    if count == 0:
        return _unavailable(name, gated=gated)
    first, second = (float(side[known].sum()) for side in measured.plain.mean)
    log_ratio = measured.logs.mean[1] - measured.logs.mean[0]
    live = known & ~pairs.exact
    decision = decide_exactly(measured.plain.mean, known & pairs.exact)
    low = high = p = None
    ratio = float(np.exp(log_ratio[known].mean()))
    if live.any():
        interval = mean_interval(log_ratio[live], seed=seed_for(*labels, name))
        found = decide_ratio(interval.value, significant=interval.significant, pairs=int(live.sum()))
        decision = found if decision is None else worse_of(decision, found)
        low, high, p = float(np.exp(interval.low)), float(np.exp(interval.high)), interval.p
    return MetricChange(
        metric=name,
        baseline=first,
        candidate=second,
        ratio=ratio,
        ci_low=low,
        ci_high=high,
        p=p,
        decision=decision or "ok",
        total_ratio=second / first if first else None,
        pairs=count,
        gated=gated,
    )


def decide_exactly(means: Floats, which: Bools) -> Decision | None:
    """Return the decision over tasks that are compared without statistics; `None` if there are none."""
    if not which.any():
        return None
    moved = _moved(means)[which]
    if (moved > 0).any():
        return "regressed"
    return "improved" if (moved < 0).any() else "ok"


def _moved(means: Floats) -> Floats:
    """Return 1 where the candidate is above the baseline, -1 where below, 0 where equal but for rounding."""
    change = means[1] - means[0]
    return np.where(np.abs(change) > _EQUAL * np.maximum(1.0, np.abs(means[0])), np.sign(change), 0.0)


def decide_ratio(log_ratio: float, *, significant: bool, pairs: int) -> Decision:
    """Return the decision for a mean log ratio."""
    if pairs < MIN_PAIRS:
        return "insufficient"
    if not significant or log_ratio == 0:
        return "ok"
    edge = float(np.log1p(MARGIN))
    if log_ratio >= edge:
        return "regressed"
    if log_ratio > 0:
        return "warn"
    return "improved" if log_ratio <= -edge else "ok"


def decide_tasks(measured: Measured, pairs: Pairs) -> list[TaskChange]:
    """Return the tasks that changed, and of the untested ones those with the most extreme ratios.

    Tasks with repeats on both sides are tested together (Benjamini-Hochberg) and are reported if they changed
    by `TASK_MARGIN` at least; tasks with one run a side can only be shown, with `q` null.
    """
    known = measured.plain.known
    log_ratio = np.where(known, measured.logs.mean[1] - measured.logs.mean[0], 0.0)
    runs, variance = measured.logs.runs, measured.logs.variance
    repeated = known & ~pairs.exact & (runs > 1).all(axis=0)
    found: list[TaskChange] = []
    if repeated.any():
        spread = (variance / np.maximum(runs, 1)).sum(axis=0)[repeated]
        p_values = shrunken_t_p(log_ratio[repeated], spread, (runs.sum(axis=0) - 2)[repeated])
        for pair, q in zip(np.flatnonzero(repeated), benjamini_hochberg(p_values), strict=True):
            decision = _decide_task(float(log_ratio[pair]), float(q))
            if decision != "ok":
                found.append(_task(measured, pairs, int(pair), float(q), decision))
    moved = np.where(known & pairs.exact, _moved(measured.plain.mean), 0.0)
    found.extend(_task(measured, pairs, int(pair), None, "regressed") for pair in np.flatnonzero(moved > 0))
    found.extend(_task(measured, pairs, int(pair), None, "improved") for pair in np.flatnonzero(moved < 0))
    single = np.flatnonzero(known & ~pairs.exact & ~repeated & (np.abs(log_ratio) > _EQUAL))
    extreme = sorted(single.tolist(), key=lambda i: (-abs(log_ratio[i]), i))[:EXTREME_TASKS]
    found.extend(_task(measured, pairs, pair, None, "insufficient") for pair in extreme)
    return sorted(found, key=lambda t: (-abs(np.log(t.ratio)), t.task))


def _decide_task(log_ratio: float, q: float) -> Decision:
    if q > TASK_FDR or abs(log_ratio) < np.log1p(TASK_MARGIN):
        return "ok"
    return "regressed" if log_ratio > 0 else "improved"


def _task(measured: Measured, pairs: Pairs, pair: int, q: float | None, decision: Decision) -> TaskChange:
    first, second = measured.plain.mean[:, pair].tolist()
    low, high = measured.logs.mean[:, pair].tolist()
    return TaskChange(
        task=pairs.tasks[pair],
        metric=measured.metric.name,
        ratio=float(np.exp(high - low)),
        q=q,
        decision=decision,
        baseline=first,
        candidate=second,
    )


def _unavailable(name: str, *, gated: bool) -> MetricChange:
    return MetricChange(
        metric=name,
        baseline=None,
        candidate=None,
        ratio=None,
        ci_low=None,
        ci_high=None,
        p=None,
        decision="not_available",
        total_ratio=None,
        pairs=0,
        gated=gated,
    )


def worse_of(first: Decision, second: Decision) -> Decision:
    """Return the decision over exact and live tasks together; too few live tasks add nothing."""
    rank: tuple[Decision, ...] = ("regressed", "warn", "improved", "ok", "insufficient", "not_available")
    return min(first, second, key=rank.index)
