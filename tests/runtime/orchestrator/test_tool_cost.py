"""Tools with a price: money is reserved before each attempt, and a cap is never passed, also not by a batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime import (
    Agent,
    Budget,
    RetryableError,
    RetryPolicy,
    RunResult,
    ScriptedModel,
    Tool,
    run_agent,
    tool,
)
from runtime.testing import calls, says

CENT = 10_000_000


class NoPrices:
    """Prices of models are not what these tests are about."""

    id = "none"

    def rate(self, model: str, provider: str | None) -> None:
        return None


def _run(tool_of_agent: Tool, asked: int, cap_nanos: int, *, attempts: int = 1) -> RunResult:
    from runtime.core.money import Rate, exact_usd

    class Free(NoPrices):
        def rate(self, model: str, provider: str | None) -> Rate:  # type: ignore[override]
            return Rate(input=0, output=0)

    agent = Agent(
        name="payer",
        model="free",
        tools=(tool_of_agent,),
        max_output_tokens=64,
        budget=Budget(max_usd=exact_usd(cap_nanos)),
        tool_retry=RetryPolicy(attempts=attempts, first_s=0.0, ceiling_s=0.0),
    )
    turn = calls(*[(tool_of_agent.name, {"item": f"i{n}"}) for n in range(asked)])
    return run_agent(agent, "Pay.", model=ScriptedModel([turn, says("done")]), prices=Free())


@tool(name="pay", cost_usd="0.01")
def pay(item: str) -> str:
    """Pay for an item."""
    return f"paid {item}"


def test_two_calls_of_one_batch_with_money_for_one_start_one() -> None:
    result = _run(pay, 2, 15_000_000)

    assert [c.status for c in result.trace.tool_calls] == ["ok", "not_started"]
    assert result.stop_reason == "max_usd"
    assert result.totals.cost_nanousd == CENT


@given(asked=st.integers(1, 6), cents=st.integers(0, 7))
def test_tools_never_cost_more_than_the_cap(asked: int, cents: int) -> None:
    result = _run(pay, asked, cents * CENT)

    started = sum(c.status == "ok" for c in result.trace.tool_calls)
    assert started == min(asked, cents)
    assert (result.totals.cost_nanousd or 0) <= cents * CENT
    assert result.stop_reason == ("finish" if asked <= cents else "max_usd")


def test_each_attempt_of_a_repeated_call_is_paid_and_the_last_the_money_reaches_for_is_the_last_made() -> (
    None
):
    @tool(name="flaky", cost_usd="0.01")
    def flaky(item: str) -> str:
        """Fail always."""
        raise RetryableError(item)

    result = _run(flaky, 1, 2 * CENT, attempts=5)

    assert result.totals.tool_executions == 2
    assert result.totals.cost_nanousd == 2 * CENT
    assert result.stop_reason == "max_usd"
