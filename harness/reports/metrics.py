"""Measure metrics over the units of a comparison, and decide: for the typical unit, the total and single tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from harness.reports.columns import Bools, Columns, Floats
from harness.reports.designs import Design, TaskDesign
from harness.reports.pairing import PairedValues, Pairs, paired_values
from harness.reports.report import Decision, MetricChange, TaskChange, TotalChange
from harness.reports.stats import Estimate, benjamini_hochberg, shrunken_t_p

MARGIN = 0.05
"""A significant change is a regression if it is at least this large, relative to the baseline."""

CLEAR = 0.025
"""One-sided p below which a change is reported although it is not a regression."""

TASK_MARGIN = 0.25
TASK_FDR = 0.05
MIN_PAIRS = 8
COVERAGE = 0.95
"""If fewer tasks ran, or fewer runs know a metric, the metric stays undecided unless it regressed."""

EXTREME_TASKS = 20
"""Number of untested tasks that are listed for each metric, the most extreme ratios first."""

HEAVY_PART, HEAVY_GROWTH = 0.8, 1.5
"""A few units carry the growth of the total if this part of it comes from units that grew by at least half."""

HEAVY_SHOWN = 10
_Z_POWER = 1.2815515594457
_Z_ALPHA = 2.2571292444863
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A quantity of a run.

    Attributes:
        name: Its name in the report.
        column: Column of `runs` that holds it.
        unit: One unit of the report, in the column's unit.
        count_unit: The amount that counts as 1 in `log(x + 1)`, in the column's unit.
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
class ExactLimits:
    """Tolerated growth of a replayed task.

    Attributes:
        max_ratio: Largest ratio of a metric that is not a regression.
        min_delta: By metric, growth up to this amount is not a regression, whatever the ratio.
    """

    max_ratio: float = 1.01
    min_delta: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One metric over the units of a design.

    Attributes:
        metric: The metric.
        values: In the report's unit, one for each row.
        sides: Both sides' value of each unit.
        known: Units where both sides know the metric.
        exact: Units that are compared exactly.
        typical: Change of the typical live unit.
        total: Change of the live units' total.
        coverage: Share of the runs that know it, on the side that knows less.
        in_baseline: Whether any run of the baseline knows it.
    """

    metric: Metric
    values: Floats
    sides: Floats
    known: Bools
    exact: Bools
    typical: Estimate | None
    total: Estimate | None
    coverage: float
    in_baseline: bool

    @property
    def live(self) -> int:
        """Number of live pairs behind the estimates, or of runs on the side with fewer."""
        return 0 if self.typical is None else self.typical.units


def measure(metric: Metric, columns: Columns, design: Design, exact: Bools) -> Measured:
    """Return a metric over the units of a design."""
    values = columns.numbers[metric.column]
    sides = design.sides(values / metric.unit)
    rows = design.rows
    known = [float((~np.isnan(values[rows & (columns.side == side)])).mean()) for side in (0, 1)]
    return Measured(
        metric=metric,
        values=values / metric.unit,
        sides=sides,
        known=np.asarray(~np.isnan(sides).any(axis=0)),
        exact=exact,
        typical=design.typical(np.log1p(values / metric.count_unit), metric.name),
        total=design.total(values / metric.unit, metric.name),
        coverage=min(known),
        in_baseline=known[0] > 0,
    )


def exact_change(measured: Measured, limits: ExactLimits) -> Floats:
    """Return 1 for replayed units that grew beyond the limits, -1 for those that shrank as much, else 0."""
    first, second = measured.sides
    room = limits.min_delta.get(measured.metric.name, 0.0)
    slack = _EQUAL * np.maximum(1.0, np.abs(first))
    with np.errstate(invalid="ignore"):
        grew = (second > first * limits.max_ratio + slack) & (second - first > room + slack)
        shrank = (first > second * limits.max_ratio + slack) & (first - second > room + slack)
    return np.where(measured.known & measured.exact, grew * 1.0 - shrank * 1.0, 0.0)


def decide_metric(
    measured: Measured, *, gated: bool, rejected: bool, limits: ExactLimits, covered: bool
) -> MetricChange:
    """Return the decision about a metric for the typical unit.

    Args:
        measured: The metric.
        gated: Whether it decides the verdict.
        rejected: Whether the ordered tests reject "no increase".
        limits: Tolerated growth of a replayed task.
        covered: Whether enough of the baseline's units ran.
    """
    count = int(measured.known.sum())
    if not measured.in_baseline:
        return _unavailable(measured.metric.name, gated=gated)
    moved = exact_change(measured, limits)
    found: list[Decision] = []
    if (measured.known & measured.exact).any():
        found.append("regressed" if (moved > 0).any() else "improved" if (moved < 0).any() else "ok")
    one = measured.typical
    if one is not None:
        found.append(decide_estimate(one, rejected=rejected))
    decision = worst_of(found) if found else "insufficient"
    if not (covered and measured.coverage >= COVERAGE) and decision != "regressed":
        decision = "insufficient"
    first, second = (float(side[measured.known].sum()) if count else None for side in measured.sides)
    ratio = _ratio(measured)
    return MetricChange(
        metric=measured.metric.name,
        baseline=first,
        candidate=second,
        ratio=ratio,
        ci_low=None if one is None else _exp(one.low),
        ci_high=None if one is None else _exp(one.high),
        p=None if one is None else one.p,
        decision=decision,
        total_ratio=second / first if first and second is not None else None,
        pairs=count,
        gated=gated,
        smallest_seen=None if one is None else smallest_seen(one),
        coverage=measured.coverage,
        note=None if not (moved > 0).any() else "grew when replayed",
    )


def _ratio(measured: Measured) -> float | None:
    """Return the typical ratio over live and replayed units together."""
    if not measured.known.any():
        return None
    scale = measured.metric.unit / measured.metric.count_unit
    logs = np.log1p(measured.sides * scale)
    gap = (logs[1] - logs[0])[measured.known]
    if measured.typical is not None and not (measured.known & measured.exact).any():
        return _exp(measured.typical.value)
    return _exp(float(gap.mean()))


def decide_total(measured: Measured, units: tuple[str, ...], *, rejected: bool, covered: bool) -> TotalChange:
    """Return the decision about the total, which is the bill.

    Clear growth is a regression. If only a few units carry the growth, it may be chance; then it is a warning that
    names them.
    """
    one = measured.total
    live = measured.known & ~measured.exact
    first, second = (float(side[measured.known].sum()) for side in measured.sides)
    name = measured.metric.name
    heavy = _heavy(measured, units, live)
    decision: Decision
    if not measured.in_baseline:
        return TotalChange(
            metric=name,
            baseline=None,
            candidate=None,
            ratio=None,
            ci_low=None,
            ci_high=None,
            decision="not_available",
        )
    if one is None:
        decision = "ok" if measured.known.any() else "insufficient"
    else:
        decision = decide_estimate(one, rejected=rejected)
    grown = one is not None and one.value >= math.log1p(MARGIN)
    if decision != "regressed" and grown and heavy:
        decision = "warn"
    elif decision != "regressed" and not (covered and measured.coverage >= COVERAGE):
        decision = "insufficient"
    return TotalChange(
        metric=name,
        baseline=first,
        candidate=second,
        ratio=second / first if first else None,
        ci_low=None if one is None else _exp(one.low),
        ci_high=None if one is None else _exp(one.high),
        decision=decision,
        heavy=heavy if decision in {"regressed", "warn"} else (),
        smallest_seen=None if one is None else smallest_seen(one),
    )


def _heavy(measured: Measured, units: tuple[str, ...], live: Bools) -> tuple[str, ...]:
    """Return the few units that carry most of the total's growth, the largest first; empty if many do."""
    first, second = np.where(live, np.nan_to_num(measured.sides), 0.0)
    change = second - first
    growth = float(change.sum())
    if growth <= 0:
        return ()
    order = np.argsort(-change, kind="stable")
    needed = int(np.searchsorted(np.cumsum(change[order]), HEAVY_PART * growth)) + 1
    few = max(3, int(0.1 * int(live.sum())))
    chosen = order[: min(needed, HEAVY_SHOWN)]
    if needed > few or not (second[chosen] >= HEAVY_GROWTH * first[chosen]).all():
        return ()
    return tuple(units[i] for i in chosen.tolist())


def decide_estimate(one: Estimate, *, rejected: bool) -> Decision:
    """Return the decision for a change of logarithms."""
    if one.units < MIN_PAIRS:
        return "insufficient"
    edge = math.log1p(MARGIN)
    if rejected and one.value >= edge:
        return "regressed"
    if one.p_up <= CLEAR and one.value > 0:
        return "warn"
    return "improved" if one.p_down <= CLEAR and one.value <= -edge else "ok"


def smallest_seen(one: Estimate) -> float | None:
    """Return the smallest growth, as a part of 1, that this comparison detects in nine of ten cases."""
    if not math.isfinite(one.error):
        return None
    needed = max(_Z_ALPHA * one.error, math.log1p(MARGIN)) + _Z_POWER * one.error
    return math.expm1(needed) if needed < 50 else None


def decide_tasks(measured: Measured, pairs: Pairs, limits: ExactLimits) -> list[TaskChange]:
    """Return the tasks that changed, and of the untested ones those with the most extreme ratios.

    Tasks with repeats on both sides are tested together (Benjamini-Hochberg). They are reported if they changed by
    `TASK_MARGIN` or more. Tasks with one run a side cannot be tested; they are listed with `q` null.
    """
    scale = measured.metric.unit / measured.metric.count_unit
    logs = paired_values(pairs, np.log1p(measured.values * scale))
    known = logs.known
    log_ratio = np.where(known, logs.mean[1] - logs.mean[0], 0.0)
    repeated = known & ~pairs.exact & (logs.runs > 1).all(axis=0)
    found: list[TaskChange] = []
    if repeated.any():
        spread = (logs.variance / np.maximum(logs.runs, 1)).sum(axis=0)[repeated]
        p_values = shrunken_t_p(log_ratio[repeated], spread, (logs.runs.sum(axis=0) - 2)[repeated])
        for pair, q in zip(np.flatnonzero(repeated), benjamini_hochberg(p_values), strict=True):
            decision = _decide_task(float(log_ratio[pair]), float(q))
            if decision != "ok":
                found.append(_task(measured, logs, pairs, int(pair), float(q), decision))
    moved = exact_change(measured, limits)
    found += [_task(measured, logs, pairs, int(i), None, "regressed") for i in np.flatnonzero(moved > 0)]
    found += [_task(measured, logs, pairs, int(i), None, "improved") for i in np.flatnonzero(moved < 0)]
    single = np.flatnonzero(known & ~pairs.exact & ~repeated & (np.abs(log_ratio) > _EQUAL))
    extreme = sorted(single.tolist(), key=lambda i: (-abs(log_ratio[i]), i))[:EXTREME_TASKS]
    found += [_task(measured, logs, pairs, pair, None, "insufficient") for pair in extreme]
    return sorted(found, key=lambda t: (-abs(np.log(t.ratio)), t.task))


def _decide_task(log_ratio: float, q: float) -> Decision:
    if q > TASK_FDR or abs(log_ratio) < np.log1p(TASK_MARGIN):
        return "ok"
    return "regressed" if log_ratio > 0 else "improved"


def _task(
    measured: Measured, logs: PairedValues, pairs: Pairs, pair: int, q: float | None, decision: Decision
) -> TaskChange:
    first, second = measured.sides[:, pair].tolist()
    low, high = logs.mean[:, pair].tolist()
    return TaskChange(
        task=pairs.tasks[pair],
        metric=measured.metric.name,
        ratio=_exp(high - low),
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


def _exp(value: float) -> float:
    """Return e to the power of a value, capped, because JSON has no infinity."""
    return math.exp(min(max(value, -700.0), 700.0))


def worst_of(decisions: list[Decision]) -> Decision:
    """Return the worst decision of exact and live units; too few live units do not count."""
    rank: tuple[Decision, ...] = ("regressed", "does_less", "warn", "improved", "cheaper_unproven", "ok")
    rank += ("insufficient", "not_available")
    return min(decisions, key=rank.index)


__all__ = [
    "DEFAULT_GATES",
    "METRICS",
    "ExactLimits",
    "Measured",
    "Metric",
    "TaskDesign",
    "decide_metric",
    "decide_tasks",
    "decide_total",
    "measure",
]
