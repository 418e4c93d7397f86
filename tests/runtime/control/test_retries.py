"""The retry schedule: bounds, determinism, and which failure is repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.control.retries import backoff_s, may_retry
from runtime.core.effects import Failure, FailureKind
from runtime.core.policy import RetryPolicy

millis = st.integers(0, 10**6).map(lambda n: n / 1000)


@given(millis, millis, st.integers(1, 10**4), st.integers(0, 2**32), st.text(max_size=5))
def test_wait_stays_within_its_bounds_and_is_the_same_for_the_same_seed(
    first_s: float, ceiling_s: float, attempt: int, seed: int, purpose: str
) -> None:
    retry = RetryPolicy(first_s=first_s, ceiling_s=ceiling_s)

    wait = backoff_s(retry, attempt=attempt, seed=seed, purpose=purpose)

    assert 0 <= wait <= min(ceiling_s, first_s * 2.0 ** min(attempt, 60))
    assert wait == backoff_s(retry, attempt=attempt, seed=seed, purpose=purpose)


def test_each_purpose_draws_from_its_own_stream() -> None:
    retry = RetryPolicy(first_s=1.0, ceiling_s=100.0)
    waits = {backoff_s(retry, attempt=1, seed=1, purpose=f"{step}.wait/2") for step in range(20)}

    assert len(waits) == 20


def test_longest_wait_doubles_with_each_attempt() -> None:
    retry = RetryPolicy(first_s=1.0, ceiling_s=1000.0)
    longest = [max(backoff_s(retry, attempt=n, seed=s, purpose="p") for s in range(200)) for n in (1, 2, 3)]

    assert 1.5 < longest[0] <= 2 < longest[1] <= 4 < longest[2] <= 8


def test_an_attempt_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        backoff_s(RetryPolicy(), attempt=0, seed=1, purpose="p")


@pytest.mark.parametrize(
    ("retryable", "attempt", "used", "verdict"),
    [(True, 1, 0, True), (False, 1, 0, False), (True, 3, 0, False), (True, 2, 4, True), (True, 1, 5, False)],
)
def test_only_retryable_failures_within_both_limits_are_repeated(
    retryable: bool, attempt: int, used: int, verdict: bool
) -> None:
    failure = Failure(kind=FailureKind.ERROR, message="", retryable=retryable)
    retry = RetryPolicy(attempts=3, total=5)

    assert may_retry(retry, failure, attempt=attempt, retries_used=used) is verdict
