"""Money: exact amounts, prices rounded up, and a worst case that no call passes."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.money import Rate, Tier, Usage, usd_text, usd_to_nanos
from runtime.core.policy import Budget

prices = st.integers(0, 10**11)
tiers = st.lists(st.tuples(st.integers(0, 5_000), prices), max_size=2).map(
    lambda pairs: tuple(Tier(above, price) for above, price in sorted(pairs))
)
rates = st.builds(
    Rate,
    input=prices,
    output=prices,
    cache_read=st.none() | prices,
    cache_write=st.none() | prices,
    request=st.integers(0, 10**6),
    input_tiers=tiers,
    output_tiers=tiers,
    cache_read_tiers=tiers,
    cache_write_tiers=tiers,
)
tokens = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("usd", "nanos"),
    [("0.05", 50_000_000), (1, 10**9), (0.1, 10**8), ("0.0000000015", 2), (Decimal(2), 2 * 10**9)],
)
def test_dollars_become_exact_nanos(usd: Any, nanos: int) -> None:
    assert usd_to_nanos(usd) == nanos


def test_dollars_are_exact_whatever_the_precision_of_the_callers_decimals() -> None:
    with localcontext() as context:
        context.prec = 4

        budget = Budget(max_usd="1234567.123456789")

    assert budget.max_usd == Decimal("1234567.123456789")
    assert budget.max_usd_nanos == 1_234_567_123_456_789


@pytest.mark.parametrize("usd", ["-1", "nan", "inf", "ten"])
def test_what_is_no_amount_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match="no amount of dollars"):
        usd_to_nanos(usd)


@given(st.integers(-(10**18), 10**18))
def test_text_of_money_is_exact(nanos: int) -> None:
    text = usd_text(nanos)

    assert text is not None
    assert Decimal(text) * 10**9 == nanos


def test_unknown_money_stays_unknown() -> None:
    assert usd_text(None) is None
    assert Rate(input=1, output=1).cost(Usage(input_tokens=1)) is None
    assert Rate(input=1, output=1).cost(Usage(output_tokens=1)) is None


def test_cost_is_rounded_up_to_whole_nanos() -> None:
    rate = Rate(input=1, output=1)

    assert rate.cost(Usage(input_tokens=1, output_tokens=0)) == 1
    assert rate.cost(Usage(input_tokens=500_000, output_tokens=500_000)) == 1
    assert rate.cost(Usage(input_tokens=500_000, output_tokens=500_001)) == 2


def test_cached_tokens_cost_their_own_rate_and_are_part_of_the_input() -> None:
    rate = Rate(input=2_000_000, output=0, cache_read=500_000, cache_write=3_000_000)
    usage = Usage(input_tokens=10, output_tokens=0, cache_read_tokens=4, cache_write_tokens=2)

    assert rate.cost(usage) == 4 * 2 + 2 + 6


@given(rates, tokens, tokens, st.data())
def test_no_call_within_its_bounds_costs_more_than_the_worst_case(
    rate: Rate, input_bound: int, output_bound: int, data: st.DataObject
) -> None:
    usage = Usage(
        input_tokens=data.draw(st.integers(0, input_bound)),
        output_tokens=data.draw(st.integers(0, output_bound)),
        cache_read_tokens=data.draw(st.none() | tokens),
        cache_write_tokens=data.draw(st.none() | tokens),
    )
    cost = rate.cost(usage)

    assert cost is not None
    assert cost <= rate.worst_case(input_tokens=input_bound, output_tokens=output_bound)


@given(rates, tokens, st.integers(0, 10**12))
def test_affordable_output_never_overshoots(rate: Rate, input_bound: int, nanos: int) -> None:
    bought = rate.affordable_output(nanos=nanos, input_tokens=input_bound)

    if bought >= 0:
        assert rate.worst_case(input_tokens=input_bound, output_tokens=bought) <= nanos
    else:
        assert rate.worst_case(input_tokens=input_bound, output_tokens=0) > nanos


def test_affordable_output_is_the_most_a_sum_buys() -> None:
    rate = Rate(input=1_000_000, output=2_000_000)

    assert rate.affordable_output(nanos=110, input_tokens=10) == 50
