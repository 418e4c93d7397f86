"""The failures of calls that ran into their time limit, or cancelled themselves."""

from __future__ import annotations

from runtime.core.effects import Failure, FailureKind, Limits
from runtime.execution.live.run_time import EffectLimit
from runtime.execution.time_limit import SelfCancelledError


def timed_out(what: str, limits: Limits, limit: EffectLimit, *, phase: str) -> Failure:
    """Return the failure of a call that did not end in time.

    Args:
        what: The call in words.
        limits: Its limits.
        limit: The one that was reached.
        phase: `abandoned` if it goes on, else `run`.
    """
    if limit.by_deadline:
        message = f"{what} was cut off: the run's time is over"
        return Failure(kind=FailureKind.INTERRUPTED, message=message, phase=phase, cause="deadline")
    return Failure(
        kind=FailureKind.TIMEOUT,
        message=f"{what} gave no answer within {limits.timeout_s:g} s",
        retryable=True,
        phase=phase,
        error_type="timeout",
    )


def cancelled_inside(what: str, error: SelfCancelledError) -> Failure:
    """Return the failure of a call that ended as cancelled though nobody cancelled it."""
    return Failure(kind=FailureKind.ERROR, message=f"{what}: {error}", phase="run", error_type="cancelled")
