"""The desks for tests answer as their names say, through a whole run."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import Agent, ApprovalDesk, Policy, run_agent, tool
from runtime.testing import DenyAll, FakeClock, GrantAll, ScriptedModel, SilentDesk, calls


@tool(write=True)
async def pay(order: int) -> str:
    """Pay an order."""
    return f"paid {order}"


def run(desk: ApprovalDesk, **policy: Any) -> Any:
    agent = Agent(
        name="clerk", model="m1", tools=(pay,), policy=Policy(allow="any", approve=("pay",), **policy)
    )
    return run_agent(agent, "pay 7", model=ScriptedModel([calls(("pay", {"order": 7})), "done"]), desk=desk)


@pytest.mark.parametrize(
    ("desk", "policy", "stop_reason", "decision", "status"),
    [
        (GrantAll(), {}, "finish", "granted", "ok"),
        (DenyAll(), {"on_denied": "stop"}, "approval_denied:pay", "denied", "denied"),
        (SilentDesk(), {"approval_timeout_s": 0.01}, "approval_timeout", "timeout", "denied"),
    ],
    ids=["grant", "deny", "silent"],
)
def test_a_desk_answers_as_its_name_says_and_shows_what_it_was_asked(
    desk: Any, policy: dict[str, Any], stop_reason: str, decision: str, status: str
) -> None:
    result = run(desk, **policy)

    (approval,) = result.trace.approvals
    (call,) = result.trace.tool_calls
    assert (result.stop_reason, approval.decision, call.status) == (stop_reason, decision, status)
    assert [(asked.name, asked.arguments) for asked in desk.calls] == [("pay", {"order": 7})]


def test_two_runs_under_two_fresh_clocks_are_equal() -> None:
    agent = Agent(name="clerk", model="m1")

    first, second = (run_agent(agent, "hi", model=ScriptedModel(["ho"]), clock=FakeClock()) for _ in range(2))

    assert first.totals == second.totals
    assert first.trace.started_at == second.trace.started_at


def test_a_clock_that_is_advanced_moves_both_of_its_times() -> None:
    clock = FakeClock()
    before = clock.now()

    clock.advance(90.0)

    assert (clock.monotonic_s(), (clock.now() - before).total_seconds()) == (90.0, 90.0)
