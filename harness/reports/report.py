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
    """Number of tasks on both sides, and on one side only."""

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
        ci_low: Lower end of the 95 % interval of `ratio`; `None` if tasks were compared exactly.
        ci_high: Upper end.
        p: Two-sided p value against "no change".
        total_ratio: `candidate / baseline`.
        pairs: Tasks whose metric is known on both sides.
        gated: Whether the decision counts for the verdict.
        smallest_seen: Smallest growth, as a part of 1, that this comparison detects in nine of ten cases.
        coverage: Share of runs with a known metric, on the side with fewer.
        note: Reason of the decision, if the numbers do not show it.
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
        heavy: The few tasks that carry most of the growth; empty if many do.
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
        ci_low: Lower end of the 95 % interval of the difference; `None` if compared exactly.
        ci_high: Upper end.
        p: One-sided p value of "got worse", corrected for all shares that are tested together.
        baseline_runs: Runs of the paired tasks that have the trait.
        candidate_runs: The same of the candidate.
        pairs: Tasks whose trait is known on both sides.
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
        q: False discovery rate; `None` if nothing was tested (one run a side, or compared exactly).
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
    """Runs of one stratum, which name no task.

    Attributes:
        stratum: Its key; `rest:<agent>` merges strata that are too small.
        runs_baseline: Runs in the baseline.
        runs_candidate: Runs in the candidate.
        ratio: Mean cost of a run, candidate divided by baseline; tokens or tool calls if cost is unknown.
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
        priced: Share of the compared runs whose cost is known, on the side with fewer.
        only_baseline: Number of tasks that only the baseline has.
        only_candidate: Number of tasks that only the candidate has.
        rest: Share of the traffic in strata that were too small and were merged.
    """

    tasks: float
    priced: float
    only_baseline: int
    only_candidate: int
    rest: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """Tasks whose outcome changed: `passed` if both sides know it, otherwise completion."""

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
        measure: `cost_usd`, or `total_tokens` or `tool_calls` if costs are unknown.
        baseline: Mean per run.
        candidate: Mean per run.
        delta: `candidate - baseline`.
        factors: Parts of `delta` by cause, which add up to it; `None` if the measure cannot be divided so.
        segments: Parts of the cost's change by prompt segment, which add up to it; empty if prompts are unknown.
        runs: Number of examined runs, baseline and candidate.
        constant_price: The candidate's mean per run at the baseline's prices, and its ratio to the baseline; `None` if
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
    """A comparison of two deploys: by task, and by stratum for runs that name no task.

    Attributes:
        metrics: Decisions over the paired tasks, or over the strata if no task is on both sides.
        production: Decisions over runs without a task, if there are paired tasks too.
        headline: Verdict, cost, quality and warnings in one line.
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
    """Return a value with lists for tuples, and null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: _lists(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_lists(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
