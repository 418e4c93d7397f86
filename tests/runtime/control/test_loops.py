"""The loop guard: equal calls, cycles of 2 to 6, the same error."""

from __future__ import annotations

from itertools import cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.control.loops import LONGEST_CYCLE, LoopGuard
from runtime.core.policy import LoopLimits


def first_loop(guard: LoopGuard, calls: list[str]) -> int | None:
    """Return the number of the first call, from 1, that passes a limit."""
    return next((n for n, name in enumerate(calls, 1) if guard.asks(name, "h")), None)


def test_the_call_after_the_permitted_equal_ones_is_a_loop() -> None:
    assert first_loop(LoopGuard(LoopLimits(same_call=3)), ["a"] * 9) == 4


def test_other_arguments_are_another_call() -> None:
    guard = LoopGuard(LoopLimits(same_call=2))

    assert not any(guard.asks("a", str(n)) for n in range(50))


@pytest.mark.parametrize("period", range(2, LONGEST_CYCLE + 1))
@pytest.mark.parametrize("repeats", [1, 2, 4])
def test_a_cycle_is_found_when_its_permitted_rounds_are_passed(period: int, repeats: int) -> None:
    names = [f"t{n}" for n in range(period)]
    guard = LoopGuard(LoopLimits(cycle=repeats))

    assert first_loop(guard, ["x", "y", *islice(cycle(names), 100)]) == 2 + period * repeats + 1


def test_a_cycle_longer_than_the_longest_is_no_loop() -> None:
    names = [f"t{n}" for n in range(LONGEST_CYCLE + 1)]

    assert first_loop(LoopGuard(LoopLimits()), list(islice(cycle(names), 200))) is None


def test_equal_calls_are_judged_by_their_own_limit_alone() -> None:
    assert first_loop(LoopGuard(LoopLimits(same_call=100, cycle=2)), ["a"] * 200) == 101


def test_a_cycle_may_hold_equal_neighbours() -> None:
    assert first_loop(LoopGuard(LoopLimits(same_call=3, cycle=2)), ["a", "a", "b"] * 5) == 7


@given(st.permutations(range(7)), st.integers(1, 4))
def test_calls_that_never_repeat_are_no_loop(order: list[int], same_call: int) -> None:
    guard = LoopGuard(LoopLimits(same_call=same_call, cycle=1))

    assert first_loop(guard, [f"t{n}" for n in order]) is None


def test_the_same_error_again_and_again_is_a_loop() -> None:
    guard = LoopGuard(LoopLimits(same_error=2))

    assert [guard.fails("a", "boom") for _ in range(4)] == [False, False, True, True]


@pytest.mark.parametrize("between", [("a", None), ("a", "other")])
def test_a_success_or_another_error_begins_the_count_again(between: tuple[str, str | None]) -> None:
    guard = LoopGuard(LoopLimits(same_error=2))
    guard.fails("a", "boom")
    guard.fails("a", "boom")

    guard.fails(*between)

    assert [guard.fails("a", "boom") for _ in range(2)] == [False, False]


def test_other_tools_do_not_begin_the_count_of_an_error_again() -> None:
    guard = LoopGuard(LoopLimits(same_error=2))

    found = [(guard.fails("a", "boom"), guard.fails("b", None), guard.fails("c", "boom")) for _ in range(3)]

    assert [a for a, _, _ in found] == [False, False, True]


def test_an_error_that_tells_the_calls_own_arguments_and_times_is_the_same_error() -> None:
    guard = LoopGuard(LoopLimits(same_error=2))

    found = [
        guard.fails("a", f"no item 'pear{n}' after {n}.5 s", {"item": f"pear{n}", "deep": [{"x": "y"}]})
        for n in range(3)
    ]

    assert found == [False, False, True]


def test_a_tool_that_finds_the_same_whatever_it_is_asked_makes_no_progress() -> None:
    guard = LoopGuard(LoopLimits(no_progress=3))

    found = [
        (guard.gives("search", "[]", write=False), guard.gives("look", str(n), write=False)) for n in range(4)
    ]

    assert found == [(False, False)] * 3 + [(True, False)]


def test_a_write_or_another_result_is_progress() -> None:
    guard = LoopGuard(LoopLimits(no_progress=2))
    for between in (("search", "found", False), ("note", "ok", True)):
        guard.gives("search", "[]", write=False)
        guard.gives("search", "[]", write=False)
        guard.gives(between[0], between[1], write=between[2])

        assert not guard.gives("search", "[]", write=False)
        assert [guard.gives("note", "ok", write=True) for _ in range(5)] == [False] * 5


def test_without_limits_nothing_is_a_loop() -> None:
    guard = LoopGuard(None)

    assert first_loop(guard, ["a"] * 50) is None
    assert not any(guard.fails("a", "boom") for _ in range(50))
