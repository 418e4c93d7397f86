"""Money over a tree of runs: what may have reached a provider is paid for, and never passes the root's cap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from runtime.control.scopes import run_scope
from runtime.control.switches import Switch, SwitchRef
from runtime.core.effects import Failure, Limits
from runtime.core.messages import ModelReply, ModelRequest
from runtime.core.policy import NO_RETRY, Budget, Policy
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.ports.tools import ToolContext
from runtime.testing import calls, says
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import ENVIRONMENT, TENANT, World, agent_of, within
from tests.support.agents import Prices

CAP = 2_000


class Meter:
    """A provider that sums the worst case of what it received; the answer to each call is a test's.

    Attributes:
        received: Worst case of each call, in the order they came.
    """

    def __init__(self, answer: Callable[[ModelRequest], Any]) -> None:
        self.received: list[int] = []
        self._answer = answer

    async def call(self, request: ModelRequest, limits: Limits, observer: Any = None) -> ModelReply | Failure:
        assert limits.reserved_nanousd is not None
        self.received.append(limits.reserved_nanousd)
        answer = self._answer(request)
        made: ModelReply | Failure = await answer if asyncio.iscoroutine(answer) else answer
        return made

    async def aclose(self) -> None:
        """Hold nothing."""


def booked(world: World) -> tuple[int, int]:
    """Return the nano-dollars that the root's scope has as spent and as held."""
    (use,) = world.store.read_spend((run_scope(TENANT, ENVIRONMENT, "req_1"),), now=world.governor.now())
    assert use.caps.nanos == CAP
    return use.spent.nanos, use.held.nanos


async def never() -> ModelReply:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


@pytest.mark.parametrize("governed", [False, True])
def test_children_that_pass_their_own_deadline_are_paid_by_the_root(world: World, governed: bool) -> None:
    children: list[RunResult] = []
    child = agent_of(name="child", max_output_tokens=50, budget=Budget(max_seconds=0.02))

    @tool(children=True)
    async def ask(ctx: ToolContext) -> str:
        assert ctx.child is not None
        children.append(await ctx.child(child, "go"))
        return "asked"

    def answer(request: ModelRequest) -> Any:
        return calls(("ask", {})) if request.tools else never()

    parent = agent_of(
        ask, max_output_tokens=50, budget=Budget(max_usd="0.000002", max_steps=40), policy=Policy(loop=None)
    )
    meter = Meter(answer)
    if governed:
        result = asyncio.run(world.run(parent, [], model=meter))
        assert booked(world) == (sum(meter.received), 0)
    else:
        result = asyncio.run(
            within(run_agent_async(parent, Request(prompt="go"), model=meter, prices=Prices()))
        )

    assert result.stop_reason == "max_usd"
    assert len(meter.received) > 3
    assert sum(meter.received) <= CAP
    assert children[0].spent is not None
    assert children[0].spent.nanos == meter.received[1]
    assert children[0].spent.steps == 1


def test_a_call_that_a_switch_cut_is_paid_before_the_fallback_is_asked(world: World) -> None:
    cap = 1_000

    async def cut() -> ModelReply:
        world.store.put_switch(Switch(ref=SwitchRef(scope="model", name="m1"), by="op", reason="", at=0.0))
        return await never()

    def answer(request: ModelRequest) -> Any:
        return cut() if request.model == "m1" else says("done")

    meter = Meter(answer)
    agent = agent_of(
        fallbacks=("m2",), max_output_tokens=10_000, model_retry=NO_RETRY, budget=Budget(max_usd="0.000001")
    )
    result = asyncio.run(world.run(agent, [], model=meter))

    assert meter.received[0] > cap // 2  # the clamped call takes nearly all of it
    assert sum(meter.received) <= cap
    assert result.stop_reason == "max_usd"


@pytest.mark.parametrize("governed", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_children_that_run_at_one_time_draw_from_one_slice(world: World, governed: bool, deep: bool) -> None:
    leaf = agent_of(name="leaf", max_output_tokens=50)

    @tool(children=True)
    async def fan(ctx: ToolContext) -> str:
        assert ctx.child is not None
        ended = await asyncio.gather(*(ctx.child(leaf, "go") for _ in range(4)))
        return " ".join(sorted(e.stop_reason for e in ended))

    middle = agent_of(fan, name="middle", max_output_tokens=50)

    @tool(children=True)
    async def ask(ctx: ToolContext) -> str:
        assert ctx.child is not None
        ended = await asyncio.gather(*(ctx.child(middle, "go") for _ in range(3)))
        return str(sum(e.spent.steps for e in ended))

    def answer(request: ModelRequest) -> Any:
        told_already = any(m.role == "tool" for m in request.messages)
        return says("done") if told_already or not request.tools else calls((request.tools[0].name, {}))

    root = agent_of(
        ask if deep else fan, max_output_tokens=50, budget=Budget(max_usd="0.000002", max_steps=40)
    )
    meter = Meter(answer)
    if governed:
        result = asyncio.run(world.run(root, [], model=meter))
        assert 0 < booked(world)[0] <= CAP
    else:
        result = asyncio.run(
            within(run_agent_async(root, Request(prompt="go"), model=meter, prices=Prices()))
        )

    assert sum(meter.received) <= CAP
    assert len(meter.received) >= 4  # children do not wait for one that holds all of it
    assert result.spent is not None
    assert result.spent.nanos <= CAP
    if not deep:
        assert result.stop_reason == "finish"


def test_a_child_that_goes_on_after_its_call_was_given_up_makes_no_further_call() -> None:
    asked: list[str] = []
    late: list[asyncio.Task[RunResult]] = []

    async def main() -> RunResult:
        go_on = asyncio.Event()

        @tool
        async def look() -> str:
            await go_on.wait()
            return "seen"

        child = agent_of(look, name="child", max_output_tokens=50)

        @tool(children=True, timeout_s=0.05)
        async def ask(ctx: ToolContext) -> str:
            assert ctx.child is not None
            late.append(asyncio.ensure_future(ctx.child(child, "go")))
            await asyncio.shield(late[0])
            return "never"

        def answer(request: ModelRequest) -> Any:
            name = request.tools[0].name
            asked.append(name)
            return says("done") if any(m.role == "tool" for m in request.messages) else calls((name, {}))

        parent = agent_of(
            ask,
            max_output_tokens=50,
            budget=Budget(max_usd="0.000002"),
            policy=Policy(on_failure="tell"),
            tool_retry=NO_RETRY,
        )
        result = await within(
            run_agent_async(parent, Request(prompt="go"), model=Meter(answer), prices=Prices())
        )
        go_on.set()
        assert (await within(late[0])).stop_reason == "max_steps"
        return result

    result = asyncio.run(main())

    assert asked == ["ask", "look", "ask"]
    assert result.stop_reason == "finish"
