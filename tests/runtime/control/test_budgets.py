"""Budget verdicts: what is let through never passes a limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.control.budgets import (
    MIN_USEFUL_OUTPUT_TOKENS,
    Allowance,
    Spent,
    allow_model_call,
    check_steps,
    check_time,
    check_tool_calls,
)
from runtime.core.money import Rate, exact_usd
from runtime.core.policy import Budget
from runtime.core.stop import StopKind, StopReason

limits = st.none() | st.integers(0, 10**6)
amounts = st.integers(0, 10**6)
rates = st.builds(
    Rate, input=st.integers(0, 10**10), output=st.integers(0, 10**10), request=st.integers(0, 1000)
)


@given(limits, st.none() | st.integers(0, 10**9), amounts, st.integers(0, 10**9), rates, amounts, amounts)
def test_worst_case_of_an_allowed_call_fits_under_each_limit(
    max_tokens: int | None,
    max_nanos: int | None,
    tokens: int,
    nanos: int,
    rate: Rate,
    input_bound: int,
    configured: int,
) -> None:
    budget = Budget(max_tokens=max_tokens, max_usd=None if max_nanos is None else exact_usd(max_nanos))
    spent = Spent(tokens=tokens, nanos=nanos)
    allowance = allow_model_call(budget, spent, rate=rate, input_bound=input_bound, configured=configured)

    if isinstance(allowance, StopReason):
        assert allowance.kind in {StopKind.MAX_USD, StopKind.MAX_TOKENS}
        return
    allowed = allowance.max_output_tokens
    assert allowed is not None
    assert min(MIN_USEFUL_OUTPUT_TOKENS, configured) <= allowed <= configured
    if max_tokens is not None:
        assert tokens + input_bound + allowed <= max_tokens
    if max_nanos is not None:
        assert allowance.reserved_nanos == rate.worst_case(input_tokens=input_bound, output_tokens=allowed)
        assert nanos + allowance.reserved_nanos <= max_nanos


def test_a_call_is_only_refused_where_it_buys_less_than_a_useful_reply() -> None:
    rate = Rate(input=0, output=1_000_000)
    just, less = Budget(max_usd="0.000000016"), Budget(max_usd="0.000000015")
    nothing = Spent()

    assert allow_model_call(just, nothing, rate=rate, input_bound=0, configured=100) == Allowance(
        max_output_tokens=16, reserved_nanos=16
    )
    assert allow_model_call(less, nothing, rate=rate, input_bound=0, configured=100) == StopReason(
        StopKind.MAX_USD
    )
    assert allow_model_call(less, nothing, rate=rate, input_bound=0, configured=8) == Allowance(
        max_output_tokens=8, reserved_nanos=8
    )


def test_an_unknown_price_never_counts_as_nothing() -> None:
    budget = Budget(max_usd=1)

    verdict = allow_model_call(budget, Spent(), rate=None, input_bound=1, configured=100)

    assert verdict == StopReason(StopKind.MAX_USD)


def test_without_limits_a_call_is_sent_as_configured() -> None:
    verdict = allow_model_call(Budget(), Spent(), rate=None, input_bound=10**9, configured=None)

    assert verdict == Allowance(max_output_tokens=None, reserved_nanos=None)


def test_time_steps_and_calls_stop_at_their_limit() -> None:
    budget = Budget(max_steps=2, max_seconds=5.0, max_tool_calls=3)

    assert check_time(budget, Spent(at=4.999)) is None
    assert check_time(budget, Spent(at=5.0)) == StopReason(StopKind.MAX_SECONDS)
    assert check_steps(budget, Spent(steps=1)) is None
    assert check_steps(budget, Spent(steps=2)) == StopReason(StopKind.MAX_STEPS)
    assert check_tool_calls(budget, Spent(tool_calls=1), 2) is None
    assert check_tool_calls(budget, Spent(tool_calls=1), 3) == StopReason(StopKind.MAX_TOOL_CALLS)


def test_a_turn_without_calls_never_passes_the_call_limit() -> None:
    assert check_tool_calls(Budget(max_tool_calls=0), Spent(), 0) is None
