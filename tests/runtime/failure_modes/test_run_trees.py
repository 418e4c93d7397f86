"""Money over a tree of runs: what may have reached a provider is paid for, and never passes the root's cap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from runtime.control.switches import Switch, SwitchRef
from runtime.core.effects import Failure, Limits
from runtime.core.messages import ModelReply, ModelRequest
from runtime.core.policy import NO_RETRY, Budget, Policy
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.ports.tools import ToolContext
from runtime.testing import calls, says
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import World, agent_of, within
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
