"""Error rates and power of the whole verdict by seeded simulation; `GOLDRUN_FULL=1` runs the full counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.reports.aggregates import Aggregate, ToolUse
from harness.reports.columns import Bools, Columns, Floats, Ints, Names
from harness.reports.designs import TaskDesign, strata_design
from harness.reports.judging import Rules, judge
from harness.reports.metrics import DEFAULT_GATES
from harness.reports.pairing import pair_tasks
from harness.reports.report import Coverage, Judged
from tests.support.counts import FULL

RULES = Rules(gated=DEFAULT_GATES)
WHOLE = Coverage(tasks=1.0, priced=1.0, only_baseline=0, only_candidate=0)
LABELS = ("a", "b")


def _times(full: int, quick: int) -> int:
    return full if FULL else quick


def _names(codes: Ints, values: tuple[str, ...]) -> Names:
    return Names(codes=codes.astype(np.int64), values=values)


def _columns(
    side: Ints,
    *,
    cost: Floats,
    tokens: Floats | None = None,
    calls: Floats | None = None,
    task: Ints | None = None,
    stratum: Ints | None = None,
    tenant: Ints | None = None,
    passed: Floats | None = None,
    stopped: Bools | None = None,
    loops: Floats | None = None,
    denials: Floats | None = None,
) -> Columns:
    """Return runs as columns; what is not given is unknown or the same for all runs."""
    count = len(side)
    none, zero = np.full(count, np.nan), np.zeros(count)
    same = np.zeros(count, dtype=np.int64)
    kinds = same if stopped is None else stopped.astype(np.int64)
    unnamed = np.full(count, -1, dtype=np.int64)

    def many(codes: Ints | None, letter: str) -> Names:
        if codes is None:
            return _names(unnamed, ())
        return _names(codes, tuple(f"{letter}{i:05}" for i in range(int(codes.max()) + 1)))

    return Columns(
        side=side,
        numbers={
            "cost_nanousd": cost,
            "total_tokens": none if tokens is None else tokens,
            "tool_calls": none if calls is None else calls,
            "duration_s": none,
            "steps": none,
            "passed": none if passed is None else passed,
            "loops": zero if loops is None else loops,
            "denials": zero if denials is None else denials,
            "execution": zero,
        },
        names={
            "task": many(task, "t"),
            "suite": _names(unnamed, ()),
            "stratum": many(stratum, "s"),
            "tenant": _names(same, ("acme",)) if tenant is None else many(tenant, "n"),
            "agent": _names(same, ("support",)),
            "source": _names(same, ("prod",)),
            "stop_class": _names(kinds, ("finish", "budget")),
            "stop_reason": _names(kinds, ("finish", "max_steps")),
        },
        run_ids=("",) * count,
        labels=({},) * count,
    )


def _tools(count: int) -> ToolUse:
    nothing: dict[str, Floats] = {"calls": np.zeros(0), "write": np.zeros(0)}
    empty = np.zeros(0, dtype=np.int64)
    return ToolUse(tools=Aggregate(row=empty, name=_names(empty, ()), numbers=nothing), runs=count)


def _by_task(columns: Columns, trial: int = 0) -> Judged:
    pairs = pair_tasks(columns)
    design = TaskDesign(pairs=pairs, labels=("a", f"b{trial}"))
    return judge(columns, _tools(len(columns.side)), design, pairs.exact, WHOLE, RULES)[0]


def _by_stratum(columns: Columns) -> Judged:
    rows = np.ones(len(columns.side), dtype=np.bool_)
    design = strata_design(columns, columns.names["stratum"], rows)
    assert design is not None
    exact = np.zeros(len(design.names), dtype=np.bool_)
    return judge(columns, _tools(len(columns.side)), design, exact, WHOLE, RULES)[0]


def _layout(tasks: int, repeats: int) -> tuple[Ints, Ints]:
    side = np.repeat([0, 1], tasks * repeats)
    return side, np.tile(np.repeat(np.arange(tasks), repeats), 2)


def _noisy(rng: np.random.Generator, task: Ints, noise: float, spread: float = 1.0) -> Floats:
    size = rng.lognormal(0, spread, int(task.max()) + 1)
    return np.asarray(10**7 * size[task] * rng.lognormal(0, noise, len(task)))


@pytest.mark.parametrize(("tasks", "repeats"), [(10, 1), (20, 1), (50, 1), (200, 1), (30, 5)])
def test_no_change_alarms_in_at_most_6_percent_over_all_gated_metrics(tasks: int, repeats: int) -> None:
    rng = np.random.default_rng(tasks * 10 + repeats)
    side, task = _layout(tasks, repeats)
    trials, alarms = _times(1000, 50), 0
    odds = {name: rng.uniform(0.02, 0.5, tasks)[task] for name in ("passed", "stop", "loops", "deny")}
    for trial in range(trials):
        chance = {name: rng.random(len(task)) < odds[name] for name in odds}
        columns = _columns(
            side,
            task=task,
            cost=_noisy(rng, task, 0.5),
            tokens=_noisy(rng, task, 0.5),
            calls=rng.poisson(7 * rng.lognormal(0, 0.3, len(task))).astype(np.float64),
            passed=(~chance["passed"]).astype(np.float64),
            stopped=chance["stop"],
            loops=chance["loops"].astype(np.float64),
            denials=chance["deny"].astype(np.float64),
        )
        alarms += _by_task(columns, trial).verdict == "regressed"

    assert alarms / trials <= 0.06


@pytest.mark.parametrize("tasks", [30, 200])
def test_heavy_tailed_costs_do_not_alarm_by_themselves(tasks: int) -> None:
    rng = np.random.default_rng(tasks)
    side, task = _layout(tasks, 1)
    trials = _times(1000, 34)
    alarms = sum(
        _by_task(_columns(side, task=task, cost=_noisy(rng, task, 0.6, spread=1.8)), trial).verdict
        == "regressed"
        for trial in range(trials)
    )

    assert alarms / trials <= 0.06


@pytest.mark.parametrize(("noise", "least"), [(0.20, 0.90), (0.30, 0.55)])
def test_ten_percent_more_cost_is_found_with_30_tasks_and_5_repeats(noise: float, least: float) -> None:
    rng = np.random.default_rng(17)
    side, task = _layout(30, 5)
    trials = _times(1000, 34)
    found = sum(
        _by_task(_columns(side, task=task, cost=_noisy(rng, task, noise) * (1 + 0.1 * side)), trial).verdict
        == "regressed"
        for trial in range(trials)
    )

    assert found / trials >= least


def test_a_heavy_tail_that_adds_37_percent_is_found_at_200_tasks() -> None:
    rng = np.random.default_rng(5)
    side, task = _layout(200, 1)
    trials, found = _times(500, 20), 0
    for trial in range(trials):
        size = np.sort(rng.lognormal(0, 1.0, 200))[::-1]
        grown = np.where((task < 20) & (side == 1), 2.0, 1.0)
        cost = 10**7 * size[task] * rng.lognormal(0, 0.25, len(task)) * grown
        found += _by_task(_columns(side, task=task, cost=cost), trial).verdict == "regressed"

    assert found / trials >= 0.95


@pytest.mark.parametrize("split", ["at random", "by tenant"])
@pytest.mark.parametrize("tenants", [12, 40])
def test_halves_of_one_deploy_rarely_alarm(split: str, tenants: int) -> None:
    rng = np.random.default_rng(tenants)
    trials, alarms, runs = _times(1000, 50), 0, 1200
    for _ in range(trials):
        tenant = rng.integers(0, tenants, runs)
        stratum = rng.integers(0, 6, runs)
        habit, risk = rng.normal(0, 0.3, tenants), rng.uniform(0.02, 0.2, tenants)
        cost = 10**7 * np.exp(0.8 * stratum + habit[tenant] + rng.normal(0, 0.5, runs))
        calls = rng.poisson(5 * np.exp(rng.normal(0, 0.2, tenants)[tenant])).astype(np.float64)
        half = rng.permutation(tenants) < tenants // 2
        side = (half[tenant] if split == "by tenant" else rng.random(runs) < 0.5).astype(np.int64)
        columns = _columns(
            side,
            stratum=stratum,
            tenant=tenant,
            cost=cost,
            tokens=cost / 1000 * np.exp(rng.normal(0, 0.3, runs)),
            calls=calls,
            stopped=rng.random(runs) < risk[tenant],
            denials=(rng.random(runs) < risk[tenant]).astype(np.float64),
        )
        alarms += _by_stratum(columns).verdict == "regressed"

    assert alarms / trials <= 0.06


def test_a_tenth_more_cost_of_production_traffic_is_found() -> None:
    rng = np.random.default_rng(3)
    trials, found, runs = _times(400, 20), 0, 4000
    for _ in range(trials):
        tenant, stratum = rng.integers(0, 30, runs), rng.integers(0, 6, runs)
        side = rng.integers(0, 2, runs)
        cost = 10**7 * np.exp(0.8 * stratum + rng.normal(0, 0.3, 30)[tenant] + rng.normal(0, 0.4, runs))
        columns = _columns(side, stratum=stratum, tenant=tenant, cost=cost * (1 + 0.1 * side))
        found += _by_stratum(columns).verdict == "regressed"

    assert found / trials >= 0.9


def test_a_simpson_pair_turns_the_sign() -> None:
    rng = np.random.default_rng(1)
    side = np.repeat([0, 1], 1000)
    hard = np.where(side == 0, rng.random(2000) < 0.75, rng.random(2000) < 0.25).astype(np.int64)
    cost = 10**6 * np.where(hard, 20.0, 1.0) * np.where(side, 1.3, 1.0) * rng.lognormal(0, 0.3, 2000)

    found = _by_stratum(_columns(side, stratum=hard, cost=cost))

    assert cost[side == 1].mean() < cost[side == 0].mean()
    assert found.verdict == "regressed"
    assert found.totals[0].ratio == pytest.approx(1.3, abs=0.05)


@pytest.mark.parametrize("tasks", [20, 50, 200])
def test_fewer_passed_tasks_are_never_called_an_improvement(tasks: int) -> None:
    rng = np.random.default_rng(tasks)
    side, task = _layout(tasks, 1)
    words: set[str] = set()
    for trial in range(_times(500, 20)):
        passed = rng.random(len(task)) < np.where(side, 0.7, 0.8)
        cost = _noisy(rng, task, 0.25) * np.where(side, 0.7, 1.0)
        found = _by_task(_columns(side, task=task, cost=cost, passed=passed.astype(np.float64)), trial)
        words.add(_decision(found, "cost_usd"))

    assert "improved" not in words
    assert words <= {"cheaper_unproven", "does_less", "ok"}


def _decision(judged: Judged, name: str) -> Any:
    return next(m.decision for m in judged.metrics if m.metric == name)
