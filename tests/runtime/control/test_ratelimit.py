"""The rate limiter: never more than the limit in any window, and no longer wait than promised."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.control.ratelimit import FRESH, GRAIN, RateRule, RateState, take
from runtime.errors import UsageError

steps = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 4)), min_size=1, max_size=80)


def grants_of(rule: RateRule, calls: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return the calls (time, cost) that were let through."""
    state, granted = FRESH, []
    for at, cost in calls:
        state, answer = take(state, rule, now=at, cost=cost)
        if answer.granted:
            granted.append((at, cost))
    return granted


def timed(gaps: list[tuple[int, int]]) -> list[tuple[float, int]]:
    """Return calls from gaps in 1/512 seconds, so that sums are exact."""
    at, calls = 0.0, []
    for gap, cost in gaps:
        at += gap / 512
        calls.append((at, cost))
    return calls


@given(steps, st.integers(1, 12))
def test_never_more_than_the_limit_in_any_window(gaps: list[tuple[int, int]], limit: int) -> None:
    granted = grants_of(RateRule(limit, 1.0), timed(gaps))

    for start, _ in granted:
        assert sum(cost for at, cost in granted if start <= at < start + 1.0) <= limit


@given(steps, st.integers(4, 12))
def test_a_call_is_refused_only_when_the_last_65_of_64_parts_of_a_window_are_full(
    gaps: list[tuple[int, int]], limit: int
) -> None:
    calls = timed(gaps)
    granted = grants_of(RateRule(limit, 1.0), calls)
    refused = [call for call in calls if call not in granted]

    for now, cost in refused:
        recent = sum(c for at, c in granted if now - (1.0 + 1.0 / GRAIN) < at <= now)
        assert recent + cost > limit


def test_twice_the_limit_within_a_little_more_than_a_window_never_passes() -> None:
    rule = RateRule(10, 1.0)
    burst = [(0.99, 1)] * 10 + [(1.01, 1)] * 10

    assert len(grants_of(rule, burst)) == 10


def test_calls_that_share_an_entry_leave_the_window_with_the_last_of_them() -> None:
    rule = RateRule(2, 1.0)
    calls = [(0.0, 1), (0.01, 1), (1.005, 1), (1.005, 1), (1.01, 2)]

    assert grants_of(rule, calls) == [(0.0, 1), (0.01, 1), (1.01, 2)]


def test_the_wait_that_is_told_is_enough_and_not_longer() -> None:
    rule = RateRule(2, 8.0)
    state, _ = take(FRESH, rule, now=100.0)
    state, _ = take(state, rule, now=103.0)

    state, refused = take(state, rule, now=104.0)
    _, early = take(state, rule, now=104.0 + (refused.after_s or 0.0) - 0.25)
    _, later = take(state, rule, now=104.0 + (refused.after_s or 0.0))

    assert (refused.granted, refused.after_s) == (False, 4.0)
    assert (early.granted, later.granted) == (False, True)


def test_a_cost_above_the_limit_is_never_granted_and_says_so() -> None:
    _, answer = take(FRESH, RateRule(3, 1.0), now=0.0, cost=4)

    assert (answer.granted, answer.after_s) == (False, None)


def test_what_is_kept_does_not_grow_with_the_limit() -> None:
    state, rule = FRESH, RateRule(100_000, 1.0)
    for at in range(20_000):
        state, _ = take(state, rule, now=at / 10_000)

    assert len(state.entries) <= GRAIN + 2


def test_a_clock_that_went_back_slows_the_limiter_for_one_window_at_most() -> None:
    rule = RateRule(2, 10.0)
    state: RateState = FRESH
    for _ in range(2):
        state, _ = take(state, rule, now=5000.0)

    state, at_once = take(state, rule, now=1000.0)
    state, next_window = take(state, rule, now=1010.0)

    assert (at_once.granted, next_window.granted) == (False, True)


@pytest.mark.parametrize("rule", [(0, 1.0), (1, 0.0), (1, float("nan")), ("1", 1.0)])
def test_a_limit_that_cannot_be_is_refused(rule: Any) -> None:
    with pytest.raises(UsageError, match="to stop a tool altogether pull its switch"):
        RateRule(*rule)


def test_a_call_that_costs_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        take(FRESH, RateRule(1, 1.0), now=0.0, cost=0)
