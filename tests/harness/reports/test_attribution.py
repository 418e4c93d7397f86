"""Attribution: each planted cause is found, and the effects always add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.reports import Report, compare, ingest
from harness.reports.report import Attribution
from runtime.core.trace import Trace
from tests.support.counts import examples

MakeRun = Callable[..., Trace]
CompareRuns = Callable[..., Report]


def _attribution(report: Report) -> Attribution:
    assert report.attribution is not None
    return report.attribution


def _runs(make_run: MakeRun, **changes: Any) -> list[Trace]:
    """Return 12 runs of 4 model calls, 500 tokens and $0.001 a call, at $2 a million."""
    return [
        make_run(f"t{i:02}", calls=3, **{"tokens": 2000, "cost": 4_000_000, **changes}) for i in range(12)
    ]


def _nonzero(found: Attribution) -> dict[str, float]:
    return {name: value for name, value in found.factors.items() if value}


def test_a_dearer_price_is_price_and_costs_the_same_at_constant_prices(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    first = _runs(make_run, price_table="p1")
    second = _runs(make_run, price_table="p2", cost=6_000_000)

    found = _attribution(compare_runs(first, second))

    assert _nonzero(found) == {"price": 0.002}
    assert found.constant_price is not None
    assert found.constant_price["ratio"] == pytest.approx(1.0)


def test_prices_by_kind_are_told_apart_from_a_shift_to_output(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    def runs(price_in: int, price_out: int, shift: int, table: str) -> list[Trace]:
        made = []
        for i in range(12):
            out = 100 + 7 * i + shift
            tokens = 2000 + 31 * i * i
            cost = (tokens - out) * price_in + out * price_out
            made.append(make_run(f"t{i:02}", tokens=tokens, output_tokens=out, cost=cost, price_table=table))
        return made

    same = _attribution(compare_runs(runs(1000, 4000, 0, "p1"), runs(1000, 4000, 300, "p2")))

    assert set(_nonzero(same)) == {"input", "output"}


def test_more_calls_are_calls_per_run(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    second = _runs(make_run, tokens=4000, cost=8_000_000, model_calls=8)

    assert _nonzero(_attribution(compare_runs(_runs(make_run), second))) == {"calls_per_run": 0.004}


def test_longer_calls_are_input_and_output(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    second = _runs(make_run, tokens=3000, cost=6_000_000)

    found = _nonzero(_attribution(compare_runs(_runs(make_run), second)))

    assert set(found) == {"input", "output"}
    assert sum(found.values()) == pytest.approx(0.002)


def test_another_model_is_routing(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    second = _runs(make_run, model="gpt-5-mini", cost=1_000_000)

    assert _nonzero(_attribution(compare_runs(_runs(make_run), second))) == {"routing": -0.003}


def test_more_runs_of_dear_tasks_are_task_mix(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    dear = [make_run("dear", repeat=k, cost=40_000_000) for k in range(4)]

    found = _attribution(compare_runs([*_runs(make_run), dear[0]], [*_runs(make_run), *dear]))

    assert set(_nonzero(found)) == {"task_mix"}
    assert found.delta > 0


def test_without_costs_tokens_are_explained_and_without_tokens_calls(
    make_run: MakeRun, compare_runs: CompareRuns
) -> None:
    tokens = _attribution(compare_runs(_runs(make_run, cost=None), _runs(make_run, cost=None, tokens=4000)))

    assert (tokens.measure, _nonzero(tokens)) == ("total_tokens", {"input": 1800.0, "output": 200.0})
    assert tokens.factors["price"] is None
    assert tokens.constant_price is None


def test_without_tokens_tool_calls_are_explained(make_run: MakeRun, compare_runs: CompareRuns) -> None:
    first = [make_run(f"t{i}", calls=2, cost=None, tokens=None) for i in range(9)]
    second = [make_run(f"t{i}", calls=5, cost=None, tokens=None) for i in range(9)]

    found = _attribution(compare_runs(first, second))

    assert (found.measure, _nonzero(found)) == ("tool_calls", {"calls_per_run": 3.0})


_RUN = st.tuples(
    st.integers(0, 4),
    st.sampled_from(["m1", "m2", "m3"]),
    st.integers(0, 9),
    st.one_of(st.none(), st.integers(0, 10_000)),
    st.one_of(st.none(), st.integers(0, 10**8)),
    st.sampled_from([None, "p1", "p2"]),
)


@settings(max_examples=examples(8, 100))
@given(st.lists(_RUN, min_size=1, max_size=12), st.lists(_RUN, min_size=1, max_size=12))
def test_the_effects_add_up_to_the_change(
    make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory, first: list[Any], second: list[Any]
) -> None:
    history = tmp_path_factory.mktemp("sum")
    for label, runs in (("a", first), ("b", second)):
        traces = [
            make_run(
                f"t{task}", repeat=k, model=model, calls=calls, tokens=tokens, cost=cost, price_table=table
            )
            for k, (task, model, calls, tokens, cost, table) in enumerate([*runs, (0, "m1", 1, 10, 10, "p1")])
        ]
        ingest(traces, deploy=label, history=history)

    found = _attribution(compare(history, baseline="a", candidate="b"))
    parts = [round(value * 10**9) for value in found.factors.values() if value is not None]

    assert sum(parts) == round(found.delta * 10**9)
    assert round(found.candidate * 10**9) - round(found.baseline * 10**9) == sum(parts)
