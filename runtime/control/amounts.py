"""What one call can use, what it used, and what it says of the health of what it called."""

from __future__ import annotations

from runtime.control.breaker import Sample
from runtime.control.budgets import never_reached
from runtime.control.ledger import NOTHING, Amount
from runtime.core.effects import Admit, AnyOutcome, CallModel, CallTool, FailureKind, ToolResult
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
    if _is_kept(outcome) or (failure is not None and never_reached(failure)):
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
    failure = outcome.failure
    if failure is None:
        # A kept result says nothing: the dependency was not asked.
        return "neutral" if _is_kept(outcome) else "ok"
    if failure.cause is not None or failure.phase == "rejected":
        # A guard of ours said so; or the other side is well, and what it was sent was not.
        return "neutral"
    return "failed" if failure.kind in _DEPENDENCY_FAILED else "neutral"


def _is_kept(outcome: AnyOutcome) -> bool:
    return isinstance(outcome.value, ToolResult) and outcome.value.status == "cached"
