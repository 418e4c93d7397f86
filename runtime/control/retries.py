"""The retry schedule: which failure is repeated, and after how long."""

from __future__ import annotations

from runtime.core.effects import Failure
from runtime.core.ids import unit_random
from runtime.core.policy import Budget, RetryPolicy


def asks_too_much(retry: RetryPolicy, failure: Failure, budget: Budget) -> bool:
    """Return whether the other side asks for a wait that nobody would sit out; a run with a deadline has its own."""
    return budget.max_seconds is None and (failure.after_s or 0.0) > retry.longest_wait_s


def may_retry(retry: RetryPolicy, failure: Failure, *, attempt: int, retries_used: int) -> bool:
    """Return whether a failed attempt is followed by another.

    Args:
        retry: The schedule's limits.
        failure: How the attempt failed.
        attempt: Number of the failed attempt, 1 for the first.
        retries_used: Retries of the whole run so far.
    """
    return failure.retryable and attempt < retry.attempts and retries_used < retry.total


def backoff_s(retry: RetryPolicy, *, attempt: int, seed: int, purpose: str) -> float:
    """Return the wait before the next attempt.

    Exponential with full jitter, so that many runs do not retry in step.

    Args:
        retry: Limits; `first_s` and `ceiling_s` are seconds.
        attempt: Attempts made so far, 1 after the first failure.
        seed: The run's seed; the same inputs give the same wait.
        purpose: What is retried; each purpose draws from its own stream.

    Returns:
        Seconds, at least 0 and at most `retry.ceiling_s`, rounded to microseconds.

    Raises:
        ValueError: If `attempt` is below 1.
    """
    if attempt < 1:
        raise ValueError(f"attempt must be at least 1, not {attempt!r}")
    longest = min(retry.ceiling_s, retry.first_s * 2.0 ** min(attempt, 60))
    return round(longest * unit_random(seed, "backoff", purpose, attempt), 6)
