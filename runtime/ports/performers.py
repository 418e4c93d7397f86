"""How a performer ends an effect that it cannot answer: the caller went away, or the performer cannot carry on."""

from __future__ import annotations

from runtime.core.effects import Failure, FailureKind, Outcome

CANCELLED: Outcome[None] = Outcome(
    failure=Failure(
        kind=FailureKind.INTERRUPTED, message="the caller went away", phase="run", cause="cancelled"
    )
)
"""The outcome of an effect that was in flight when the caller was cancelled; its time is not known."""


class PerformerError(Exception):
    """A performer cannot carry on at all, for example because a recording cannot be written."""
