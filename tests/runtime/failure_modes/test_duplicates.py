"""Two deliveries of one write: one is carried out, the others get its result and disturb nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.errors import UsageError
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import Tool, tool
from tests.runtime.failure_modes.world import HandClock, World, agent_of, rules


def paying(made: list[int], **options: Any) -> Tool:
    @tool(write=True, dedupe_by=("order",), **options)
    async def pay(order: int) -> str:
        made.append(order)
        return f"paid {len(made)}"

    return pay


def pay_once(world: World, payment: Tool, request_id: str) -> str | None:
    """Return the status of one payment in a run of its own."""
    run = world.run(agent_of(payment), [calls(("pay", {"order": 1})), "done"], request_id)
    return asyncio.run(run).trace.tool_calls[0].status


def test_equal_business_keys_are_one_write_of_the_tenant_or_of_one_run(world: World) -> None:
    made: list[int] = []

    of_tenant = [pay_once(world, paying(made), name) for name in ("a", "b")]
    of_run = [pay_once(world, paying(made, dedupe_scope="run"), name) for name in ("c", "d")]

    assert of_tenant == ["ok", "cached"]
    assert of_run == ["ok", "ok"]
    assert len(made) == 3


def test_a_run_and_its_child_are_one_run_to_a_business_key(world: World) -> None:
    made: list[int] = []
    pay = paying(made, dedupe_scope="run")
    child = agent_of(pay, name="child", client=ScriptedModel([calls(("pay", {"order": 1})), "done"]))

    @tool(children=True)
    async def ask(ctx: ToolContext) -> str:
        assert ctx.child is not None
        await ctx.child(child, "pay")
        return "asked"

    script = [calls(("pay", {"order": 1})), calls(("ask", {})), calls(("pay", {"order": 1})), "done"]
    result = asyncio.run(world.run(agent_of(pay, ask), script))

    assert [c.status for c in result.trace.tool_calls] == ["ok", "ok", "cached"]
    assert made == [1]


@pytest.mark.parametrize(("options", "seconds"), [({}, 7 * 86_400.0), ({"dedupe_s": 60.0}, 60.0)])
def test_a_business_key_answers_for_its_lifetime_and_is_free_after_it(
    store: BlockingControlStore, options: dict[str, Any], seconds: float
) -> None:
    clock = HandClock()
    world = World(store, rules(breaker=None), clock=clock)
    made: list[int] = []
    payment = paying(made, **options)

    statuses = [pay_once(world, payment, "a")]
    clock.seconds += seconds - 5.0
    statuses.append(pay_once(world, payment, "b"))
    clock.seconds += 10.0
    statuses.append(pay_once(world, payment, "c"))

    assert statuses == ["ok", "cached", "ok"]
    assert len(made) == 2


def test_equal_writes_of_one_run_without_a_business_key_are_different_writes(world: World) -> None:
    made: list[int] = []

    @tool(write=True)
    async def pay(order: int) -> str:
        made.append(order)
        return "paid"

    script = [calls(("pay", {"order": 1}), ("pay", {"order": 1})), "done"]
    result = asyncio.run(world.run(agent_of(pay), script))

    assert result.stop_reason == "finish"
    assert made == [1, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dedupe_by": ("order",), "dedupe_scope": "user"}, "'user' is no scope"),
        ({"dedupe_by": ("order",), "dedupe_s": 0.0}, "0.0 seconds is no time"),
        ({"dedupe_scope": "run"}, "say nothing without dedupe_by"),
    ],
)
def test_a_business_key_that_makes_no_sense_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):

        @tool(write=True, **options)
        async def pay(order: int) -> str:
            return "paid"
