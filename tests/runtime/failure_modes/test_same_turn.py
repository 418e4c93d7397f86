"""A call that ends in the turn of the event loop in which it is given up: its result is kept, its slot given back."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

import msgspec
import pytest

from runtime.control.switches import Switch, SwitchRef
from runtime.core.effects import Begin, CallTool, Failure, ToolResult
from runtime.execution.live.performer import LivePerformer
from runtime.execution.time_limit import Work
from runtime.execution.world import World as RunWorld
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import ENVIRONMENT, TENANT, World, agent_of, rules, until
from tests.support.playbook import header

KILL = Switch(ref=SwitchRef(scope="global"), by="ann", reason="test", at=0.0)
SLOT = f"{TENANT}/{ENVIRONMENT}/tool/pay"


def give_up(how: str, world: World, run: asyncio.Task[Any], turns: int) -> None:
    """Cancel or kill a run some turns of the event loop from now."""
    if turns:
        asyncio.get_running_loop().call_soon(give_up, how, world, run, turns - 1)
    elif how == "cancel":
        run.cancel()
    else:
        world.store.put_switch(KILL)


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("how", ["cancel", "kill"])
@pytest.mark.parametrize("kind", ["thread", "async"])
def test_mode_11_a_write_that_ends_as_its_run_is_given_up_is_known_and_keeps_no_slot(
    store: BlockingControlStore, kind: str, how: str, turns: int
) -> None:
    world = World(store, rules(tool_slots={"pay": 1}))

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def hold(thread: threading.Thread) -> None:
            thread.join(10)  # so that its result waits for the next turn
            give_up(how, world, run, turns)

        def in_thread() -> str:
            loop.call_soon_threadsafe(hold, threading.current_thread())
            return "paid"

        async def on_loop() -> str:
            give_up(how, world, run, turns + 1)
            return "paid"

        pay = tool(write=True, name="pay")(in_thread if kind == "thread" else on_loop)
        run = asyncio.ensure_future(world.run(agent_of(pay), [calls(("pay", {})), "done"]))
        with contextlib.suppress(asyncio.CancelledError):
            await run
        await until(lambda: store.count_leases(SLOT, now=world.governor.now()) == 0, within_s=2.0)
        await until(lambda: bool(store.list_claims(state="done", now=time.time())), within_s=2.0)

    asyncio.run(main())

    (claim,) = store.list_claims(state="done", now=time.time())
    assert claim.result is not None
    assert claim.result.content == "paid"


class Pulled:
    """A guard that stops work before it begins."""

    def begin(self, lane: str, work: Work) -> None:
        work.stop("kill")

    def done_with(self, lane: str) -> None:
        """Do nothing: nothing is kept."""

    def refusal(self, call: CallTool) -> Failure | None:
        return None

    def ended_late(self, call: CallTool, result: ToolResult | None) -> None:
        raise AssertionError("a call that never began does not end")


def test_mode_10_a_call_stopped_before_its_thread_began_does_not_go_on() -> None:
    began: list[str] = []

    @tool(write=True)
    def pay() -> str:
        began.append("pay")
        return "paid"

    async def main() -> bool:
        world = RunWorld(model=ScriptedModel([]), tools={"pay": pay})
        live = LivePerformer(world, guard=Pulled())
        await live.perform(Begin(header=header()))
        call = CallTool(lane="0.tool0/1", call_id="a", name="pay", arguments={}, args_hash="h")
        outcome = await live.perform(msgspec.structs.replace(call, bound=pay.validate({}).value))
        assert outcome.failure is not None
        assert outcome.failure.cause == "kill"
        return live.is_abandoned(call.lane)

    assert asyncio.run(main()) is False
    assert began == []
