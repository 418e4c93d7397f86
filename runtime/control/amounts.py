"""What one call can use, what it used, and what it says of the health of what it called."""

from __future__ import annotations

from runtime.control.breaker import Sample
from runtime.control.budgets import never_reached
from runtime.control.ledger import NOTHING, Amount
from runtime.core.effects import Admit, AnyOutcome, CallModel, CallTool, FailureKind
from runtime.core.lanes import is_first_attempt
from runtime.core.messages import ModelReply

_DEPENDENCY_FAILED = frozenset({FailureKind.TIMEOUT, FailureKind.ERROR, FailureKind.UNAVAILABLE})


def worst_of(effect: Admit | CallModel | CallTool) -> Amount:
    """Return the most that a call can use; a step is counted once, whatever it takes to make it."""
    nanos = effect.limits.reserved_nanousd or 0
    if isinstance(effect, CallTool) or (isinstance(effect, Admit) and effect.subject == "tool"):
        return Amount(nanos, tool_calls=1)
    steps = 1 if is_first_attempt(effect.lane) else 0
    return Amount(nanos, effect.limits.reserved_tokens or 0, steps=steps)


def actual_of(reserved: Amount, outcome: AnyOutcome) -> Amount:
    """Return what a call used: what it reports, else what was reserved; nothing where nothing was done."""
    failure = outcome.failure
    counted = Amount(tool_calls=reserved.tool_calls, steps=reserved.steps)
    if failure is not None and failure.phase == "connect" and failure.kind is FailureKind.INTERRUPTED:
        return NOTHING
    if failure is not None and never_reached(failure):
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
    """Return what a call says of its dependency."""
    if outcome.failure is None:
        return "ok"
    if outcome.failure.phase == "rejected":  # the other side is well; what it was sent was not
        return "neutral"
    return "failed" if outcome.failure.kind in _DEPENDENCY_FAILED else "neutral"
