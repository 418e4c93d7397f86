"""One constructed pair for each factor and prompt segment: all of the change is found in the right place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.reports import RunToIngest, compare, ingest
from harness.reports.report import Attribution
from harness.reports.segments import run_segments
from runtime.core.money import Rate, Usage
from runtime.core.run import Totals
from runtime.core.trace import ModelStep, Step, ToolStep, Trace

MakeRun = Callable[..., Trace]
RATES = {
    "small": Rate(input=1_000_000_000, output=4_000_000_000, cache_read=250_000_000),
    "large": Rate(input=5_000_000_000, output=20_000_000_000, cache_read=1_250_000_000),
}
DEAR = {
    name: Rate(input=2 * rate.input, output=2 * rate.output, cache_read=2 * (rate.cache_read or 0))
    for name, rate in RATES.items()
}
BASE = {"instructions": 2000, "tool schemas": 1000, "result:kb.search": 3000, "conversation": 500}


def _run(
    make_run: MakeRun,
    index: int,
    *,
    calls: int = 4,
    large: int = 0,
    parts: dict[str, int] | None = None,
    output: int = 300,
    cached: float = 0.5,
    rates: dict[str, Rate] | None = None,
    table: str = "p1",
    tool_cost: int = 0,
    task: str | None = None,
    repeat: int = 0,
) -> RunToIngest:
    """Return a run of several calls, each with its usage and the cost of its rates; tasks differ in size."""
    rates = RATES if rates is None else rates
    parts = {name: size * (2 + index % 3) for name, size in (BASE if parts is None else parts).items()}
    usage = Usage(
        input_tokens=sum(parts.values()),
        output_tokens=output * (1 + index % 2),
        cache_read_tokens=round(sum(parts.values()) * cached),
    )
    steps = []
    for number in range(calls):
        model = "large" if number < large else "small"
        step = ModelStep(
            lane=f"{number}.model/1",
            request_model=model,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cost_nanousd=rates[model].cost(usage),
        )
        tool = ToolStep(
            id=f"call#{number}",
            lane=f"{number}.tool0/1",
            name="kb.search",
            arguments={},
            status="ok",
            attempts=1,
            cost_nanousd=tool_cost or None,
        )
        steps.append(Step(index=number, model=step, tool_calls=(tool,)))
    paid = sum(s.model.cost_nanousd or 0 for s in steps if s.model) + calls * tool_cost
    many = calls
    totals = Totals(
        steps=many,
        model_calls=many,
        tool_calls=many,
        input_tokens=many * (usage.input_tokens or 0),
        output_tokens=many * (usage.output_tokens or 0),
        cache_read_tokens=many * (usage.cache_read_tokens or 0),
        total_tokens=many * ((usage.input_tokens or 0) + (usage.output_tokens or 0)),
        cost_nanousd=paid,
        duration_s=1.0,
    )
    base = make_run(task or f"t{index:02}", repeat=repeat, price_table=table)
    trace = msgspec.structs.replace(base, steps=tuple(steps), totals=totals)
    told = {step.model.lane: parts for step in steps if step.model}
    return RunToIngest(trace=trace, calls=told, segments=tuple(run_segments(trace, told, rates)))


def _attribution(history: Path, first: list[RunToIngest], second: list[RunToIngest]) -> Attribution:
    ingest(first, deploy="a", history=history)
    ingest(second, deploy="b", history=history)
    found = compare(history, baseline="a", candidate="b").attribution
    assert found is not None
    return found


def _main(effects: dict[str, Any], delta: float) -> dict[str, float]:
    """Return the effects of at least a thousandth of the change; rounding of single costs is below it."""
    return {name: value / delta for name, value in effects.items() if value and abs(value / delta) > 1e-3}


FACTORS: dict[str, dict[str, Any]] = {
    "price": {"rates": DEAR, "table": "p2"},
    "routing": {"large": 2},
    "calls_per_run": {"calls": 8},
    "output": {"output": 700},
    "cache_share": {"cached": 0.1},
    "input": {"parts": {**BASE, "instructions": 6000}},
    "tool_credits": {"tool_cost": 5_000_000},
}


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_factor_takes_the_whole_change(
    tmp_path: Path, make_run: MakeRun, factor: str, *, turned: bool
) -> None:
    sides = [
        [_run(make_run, i) for i in range(12)],
        [_run(make_run, i, **FACTORS[factor]) for i in range(12)],
    ]
    first, second = sides[::-1] if turned else sides

    found = _attribution(tmp_path, first, second)

    assert (found.delta > 0) != turned
    assert _main(found.factors, found.delta) == {factor: pytest.approx(1.0, abs=2e-3)}
    whole = [round(value * 1e9) for value in found.factors.values() if value is not None]
    assert sum(whole) == round(found.delta * 1e9)


def test_more_runs_of_dear_tasks_are_task_mix(tmp_path: Path, make_run: MakeRun) -> None:
    runs = [_run(make_run, i) for i in range(12)]
    dear = [_run(make_run, 2, calls=40, task="dear", repeat=k) for k in range(4)]

    found = _attribution(tmp_path, [*runs, dear[0]], [*runs, *dear])

    assert set(_main(found.factors, found.delta)) == {"task_mix"}


SEGMENTS: dict[str, dict[str, Any]] = {
    "instructions": {"parts": {**BASE, "instructions": 6000}},
    "tool schemas": {"parts": {**BASE, "tool schemas": 4000}},
    "result:kb.search": {"parts": {**BASE, "result:kb.search": 9000}},
    "result:web.get": {"parts": {**BASE, "result:web.get": 2000}},
    "conversation": {"parts": {**BASE, "conversation": 4000}},
    "output": {"output": 700},
    "cache_break": {"cached": 0.1},
    "price": {"rates": DEAR, "table": "p2"},
    "tool_credits": {"tool_cost": 5_000_000},
}


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_prompt_segment_takes_the_whole_change(
    tmp_path: Path, make_run: MakeRun, segment: str, *, turned: bool
) -> None:
    sides = [
        [_run(make_run, i) for i in range(12)],
        [_run(make_run, i, **SEGMENTS[segment]) for i in range(12)],
    ]
    first, second = sides[::-1] if turned else sides

    found = _attribution(tmp_path, first, second)
    effects = _main(found.segments, found.delta)

    if segment == "price":
        # Dearer output is a price too, but stands with the output in the view by segment.
        assert set(effects) == {"price", "output"}
    else:
        assert effects == {segment: pytest.approx(1.0, abs=2e-3)}
    assert sum(round(value * 1e9) for value in found.segments.values()) == round(found.delta * 1e9)


def test_explanations_look_only_at_the_runs_of_the_verdict(tmp_path: Path, make_run: MakeRun) -> None:
    runs = [_run(make_run, i) for i in range(20)]
    more = [_run(make_run, i, calls=30, task=f"new{i}") for i in range(200)]

    ingest(runs, deploy="a", history=tmp_path)
    ingest([*runs, *more], deploy="b", history=tmp_path)
    report = compare(tmp_path, baseline="a", candidate="b")

    assert report.attribution is not None
    assert report.attribution.delta == 0
    sides = report.by_tool[0]
    assert sides["baseline"]["calls"] == sides["candidate"]["calls"] == 80


def test_latency_is_model_tool_and_waiting_time(tmp_path: Path, make_run: MakeRun) -> None:
    def timed(total: float, model: float, tool: float) -> list[Trace]:
        return [
            msgspec.structs.replace(
                trace,
                totals=msgspec.structs.replace(trace.totals, duration_s=total, model_s=model, tool_s=tool),
            )
            for trace in (make_run(f"t{i}") for i in range(9))
        ]

    ingest(timed(10, 4, 5), deploy="a", history=tmp_path)
    ingest(timed(17, 6, 9), deploy="b", history=tmp_path)
    found = compare(tmp_path, baseline="a", candidate="b").attribution

    assert found is not None
    assert found.latency_s == {"model": 2.0, "tool": 4.0, "waiting": 1.0}
