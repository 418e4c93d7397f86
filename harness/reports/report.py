"""The report as a value, and its JSON document `goldrun.report/1`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = "goldrun.report/1"

Decision = Literal["ok", "regressed", "improved", "warn", "insufficient", "not_available"]
Verdict = Literal["ok", "regressed", "insufficient", "not_comparable"]
Mode = Literal["exact", "statistical", "mixed"]


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
    note: str | None = None


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
    """Runs that name no task, within one tenant, environment, agent and model; never gated.

    Attributes:
        ratio: Of the geometric means of x + 1.
        decision: `warn` if the interval lies above 1 and the ratio is beyond the margin.
    """

    stratum: str
    metric: str
    baseline_runs: int
    candidate_runs: int
    ratio: float
    ci_low: float
    ci_high: float
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Why the mean of a run changed; the effects add up to the change exactly.

    Attributes:
        measure: `cost_usd`, or `total_tokens` or `tool_calls` where costs are unknown.
        baseline: Mean per run.
        candidate: Mean per run.
        delta: `candidate - baseline`.
        effects: Parts of `delta` by cause; `None` where the measure cannot tell.
        runs: Runs looked at, baseline and candidate.
        constant_price: Mean per run of the candidate at the baseline's prices, and its ratio; `None` where
            costs are unknown.
    """

    measure: str
    baseline: float
    candidate: float
    delta: float
    effects: dict[str, float | None]
    runs: dict[str, int]
    constant_price: dict[str, float | None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Two deploys compared task by task."""

    baseline: str
    candidate: str
    history: str
    verdict: Verdict
    mode: Mode
    pairs: PairCounts
    metrics: tuple[MetricChange, ...]
    shares: tuple[ShareChange, ...]
    tasks: tuple[TaskChange, ...]
    attribution: Attribution | None
    causes: tuple[str, ...]
    comparability: tuple[str, ...]
    gates: tuple[str, ...]
    stop_reasons: dict[str, dict[str, int]]
    summary: dict[str, dict[str, Any]]
    by_tenant: list[dict[str, Any]] = field(default_factory=list)
    by_tool: list[dict[str, Any]] = field(default_factory=list)
    strata: tuple[StratumChange, ...] = ()


def report_json(report: Report) -> dict[str, Any]:
    """Return the `goldrun.report/1` document: JSON types only, no NaN, unknown values null."""
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(report).items()}
    del plain["history"]
    attribution = plain["attribution"] or {"measure": "not_available"}
    return {"schema": SCHEMA, **plain, "attribution": attribution}
