"""Compare two deploys of a history and decide: by task, and by stratum for runs that name no task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.reports import breakdown
from harness.reports.aggregates import Aggregate, ToolUse, read_aggregate
from harness.reports.attribution import Compared, attribute
from harness.reports.causes import find_causes, find_differences
from harness.reports.columns import Bools, Columns, Ints, Names, read_sides
from harness.reports.designs import Design, StrataDesign, TaskDesign, strata_design
from harness.reports.gating import ALPHA
from harness.reports.headline import headline_of
from harness.reports.judging import Evidence, Rules, judge
from harness.reports.manifest import read_manifest
from harness.reports.metrics import DEFAULT_GATES, METRICS, ExactLimits, decide_tasks
from harness.reports.pairing import Pairs, pair_tasks
from harness.reports.reading import require_deploy
from harness.reports.report import Coverage, Judged, Mode, PairCounts, Report, StratumChange, Verdict
from runtime.errors import DataError, UsageError

_NUMBERS = (
    *("duration_s", "model_s", "tool_s", "steps", "model_calls", "tool_calls", "loops", "denials", "passed"),
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "total_tokens"),
    *("cost_nanousd", "execution"),
)
_NAMES = (
    *("source", "environment", "tenant", "agent", "suite", "task", "model", "stop_reason", "stop_class"),
    *("price_table", "prompt_hash", "tools_hash", "policy_hash", "stratum"),
)
LABEL = "label:"
_SEVERITY: tuple[Verdict, ...] = ("regressed", "not_comparable", "insufficient", "ok")


def compare(
    history: Path,
    *,
    baseline: str,
    candidate: str,
    gates: Sequence[str] = (),
    key: str = "task",
    limits: ExactLimits | None = None,
    skip_damaged: bool = False,
) -> Report:
    """Return the comparison of two deploys.

    Args:
        history: Folder that `ingest` filled.
        baseline: Deploy label to compare with.
        candidate: Deploy label that is judged.
        gates: Metrics that decide the verdict in addition to cost, tokens, tool calls and the shares.
        key: `task` pairs runs by task, and runs without one by stratum; `stratum` and `label:NAME` compare all
            runs by stratum or by a label.
        limits: Tolerated growth of replayed tasks.
        skip_damaged: Leave out damaged files of the history instead of failing.

    Raises:
        UsageError: If a gate is not a metric, or the key is not valid.
        DataError: If a label is unknown, nothing can be compared, or a file is damaged.
    """
    rules = Rules(gated=_check_gates(gates), requested=tuple(gates), limits=limits or ExactLimits())
    if key not in {"task", "stratum"} and not (key.startswith(LABEL) and key != LABEL):
        raise UsageError(f"{key!r} is no key; keys are task, stratum and label:NAME")
    manifest = read_manifest(history)
    labels = (baseline, candidate)
    for label in labels:
        require_deploy(history, manifest, label)
    damaged: list[str] | None = [] if skip_damaged else None
    columns = read_sides(
        history,
        manifest,
        baseline=baseline,
        candidate=candidate,
        numbers=_NUMBERS,
        names=_NAMES,
        damaged=damaged,
    )
    tools, models, segments = (
        read_aggregate(history, manifest, table, columns, labels, damaged)
        for table in ("tools", "models", "segments")
    )
    data = _Data(columns=columns, tools=tools, models=models, segments=segments)
    report = compare_data(data, labels=labels, rules=rules, key=key)
    skipped = tuple(f"damaged file left out: {path}" for path in damaged or ())
    return replace(report, history=str(history), comparability=(*skipped, *report.comparability))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """The data of two deploys."""

    columns: Columns
    tools: Aggregate
    models: Aggregate
    segments: Aggregate


@dataclass(frozen=True, slots=True, kw_only=True)
class _Population:
    """A population of runs, with its design and its decisions."""

    design: Design
    unit: Ints
    judged: Judged
    evidence: Evidence


def compare_data(data: _Data, *, labels: tuple[str, str], rules: Rules, key: str) -> Report:
    """Return the comparison of two deploys from their data."""
    columns = data.columns
    use = ToolUse(tools=data.tools, runs=len(columns.side))
    pairs = pair_tasks(columns)
    by_task = key == "task"
    unnamed = columns.names["task"].codes < 0 if by_task else np.ones(len(columns.side), dtype=np.bool_)
    strata = strata_design(columns, _strata_key(columns, key), unnamed)
    if not by_task:
        pairs = _no_tasks(pairs)
    if not pairs.count and strata is None:
        raise _nothing_to_compare(pairs, int(unnamed.sum()), labels)
    both = pairs.count > 0 and strata is not None
    # Two populations share the error rate, so that the verdict over both raises false alarms as rarely as one would.
    shared = replace(rules, alpha=ALPHA / 2) if both else rules
    found: list[_Population] = []
    if pairs.count:
        found.append(_tasks(columns, use, pairs, labels, shared))
    if strata is not None:
        found.append(_strata(columns, use, strata, shared))
    return _report(data, found, pairs, strata, labels=labels, rules=rules, key=key)


def _tasks(
    columns: Columns, use: ToolUse, pairs: Pairs, labels: tuple[str, str], rules: Rules
) -> _Population:
    design = TaskDesign(pairs=pairs, labels=labels)
    coverage = Coverage(
        tasks=pairs.count / (pairs.count + pairs.only_baseline),
        priced=0.0,
        only_baseline=pairs.only_baseline,
        only_candidate=pairs.only_candidate,
    )
    judged, evidence = judge(columns, use, design, pairs.exact, coverage, rules)
    unit = np.where(pairs.cell >= 0, pairs.cell // 2, -1)
    return _Population(design=design, unit=unit, judged=judged, evidence=evidence)


def _strata(columns: Columns, use: ToolUse, design: StrataDesign, rules: Rules) -> _Population:
    coverage = Coverage(tasks=design.covered, priced=0.0, only_baseline=0, only_candidate=0, rest=design.rest)
    exact = np.zeros(len(design.names), dtype=np.bool_)
    judged, evidence = judge(columns, use, design, exact, coverage, rules)
    unit = np.where(design.cell >= 0, design.cell // 2, -1)
    return _Population(design=design, unit=unit, judged=judged, evidence=evidence)


def _report(
    data: _Data,
    found: list[_Population],
    pairs: Pairs,
    strata: StrataDesign | None,
    *,
    labels: tuple[str, str],
    rules: Rules,
    key: str,
) -> Report:
    main, columns = found[0], data.columns
    rows = main.design.rows
    compared = Compared(
        columns=columns, unit=main.unit, models=data.models, tools=data.tools, segments=data.segments
    )
    attribution = attribute(compared)
    reasons = breakdown.stop_reasons(columns, rows)
    by_tool = breakdown.by_tool(data.tools, columns, rows)
    judged = main.judged
    verdicts: list[Verdict] = [p.judged.verdict for p in found]
    report = Report(
        baseline=labels[0],
        candidate=labels[1],
        history="",
        verdict=min(verdicts, key=_SEVERITY.index),
        headline="",
        mode=_mode(pairs) if pairs.count else "standardised",
        key=key,
        pairs=PairCounts(
            paired=pairs.count, only_baseline=pairs.only_baseline, only_candidate=pairs.only_candidate
        ),
        metrics=judged.metrics,
        totals=judged.totals,
        shares=judged.shares,
        tasks=tuple(task for one in main.evidence.metrics for task in decide_tasks(one, pairs, rules.limits))
        if pairs.count
        else (),
        strata=_strata_changes(columns, strata),
        coverage=judged.coverage,
        flips=judged.flips,
        cost_per_passed=judged.cost_per_passed,
        production=found[1].judged if len(found) > 1 else None,
        attribution=attribution,
        causes=(),
        comparability=(
            *find_differences(columns, rows, pairs.mixed_sources),
            *breakdown.new_tasks(columns, rows, pairs.new),
        ),
        gates=rules.gated,
        stop_reasons=reasons,
        summary=breakdown.summarise(columns),
        by_tenant=breakdown.by_tenant(columns),
        by_tool=by_tool,
        by_model=breakdown.by_model(data.models, columns, rows),
    )
    report = replace(report, causes=tuple(find_causes(report)))
    return replace(report, headline=headline_of(report))


def _strata_changes(columns: Columns, design: StrataDesign | None) -> tuple[StratumChange, ...]:
    if design is None:
        return ()
    values = next(
        (
            v
            for v in map(columns.numbers.__getitem__, ("cost_nanousd", "total_tokens"))
            if not np.isnan(v).all()
        ),
        columns.numbers["tool_calls"],
    )
    first, second = design.sides(values)
    found = []
    for index, name in enumerate(design.names):
        known = bool(first[index] > 0) and not np.isnan(second[index])
        found.append(
            StratumChange(
                stratum=name,
                runs_baseline=int(design.counts[0, index]),
                runs_candidate=int(design.counts[1, index]),
                ratio=float(second[index] / first[index]) if known else None,
                weight=float(design.weights[index]),
            )
        )
    return tuple(sorted(found, key=lambda s: (-s.weight, s.stratum)))


def _strata_key(columns: Columns, key: str) -> Names:
    """Return each row's stratum: the stored one, or the value of a label."""
    if not key.startswith(LABEL):
        return columns.names["stratum"]
    name = key.removeprefix(LABEL)
    stated = [labels.get(name) for labels in columns.labels]
    values = tuple(sorted({value for value in stated if value is not None}))
    place = {value: code for code, value in enumerate(values)}
    codes = np.array([-1 if value is None else place[value] for value in stated], dtype=np.int64)
    return Names(codes=codes, values=values)


def _no_tasks(pairs: Pairs) -> Pairs:
    """Return empty pairs, for comparisons that are not by task."""
    none: Bools = np.zeros(0, dtype=np.bool_)
    return Pairs(
        tasks=(),
        exact=none,
        cell=np.full(len(pairs.cell), -1, dtype=np.int64),
        only_baseline=0,
        only_candidate=0,
        new=np.zeros(len(pairs.cell), dtype=np.bool_),
        mixed_sources=0,
    )


def _check_gates(gates: Sequence[str]) -> tuple[str, ...]:
    names = [metric.name for metric in METRICS]
    unknown = [gate for gate in gates if gate not in names]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is no metric to gate on; metrics are {', '.join(names)}")
    return tuple(name for name in names if name in DEFAULT_GATES or name in gates)


def _nothing_to_compare(pairs: Pairs, unnamed: int, labels: tuple[str, str]) -> DataError:
    return DataError(
        f"0 pairs: no task stands in both deploys ({pairs.only_baseline} tasks in {labels[0]!r} only,"
        f" {pairs.only_candidate} in {labels[1]!r} only, {unnamed} runs that name no task)",
        next_step="compare deploys that ran the same tasks, or runs of both deploys that name no task",
    )


def _mode(pairs: Pairs) -> Mode:
    if pairs.exact.all():
        return "exact"
    return "mixed" if pairs.exact.any() else "statistical"
