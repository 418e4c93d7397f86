"""Judge one population of runs: measure, test in order, decide, and name what a lower cost means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.reports.aggregates import ToolUse
from harness.reports.columns import Bools, Columns, Floats
from harness.reports.designs import Design
from harness.reports.gating import ALPHA, EXTRA, rejections
from harness.reports.metrics import (
    COVERAGE,
    DEFAULT_GATES,
    METRICS,
    MIN_PAIRS,
    ExactLimits,
    Measured,
    decide_metric,
    decide_total,
    measure,
)
from harness.reports.report import (
    Coverage,
    Decision,
    Flips,
    Judged,
    MetricChange,
    ShareChange,
    TotalChange,
    Verdict,
)
from harness.reports.shares import TOOL_USE, MeasuredShare, decide_shares, measure_share, traits_of

QUALITY = ("completion", "passed", TOOL_USE)
TOTALS = ("cost_usd", "total_tokens", "tool_calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of a verdict.

    Attributes:
        gated: Metrics that decide the verdict.
        requested: The gated metrics that the caller named.
        limits: Tolerated growth of replayed tasks.
        alpha: One-sided error rate of the whole verdict.
    """

    gated: tuple[str, ...]
    requested: tuple[str, ...] = ()
    limits: ExactLimits = field(default_factory=ExactLimits)
    alpha: float = ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The measurements of a population, before decisions."""

    metrics: list[Measured]
    shares: list[MeasuredShare]


def judge(
    columns: Columns, tools: ToolUse, design: Design, exact: Bools, coverage: Coverage, rules: Rules
) -> tuple[Judged, Evidence]:
    """Return the decisions over one population, and the measurements behind them.

    Args:
        columns: Runs of both sides.
        tools: The tools that each run used.
        design: The design of the comparison.
        exact: Units that are compared exactly.
        coverage: How much of the baseline is compared.
        rules: The rules of the verdict.
    """
    metrics = [measure(metric, columns, design, exact) for metric in METRICS]
    shares = [measure_share(trait, columns, design, exact) for trait in traits_of(columns, tools)]
    rejected = rejections(_hypotheses(metrics, shares, rules), alpha=rules.alpha)
    covered = coverage.tasks >= COVERAGE
    by_name = {share.trait.name: share for share in shares}
    found = decide_shares(shares, rejected=rejected, covered=covered, passed_held=by_name["passed"].no_worse)
    changes = [
        decide_metric(
            one,
            gated=one.metric.name in rules.gated,
            rejected=one.metric.name in rejected,
            limits=rules.limits,
            covered=covered,
        )
        for one in metrics
    ]
    totals = [
        decide_total(one, design.units, rejected=f"total:{one.metric.name}" in rejected, covered=covered)
        for one in metrics
        if one.metric.name in TOTALS
    ]
    word, why = _word_for_cheaper(found, by_name)
    judged = Judged(
        verdict=_verdict(changes, totals, found, rules),
        metrics=tuple(_cheaper(one, word, why) for one in changes),
        totals=tuple(_cheaper_total(one, word) for one in totals),
        shares=tuple(found),
        coverage=replace(coverage, priced=metrics[0].coverage),
        flips=_flips(by_name, design.units),
        cost_per_passed=_cost_per_passed(columns, design.rows),
    )
    return judged, Evidence(metrics=metrics, shares=shares)


def _hypotheses(
    metrics: list[Measured], shares: list[MeasuredShare], rules: Rules
) -> dict[str, dict[str, float]]:
    """Return the one-sided p values of everything gated, by stage."""
    stages: dict[str, dict[str, float]] = {"cost": {}, "work": {}, "shares": {}, EXTRA: {}}
    for one in metrics:
        name = one.metric.name
        if name not in rules.gated or one.live < MIN_PAIRS:
            continue
        kind = "cost" if name == "cost_usd" else "work" if name in DEFAULT_GATES else EXTRA
        stage = stages[kind]
        if one.typical is not None:
            stage[name] = one.typical.p_up
        if one.total is not None and name in TOTALS:
            stage[f"total:{name}"] = one.total.p_up
    for share in shares:
        if share.trait.gated and share.p_worse is not None:
            stages["shares"][share.trait.name] = share.p_worse
    return stages


def _word_for_cheaper(
    found: list[ShareChange], by_name: dict[str, MeasuredShare]
) -> tuple[Decision, str | None]:
    """Return the decision for a metric that got cheaper, and why it is not an improvement, if so."""
    less = [s.metric for s in found if s.decision == "regressed" and _is_work(s.metric)]
    if less:
        return "does_less", f"cheaper, does less: {', '.join(less)} fell"
    open_questions = [name for name in QUALITY if not by_name[name].no_worse and _applies(by_name[name])]
    if open_questions:
        return "cheaper_unproven", f"cheaper; not shown: {', '.join(open_questions)} held within 5 points"
    return "improved", None


def _applies(share: MeasuredShare) -> bool:
    """Return whether a share can get worse at all: runs that never used a tool cannot stop using it."""
    return share.trait.name != TOOL_USE or share.runs[0] > 0


def _is_work(name: str) -> bool:
    return name in QUALITY or name.startswith("tool:")


def _cheaper(one: MetricChange, word: Decision, why: str | None) -> MetricChange:
    return replace(one, decision=word, note=why) if one.decision == "improved" else one


def _cheaper_total(one: TotalChange, word: Decision) -> TotalChange:
    return replace(one, decision=word) if one.decision == "improved" else one


def _verdict(
    metrics: list[MetricChange], totals: list[TotalChange], shares: list[ShareChange], rules: Rules
) -> Verdict:
    gated: Sequence[MetricChange | TotalChange | ShareChange] = [
        *(m for m in metrics if m.gated),
        *(t for t in totals if t.metric in rules.gated),
        *(s for s in shares if s.gated),
    ]
    decisions = {one.decision for one in gated}
    if "regressed" in decisions:
        return "regressed"
    if any(m.decision == "not_available" for m in metrics if m.metric in rules.requested):
        return "not_comparable"
    # If the candidate lacks a metric that the baseline has, or its tasks did not run, the verdict stays open.
    open_ones = [one for one in gated if one.decision == "insufficient"]
    known = [one for one in gated if one.decision != "not_available"]
    if open_ones and (len(open_ones) == len(known) or any(_matters(one) for one in open_ones)):
        return "insufficient"
    return "ok"


def _matters(one: MetricChange | TotalChange | ShareChange) -> bool:
    return isinstance(one, MetricChange) or one.metric in {"completion", "passed"}


def _flips(by_name: dict[str, MeasuredShare], units: tuple[str, ...]) -> Flips:
    """Return the units whose outcome changed; with repeats, the outcome of their majority."""
    passed = by_name["passed"]
    by = "passed" if passed.in_baseline and passed.known.any() else "completion"
    share = by_name[by]
    first, second = (np.where(share.known, side, np.nan) for side in share.sides)
    with np.errstate(invalid="ignore"):
        broken = np.flatnonzero((first >= 0.5) & (second < 0.5))
        fixed = np.flatnonzero((first < 0.5) & (second >= 0.5))
    return Flips(
        broken=tuple(units[i] for i in broken.tolist()), fixed=tuple(units[i] for i in fixed.tolist()), by=by
    )


def _cost_per_passed(columns: Columns, rows: Bools) -> dict[str, float | None]:
    """Return dollars per passed run, over the compared runs with known cost and outcome."""
    cost, passed = columns.numbers["cost_nanousd"], columns.numbers["passed"]
    known = rows & ~np.isnan(cost) & ~np.isnan(passed)
    found: dict[str, float | None] = {}
    for side, label in enumerate(("baseline", "candidate")):
        here: Floats = passed[known & (columns.side == side)]
        paid = float(cost[known & (columns.side == side)].sum()) / 1e9
        found[label] = paid / float(here.sum()) if here.sum() else None
    return found
