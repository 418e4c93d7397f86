"""The failure of an effect that a switch, a deadline or the control store stopped."""

from __future__ import annotations

from runtime.core.effects import Failure, FailureKind

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
