"""The report as a value, and its JSON document `goldrun.report/1`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = "goldrun.report/1"

Decision = Literal[
    "ok",
    "regressed",
    "improved",
    "cheaper_unproven",
    "does_less",
    "warn",
    "insufficient",
    "not_available",
]
Verdict = Literal["ok", "regressed", "insufficient", "not_comparable"]
Mode = Literal["exact", "statistical", "mixed", "standardised"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCounts:
    """How many tasks stand on both sides, and on one only."""

    paired: int
    only_baseline: int
    only_candidate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """One metric over the paired tasks.

    Attributes:
        baseline: Sum over the paired tasks, repeats averaged; dollars, tokens, calls, seconds or steps.
        candidate: The same of the candidate.
        ratio: Geometric mean of the tasks' ratios (of x + 1, x in the stored unit).
        ci_low: Lower end of the 95 % interval of `ratio`; `None` where tasks were compared exactly.
        ci_high: Upper end.
        p: Two-sided p value of no change.
        total_ratio: `candidate / baseline`.
        pairs: Tasks where both sides know the metric.
        gated: Whether the verdict follows the decision.
        smallest_seen: Smallest growth, as a part of 1, that this comparison finds in nine of ten cases.
        coverage: Share of the runs that know the metric, on the side that knows less.
        note: What made the decision, where the numbers do not say it.
    """

    metric: str
    baseline: float | None
    candidate: float | None
    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    decision: Decision
    total_ratio: float | None
    pairs: int
    gated: bool
    smallest_seen: float | None = None
    coverage: float = 1.0
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalChange:
    """One metric summed over the paired tasks, or over the baseline's traffic.

    Attributes:
        ratio: `candidate / baseline`.
        heavy: The few tasks that carry the growth, if few do.
        smallest_seen: As in `MetricChange`.
    """

    metric: str
    baseline: float | None
    candidate: float | None
    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    decision: Decision
    heavy: tuple[str, ...] = ()
    smallest_seen: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareChange:
    """The share of runs with a trait, over the paired tasks.

    Attributes:
        baseline: Mean over tasks, repeats averaged, 0 to 1.
        candidate: The same of the candidate.
        ci_low: Lower end of the 95 % interval of the difference; `None` where compared exactly.
        ci_high: Upper end.
        p: One-sided p value of "got worse", corrected for the shares looked at together.
        baseline_runs: Runs of the paired tasks that have the trait.
        candidate_runs: The same of the candidate.
        pairs: Tasks where both sides know the trait.
    """

    metric: str
    baseline: float | None
    candidate: float | None
    decision: Decision
    ci_low: float | None
    ci_high: float | None
    p: float | None
    baseline_runs: int
    candidate_runs: int
    pairs: int
    gated: bool = True
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """One metric of one task.

    Attributes:
        ratio: Of the means of x + 1 in logs.
        q: False discovery rate; `None` where nothing was tested: one run a side, or compared exactly.
        baseline: Mean of the task's runs.
        candidate: The same of the candidate.
    """

    task: str
    metric: str
    ratio: float
    q: float | None
    decision: Decision
    baseline: float
    candidate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumChange:
    """Runs of one kind that name no task.

    Attributes:
        stratum: Its key; `rest:<agent>` holds what is too rare to stand alone.
        runs_baseline: Runs in the baseline.
        runs_candidate: Runs in the candidate.
        ratio: Mean cost (tokens or tool calls, where cost is unknown) of a run, candidate by baseline.
        weight: Its share of the baseline's traffic.
    """

    stratum: str
    runs_baseline: int
    runs_candidate: int
    ratio: float | None
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the baseline the comparison covers, in parts of 1.

    Attributes:
        tasks: Share of the baseline's tasks (or of its traffic) that the candidate ran too.
        priced: Share of the compared runs whose cost is known, on the side that knows less.
        only_baseline: Tasks of the baseline alone.
        only_candidate: Tasks of the candidate alone.
        rest: Share of the traffic in strata too small to stand alone.
    """

    tasks: float
    priced: float
    only_baseline: int
    only_candidate: int
    rest: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """Tasks whose outcome turned: by `passed` where both sides know it, else by completion."""

    broken: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    by: str = "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The decisions over one population: paired tasks, or runs without a task."""

    verdict: Verdict
    metrics: tuple[MetricChange, ...]
    totals: tuple[TotalChange, ...]
    shares: tuple[ShareChange, ...]
    coverage: Coverage
    flips: Flips
    cost_per_passed: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Why the mean of a run changed, over the runs that the verdict compares.

    Attributes:
        measure: `cost_usd`, or `total_tokens` or `tool_calls` where costs are unknown.
        baseline: Mean per run.
        candidate: Mean per run.
        delta: `candidate - baseline`.
        factors: Parts of `delta` by cause, adding up to it; `None` where the measure cannot tell.
        segments: Parts of the cost's change by prompt segment, adding up to it; empty where prompts are unknown.
        runs: Runs looked at, baseline and candidate.
        constant_price: Mean per run of the candidate at the baseline's prices, and its ratio; `None` where
            costs are unknown.
        latency_s: Change of a run's seconds by model, tool and waiting time.
    """

    measure: str
    baseline: float
    candidate: float
    delta: float
    factors: dict[str, float | None]
    segments: dict[str, float]
    runs: dict[str, int]
    constant_price: dict[str, float | None] | None
    latency_s: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Two deploys compared: by task, and stratum by stratum where runs name no task.

    Attributes:
        metrics: Decisions over the paired tasks, or over the strata where no task stands on both sides.
        production: Decisions over runs without a task, where there are paired tasks too.
        headline: Verdict, both halves and warnings in one line.
    """

    baseline: str
    candidate: str
    history: str
    verdict: Verdict
    headline: str
    mode: Mode
    key: str
    pairs: PairCounts
    metrics: tuple[MetricChange, ...]
    totals: tuple[TotalChange, ...]
    shares: tuple[ShareChange, ...]
    tasks: tuple[TaskChange, ...]
    strata: tuple[StratumChange, ...]
    coverage: Coverage
    flips: Flips
    cost_per_passed: dict[str, float | None]
    production: Judged | None
    attribution: Attribution | None
    causes: tuple[str, ...]
    comparability: tuple[str, ...]
    gates: tuple[str, ...]
    stop_reasons: dict[str, dict[str, int]]
    summary: dict[str, dict[str, Any]]
    by_tenant: list[dict[str, Any]] = field(default_factory=list)
    by_tool: list[dict[str, Any]] = field(default_factory=list)
    by_model: list[dict[str, Any]] = field(default_factory=list)


def report_json(report: Report) -> dict[str, Any]:
    """Return the `goldrun.report/1` document: JSON types only, no NaN, unknown values null."""
    plain: dict[str, Any] = _lists(asdict(report))
    del plain["history"]
    attribution = plain["attribution"] or {"measure": "not_available", "factors": {}, "segments": {}}
    return {"schema": SCHEMA, **plain, "attribution": attribution}


def _lists(value: Any) -> Any:
    """Return a value with lists for tuples and null for numbers JSON does not know."""
    if isinstance(value, dict):
        return {name: _lists(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_lists(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
