"""Budget verdicts: what a run has used against what it may use.

Money and tokens are reserved at the worst case before a model call and settled after it, so a cap is never
passed: the output limit of each request is clamped to what is affordable, and a run stops before a call that
could buy nothing useful.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.core.money import Rate
from runtime.core.outcomes import Failure, FailureKind
from runtime.core.policy import Budget, BudgetSlice
from runtime.core.stop import StopKind, StopReason

MIN_USEFUL_OUTPUT_TOKENS = 16
"""A reply shorter than this is not worth a call (unless the agent asks for less)."""


_REFUSED = frozenset({FailureKind.RATE_LIMITED, FailureKind.UNAVAILABLE})
"""Kinds of failures in which the other side says that it did no work, where it gave a whole answer."""


def never_reached(failure: Failure) -> bool:
    """Return whether a failed call surely cost nothing; all others are charged as reserved.

    Nothing was sent, or the other side answered that it would not do it. A connection that broke after the request
    was sent, a stream that was cut, a timeout, a switch, a deadline and a cancel leave that open.
    """
    if failure.phase in {"connect", "rejected"}:
        return True
    return failure.kind in _REFUSED and failure.phase in {None, "response"}


@dataclass(slots=True, kw_only=True)
class Spent:
    """What a run has used so far; reserved sums count until they are settled.

    Attributes:
        steps: Model decisions that were made.
        tool_calls: Calls that were let through to start.
        tokens: Tokens of settled calls.
        nanos: Nano-dollars of settled calls.
        at: Seconds since the run began, at the last outcome.
    """

    steps: int = 0
    tool_calls: int = 0
    tokens: int = 0
    nanos: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one model call may use.

    Attributes:
        max_output_tokens: Output limit to send; `None` leaves it to the provider.
        reserved_nanos: Worst case of the call; `None` where no money limit holds.
        reserved_tokens: Most tokens it can use; `None` where they are not capped across runs.
    """

    max_output_tokens: int | None
    reserved_nanos: int | None
    reserved_tokens: int | None = None


def check_time(budget: Budget, spent: Spent) -> StopReason | None:
    """Return the stop reason if the run's time is over."""
    if budget.max_seconds is not None and spent.at >= budget.max_seconds:
        return StopReason(StopKind.MAX_SECONDS)
    return None


def check_steps(budget: Budget, spent: Spent) -> StopReason | None:
    """Return the stop reason if no further model decision may be made."""
    if budget.max_steps is not None and spent.steps >= budget.max_steps:
        return StopReason(StopKind.MAX_STEPS)
    return None


def check_tool_calls(budget: Budget, spent: Spent, calls: int) -> StopReason | None:
    """Return the stop reason if a turn's calls do not all fit; a turn that does not fit starts none."""
    if budget.max_tool_calls is not None and calls and spent.tool_calls + calls > budget.max_tool_calls:
        return StopReason(StopKind.MAX_TOOL_CALLS)
    return None


def reserve_tool_cost(budget: Budget, spent: Spent, nanos: int) -> StopReason | None:
    """Reserve the price of one attempt of a tool, or return why it may not start."""
    if budget.max_usd_nanos is not None and spent.nanos + nanos > budget.max_usd_nanos:
        return StopReason(StopKind.MAX_USD)
    spent.nanos += nanos
    return None


def slice_budget(budget: Budget, spent: Spent, *, parts: int) -> list[BudgetSlice]:
    """Return what is left of a budget in parts that together never pass it; the first parts take what is over.

    Args:
        budget: The run's limits.
        spent: What is used so far.
        parts: How many calls of the turn may start child runs.
    """
    steps = _shares(budget.max_steps, spent.steps, parts)
    calls = _shares(budget.max_tool_calls, spent.tool_calls, parts)
    tokens = _shares(budget.max_tokens, spent.tokens, parts)
    nanos = _shares(budget.max_usd_nanos, spent.nanos, parts)
    seconds = None if budget.max_seconds is None else max(budget.max_seconds - spent.at, 0.0)
    return [
        BudgetSlice(
            max_steps=steps[i],
            max_tool_calls=calls[i],
            max_tokens=tokens[i],
            max_usd_nanos=nanos[i],
            max_seconds=seconds,
        )
        for i in range(parts)
    ]


def _shares(limit: int | None, used: int, parts: int) -> list[int | None]:
    if limit is None:
        return [None] * parts
    share, over = divmod(max(limit - used, 0), parts)
    return [share + (i < over) for i in range(parts)]


def allow_model_call(
    budget: Budget,
    spent: Spent,
    *,
    rate: Rate | None,
    input_bound: int,
    configured: int | None,
    metered: bool = False,
) -> Allowance | StopReason:
    """Return what the next model call may use, or why the run stops before it.

    Args:
        budget: The run's limits.
        spent: What is used so far.
        rate: Price of the model; known whenever `max_usd` is set (checked at entry).
        input_bound: Upper bound of the request's input tokens.
        configured: Output tokens the agent asks for; set whenever money or tokens are limited.
        metered: Whether caps across runs may hold, so that the worst case is reserved without a limit of the run.
    """
    allowed = configured
    useful = MIN_USEFUL_OUTPUT_TOKENS if configured is None else min(MIN_USEFUL_OUTPUT_TOKENS, configured)
    if budget.max_tokens is not None:
        left = budget.max_tokens - spent.tokens - input_bound
        if left < useful:
            return StopReason(StopKind.MAX_TOKENS)
        allowed = left if allowed is None else min(allowed, left)
    if budget.max_usd_nanos is None:
        return _allowance(rate if metered else None, input_bound, allowed, metered=metered)
    if rate is None:
        return StopReason(StopKind.MAX_USD)
    affordable = rate.affordable_output(nanos=budget.max_usd_nanos - spent.nanos, input_tokens=input_bound)
    if affordable < useful:
        return StopReason(StopKind.MAX_USD)
    allowed = affordable if allowed is None else min(allowed, affordable)
    return _allowance(rate, input_bound, allowed, metered=metered)


def _allowance(rate: Rate | None, input_bound: int, output: int | None, *, metered: bool) -> Allowance:
    known = rate is not None and output is not None
    return Allowance(
        max_output_tokens=output,
        reserved_nanos=rate.worst_case(input_tokens=input_bound, output_tokens=output or 0)
        if rate is not None and known
        else None,
        reserved_tokens=input_bound + (output or 0) if metered else None,
    )
