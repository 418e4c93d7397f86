"""The failure of an effect that a switch, a deadline or the control store stopped."""

from __future__ import annotations

from runtime.core.effects import Admission, Admit, Failure, FailureKind

_WORDS = {
    "kill": "an operator stopped it",
    "tenant": "the tenant is disabled",
    "disabled": "it is disabled",
    "deadline": "the run's time is over",
    "cancelled": "the caller went away",
}


def interruption(cause: str, *, begun: bool) -> Failure:
    """Return the failure of an interrupted effect.

    Args:
        cause: As `Failure.cause` names it.
        begun: Whether it may have reached the other side; a call that never began is not in doubt.
    """
    message = _WORDS.get(cause, "the control state cannot be read")
    phase = "run" if begun else "connect"
    return Failure(kind=FailureKind.INTERRUPTED, message=message, phase=phase, cause=cause)


def queue_refusal(effect: Admit, *, late: bool) -> Admission | None:
    """Return why a call that waited behind others of its turn may not begin any more; `None` if it may."""
    if effect.stopped is not None:
        return Admission(granted=False, cause="stopped", detail=effect.stopped)
    return Admission(granted=False, cause="deadline") if late else None


def past_deadline(effect: Admit, elapsed_s: float) -> bool:
    """Return whether the run's time is over."""
    return effect.limits.deadline_s is not None and elapsed_s >= effect.limits.deadline_s
