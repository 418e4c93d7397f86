"""Facts of one call for the ledger and the breaker: what it may use, what it used, what it says of its dependency."""

from __future__ import annotations

from runtime.control.breaker import Sample
from runtime.control.ledger import NOTHING, Amount
from runtime.core.effects import Admit, AnyOutcome, Failure, FailureKind
from runtime.core.lanes import is_first_attempt
from runtime.core.messages import ModelReply

_DEPENDENCY_FAILED = frozenset({FailureKind.TIMEOUT, FailureKind.ERROR, FailureKind.UNAVAILABLE})


def worst_of(effect: Admit) -> Amount:
    """Return the most that a call can use; a step is counted once, whatever it takes to make it."""
    nanos = effect.limits.reserved_nanousd or 0
    if effect.subject == "tool":
        return Amount(nanos, tool_calls=1)
    steps = 1 if is_first_attempt(effect.lane) else 0
    return Amount(nanos, effect.limits.reserved_tokens or 0, steps=steps)


def never_happened(failure: Failure) -> bool:
    """Return whether a failed call surely had no effect."""
    refused = failure.kind in {FailureKind.RATE_LIMITED, FailureKind.UNAVAILABLE}
    return failure.phase == "connect" or refused


def actual_of(reserved: Amount, outcome: AnyOutcome) -> Amount:
    """Return what a call used: what it reports, else what was held for it; nothing where nothing was done."""
    failure: Failure | None = outcome.failure
    counted = Amount(tool_calls=reserved.tool_calls, steps=reserved.steps)
    if failure is not None and failure.phase == "connect" and failure.kind is FailureKind.INTERRUPTED:
        return NOTHING
    if failure is not None and (never_happened(failure) or failure.phase == "rejected"):
        return counted
    reply = outcome.value if isinstance(outcome.value, ModelReply) else None
    cost = None if reply is None else reply.cost_nanousd
    nanos = reserved.nanos if cost is None else cost
    usage = None if reply is None else reply.usage
    tokens = reserved.tokens
    if usage is not None and usage.input_tokens is not None and usage.output_tokens is not None:
        tokens = usage.input_tokens + usage.output_tokens
    return counted + Amount(nanos=nanos, tokens=tokens)


def sample_of(outcome: AnyOutcome) -> Sample:
    """Return what a call's outcome says of its dependency."""
    if outcome.failure is None:
        return "ok"
    if outcome.failure.phase == "rejected":  # the other side is well; what it was sent was not
        return "neutral"
    return "failed" if outcome.failure.kind in _DEPENDENCY_FAILED else "neutral"
