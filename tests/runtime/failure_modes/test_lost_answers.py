"""Writes whose answer was lost, or that failed: what is known of them, and who may make them again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from runtime.core.effects import ToolResult
from runtime.core.policy import Policy, RetryPolicy
from runtime.testing import calls
from runtime.tools.tool import ToolError, tool
from tests.runtime.failure_modes.world import World, agent_of

QUICK = RetryPolicy(attempts=2, first_s=0.001)
PAY = calls(("pay", {"order": 1}))


def paying(effects: list[str], error: Callable[[], Exception], *, fails: int = 1, **options: Any) -> Any:
    @tool(write=True, **options)
    async def pay(order: int) -> str:
        effects.append(f"pay {order}")
        if len(effects) <= fails:
            raise error()
        return "paid"

    return pay


@pytest.mark.parametrize(
    "error", [httpx.ReadError("reset"), httpx.ReadTimeout("late"), ConnectionResetError()]
)
def test_mode_09_a_write_whose_connection_broke_stops_in_doubt_after_one_effect(
    world: World, error: Exception
) -> None:
    effects: list[str] = []

    agent = agent_of(paying(effects, lambda: error), tool_retry=QUICK)
    result = asyncio.run(world.run(agent, [PAY]))

    assert (result.stop_reason, effects) == ("in_doubt:pay", ["pay 1"])
    assert [c.status for c in result.trace.tool_calls] == ["in_doubt"]
    assert result.totals.in_doubt == 1
    assert len(world.store.list_claims(state="in_doubt", now=time.time())) == 1


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), ConnectionRefusedError()])
def test_mode_09_a_write_that_was_never_sent_is_made_again(world: World, error: Exception) -> None:
    effects: list[str] = []

    agent = agent_of(paying(effects, lambda: error), tool_retry=QUICK)
    result = asyncio.run(world.run(agent, [PAY, "done"]))

    assert (result.stop_reason, len(effects)) == ("finish", 2)


def test_mode_12_a_write_whose_answer_was_lost_is_asked_about_at_once(world: World) -> None:
    effects: list[str] = []

    async def reconcile(bound: object, key: str) -> ToolResult | None:
        return ToolResult(content="it was paid")

    agent = agent_of(paying(effects, ConnectionResetError, reconcile=reconcile), tool_retry=QUICK)
    result = asyncio.run(world.run(agent, [PAY, "done"]))

    assert (result.stop_reason, effects) == ("finish", ["pay 1"])
    assert [(c.status, c.result) for c in result.trace.tool_calls] == [("ok", "it was paid")]
    assert len(world.store.list_claims(state="done", now=time.time())) == 1


def test_mode_12_a_write_that_is_found_not_to_have_happened_is_made_again(world: World) -> None:
    effects: list[str] = []

    async def reconcile(bound: object, key: str) -> ToolResult | None:
        return None

    agent = agent_of(paying(effects, ConnectionResetError, reconcile=reconcile), tool_retry=QUICK)
    result = asyncio.run(world.run(agent, [PAY, "done"]))

    assert (result.stop_reason, len(effects)) == ("finish", 2)
    assert [c.attempts for c in result.trace.tool_calls] == [2]


def test_mode_12_a_kill_does_not_wait_for_what_is_being_found_out(world: World) -> None:
    from runtime.control.switches import Switch, SwitchRef

    async def reconcile(bound: object, key: str) -> ToolResult | None:
        world.store.put_switch(Switch(ref=SwitchRef(scope="global"), by="ann", reason="test", at=0.0))
        await asyncio.Event().wait()
        return None

    agent = agent_of(paying([], ConnectionResetError, reconcile=reconcile), tool_retry=QUICK)
    result = asyncio.run(world.run(agent, [PAY]))

    assert result.stop_reason == "operator_kill"
    assert [c.status for c in result.trace.tool_calls] == ["in_doubt"]
    assert len(world.store.list_claims(state="in_doubt", now=time.time())) == 1


def test_mode_14_a_business_key_is_free_again_after_an_error_of_the_tools_own(world: World) -> None:
    @tool(write=True, dedupe_by=("order",))
    async def refund(order: int, cents: int) -> str:
        if cents > 100:
            raise ToolError("more than was paid")
        return f"{cents} refunded"

    script = [*(calls(("refund", {"order": 1, "cents": cents})) for cents in (500, 50, 50)), "done"]
    result = asyncio.run(world.run(agent_of(refund), script))

    assert [(c.status, c.result) for c in result.trace.tool_calls] == [
        ("error", "more than was paid"),
        ("ok", "50 refunded"),
        ("cached", "50 refunded"),
    ]


def test_mode_14_an_exception_of_a_write_leaves_its_business_key_in_doubt(world: World) -> None:
    effects: list[str] = []
    pay = paying(effects, lambda: KeyError("id"), dedupe_by=("order",))

    agent = agent_of(pay, policy=Policy(allow="any", on_failure="tell"))
    result = asyncio.run(world.run(agent, [PAY, PAY]))

    assert (result.stop_reason, effects) == ("in_doubt:pay", ["pay 1"])


def test_mode_14_an_exception_of_a_write_that_may_be_repeated_does_not(world: World) -> None:
    effects: list[str] = []
    pay = paying(effects, lambda: KeyError("id"), dedupe_by=("order",), idempotent=True)

    agent = agent_of(pay, policy=Policy(allow="any", on_failure="tell"))
    result = asyncio.run(world.run(agent, [PAY, PAY, "done"]))

    assert (result.stop_reason, len(effects)) == ("finish", 2)
