"""The circuit breaker: rate in a window, one probe, generations, and samples that say nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.control.breaker import NEW, BreakerRule, BreakerState, Sample, ask, report

RULE = BreakerRule(window_s=10.0, buckets=10, min_calls=4, cooldown_s=60.0, jitter=0.2, probe_ttl_s=5.0)


def call(state: BreakerState, sample: Sample, now: float, token: str = "t") -> BreakerState:
    """Start a call and report it at once."""
    state, verdict = ask(state, RULE, now=now, token=token)
    assert verdict.allowed
    return report(state, RULE, now=now, generation=verdict.generation, sample=sample, token=token)


def tripped(now: float = 100.0) -> BreakerState:
    """Return a breaker that tripped."""
    state = NEW
    for _ in range(RULE.min_calls):
        state = call(state, "failed", now)
    assert state.phase == "open"
    return state


def test_it_trips_at_the_rate_and_not_below_the_smallest_number_of_calls() -> None:
    state = NEW
    for sample in ("failed", "failed", "ok"):
        state = call(state, sample, 1.0)
    phases = [state.phase, call(state, "ok", 1.0).phase]

    assert phases == ["closed", "open"]


def test_failures_that_left_the_window_do_not_count() -> None:
    state = NEW
    for _ in range(3):
        state = call(state, "failed", 0.0)
    state = call(state, "failed", 10.0)

    assert state.phase == "closed"


def test_an_open_breaker_refuses_until_its_cooldown_is_over() -> None:
    state = tripped(100.0)

    _, early = ask(state, RULE, now=159.0, token="a")
    _, late = ask(state, RULE, now=172.0, token="a")

    assert (early.allowed, late.allowed, late.probe) == (False, True, True)
    assert 1.0 <= early.after_s <= 13.0


def test_one_of_a_hundred_callers_probes() -> None:
    state, allowed = tripped(), []
    for caller in range(100):
        state, verdict = ask(state, RULE, now=200.0, token=f"caller{caller}")
        allowed.append(verdict.allowed)

    assert allowed.count(True) == 1


def test_a_good_probe_closes_and_a_bad_one_opens_again() -> None:
    probing, verdict = ask(tripped(), RULE, now=200.0, token="p")
    ends = {
        sample: report(
            probing, RULE, now=201.0, generation=verdict.generation, sample=sample, token="p"
        ).phase
        for sample in ("ok", "failed")
    }

    assert ends == {"ok": "closed", "failed": "open"}


def test_a_cancelled_probe_gives_its_token_back() -> None:
    probing, verdict = ask(tripped(), RULE, now=200.0, token="p")

    free = report(probing, RULE, now=200.5, generation=verdict.generation, sample="neutral", token="p")
    _, next_one = ask(free, RULE, now=200.5, token="q")

    assert free.phase == "half_open"
    assert next_one.probe


def test_a_probe_that_never_answers_gives_way_and_its_late_answer_is_ignored() -> None:
    state, first = ask(tripped(), RULE, now=200.0, token="p")
    state, second = ask(state, RULE, now=205.0, token="q")

    late = report(state, RULE, now=206.0, generation=first.generation, sample="failed", token="p")

    assert second.probe
    assert late == state


def test_late_failures_from_before_the_trip_change_nothing() -> None:
    _, before = ask(NEW, RULE, now=99.0, token="slow")
    state = tripped(100.0)
    for now in (110.0, 200.0, 210.0):
        if now == 200.0:
            state = call(state, "ok", now, "probe")
        for _ in range(10):
            after = report(state, RULE, now=now, generation=before.generation, sample="failed", token="slow")
            assert after == state

    assert state.phase == "closed"


@given(st.integers(1, 50), st.floats(0, 1000, allow_nan=False))
def test_calls_that_say_nothing_never_trip_it(count: int, now: float) -> None:
    state = NEW
    for _ in range(count):
        state = call(state, "neutral", now)

    assert state == NEW


def test_twenty_breakers_spread_their_probes_over_a_tenth_of_the_cooldown() -> None:
    starts = []
    for key in range(20):
        state = NEW
        for _ in range(4):
            state = report(state, RULE, now=100.0, generation=0, sample="failed", token="t", stream=f"b{key}")
        starts.append(state.retry_at)

    assert max(starts) - min(starts) >= 0.1 * RULE.cooldown_s
    assert 160.0 <= min(starts) <= max(starts) <= 172.0


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_jumps_neither_trips_nor_wedges_it(jump: float) -> None:
    closed = call(call(NEW, "failed", 5000.0), "ok", 5000.0)
    opened = tripped(5000.0)

    opened, at_jump = ask(opened, RULE, now=5000.0 + jump, token="a")
    _, later = ask(opened, RULE, now=5000.0 + jump + 72.0, token="b")

    assert call(closed, "ok", 5000.0 + jump).phase == "closed"
    assert at_jump.allowed or later.allowed
