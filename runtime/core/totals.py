"""What the steps of a run add up to: calls, retries, tokens, money, times, loops.

Unknown is not zero: a sum with one unknown value is unknown.
"""

from __future__ import annotations

from typing import TypeVar

from runtime.core.run import Header, Totals
from runtime.core.trace import ModelStep, Step, ToolStep

LOOP_LENGTH = 3
"""Equal consecutive calls of one tool that count as a loop."""

Number = TypeVar("Number", int, float)


def count_totals(
    header: Header, steps: tuple[Step, ...], denials: int, approvals: int, last_at: float | None
) -> Totals:
    """Return the totals of a run's steps."""
    models = [s.model for s in steps if s.model is not None]
    calls = [c for s in steps for c in s.tool_calls]
    by_name: dict[str, int] = {}
    for call in calls:
        by_name[call.name] = by_name.get(call.name, 0) + 1
    tokens_in = total_of([m.input_tokens for m in models])
    tokens_out = total_of([m.output_tokens for m in models])
    total = None if tokens_in is None or tokens_out is None else tokens_in + tokens_out
    attempts = sum([m.attempts for m in models])
    executions = sum([c.attempts for c in calls])
    statuses = [c.status for c in calls]
    return Totals(
        steps=len(models),
        model_calls=attempts,
        tool_calls=len(calls),
        tool_executions=executions,
        tool_calls_by_name=dict(sorted(by_name.items())),
        retries=attempts - len(models) + sum([c.attempts - 1 for c in calls if c.attempts > 1]),
        denials=denials,
        approvals=approvals,
        errors=statuses.count("error")
        + statuses.count("timeout")
        + len([m for m in models if m.error is not None]),
        loops=count_loops(calls),
        in_doubt=statuses.count("in_doubt"),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cache_read_tokens=total_of([m.cache_read_tokens for m in models]),
        cache_write_tokens=total_of([m.cache_write_tokens for m in models]),
        reasoning_tokens=total_of([m.reasoning_tokens for m in models]),
        total_tokens=total if total is not None else header.recorded_tokens,
        cost_nanousd=_cost(models, calls),
        duration_s=header.recorded_duration_s if last_at is None else last_at,
        model_s=total_of([m.duration_s for m in models]),
        tool_s=total_of([c.duration_s for c in calls if c.attempts]) if calls else 0.0,
    )


def _cost(models: list[ModelStep], calls: list[ToolStep]) -> int | None:
    """Return what models and priced tools cost together; `None` if a model's price is unknown."""
    spent = total_of([m.cost_nanousd for m in models]) if models else 0
    priced = [c.cost_nanousd for c in calls if c.cost_nanousd is not None]
    return None if spent is None or not (models or priced) else spent + sum(priced)


def count_loops(calls: list[ToolStep]) -> int:
    """Return how many stretches of at least three equal consecutive calls there are."""
    loops = streak = 0
    last: tuple[str, str] | None = None
    for call in calls:
        same = (call.name, call.args_hash)
        streak = streak + 1 if same == last else 1
        last = same
        if streak == LOOP_LENGTH:
            loops += 1
    return loops


def total_of(values: list[Number | None]) -> Number | None:
    """Return the sum; `None` if a value is unknown or there is none."""
    if len(values) == 1:
        return values[0]
    known = [v for v in values if v is not None]
    return None if not known or len(known) < len(values) else sum(known[1:], known[0])
