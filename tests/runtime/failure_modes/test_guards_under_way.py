"""Guards while calls are under way: switched-off tools, slots of siblings and of abandoned calls, the watch."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import pytest

from runtime.control.switches import Board, Switch, SwitchRef
from runtime.core.effects import AskApproval
from runtime.core.policy import NO_RETRY, LoopLimits, Policy, RetryPolicy
from runtime.entry.run import RunResult, run_agent
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import ScriptedModel, calls, fails
from runtime.tools.tool import RetryableError, tool
from tests.runtime.failure_modes.world import (
    ENVIRONMENT,
    TENANT,
    HandClock,
    World,
    agent_of,
    rules,
    until,
    within,
)
from tests.support.agents import Prices


def exceeds(seen: list[str], number: int) -> bool:
    return len(seen) > number


def counted(store: Any, name: str) -> list[str]:
    """Return a list that grows with each call of an operation of a store."""
    seen: list[str] = []
    original = getattr(store, name)

    def call(*arguments: Any, **named: Any) -> Any:
        answer = original(*arguments, **named)
        seen.append(name)
        return answer

    setattr(store, name, call)
    return seen


def switch(scope: Any, name: str) -> Switch:
    return Switch(ref=SwitchRef(scope=scope, name=name), by="ann", reason="incident", at=0.0)


@pytest.mark.parametrize(
    ("write", "stop", "status"),
    [(False, "tool_disabled:act", "interrupted"), (True, "in_doubt:act", "in_doubt")],
)
def test_disabling_a_tool_cuts_its_call_under_way(world: World, write: bool, stop: str, status: str) -> None:
    async def main() -> RunResult:
        began = asyncio.Event()

        @tool(write=write, name="act")
        async def act() -> str:
            began.set()
            await asyncio.Event().wait()
            return "never"

        run = asyncio.ensure_future(world.run(agent_of(act), [calls(("act", {}))]))
        await began.wait()
        world.store.put_switch(switch("tool", "other"))
        world.store.put_switch(switch("tool", "act"))
        return await run

    result = asyncio.run(within(main()))

    assert result.stop_reason == stop
    assert [c.status for c in result.trace.tool_calls] == [status]


def test_disabling_a_tool_leaves_calls_of_others_alone(world: World) -> None:
    async def main() -> RunResult:
        began, go_on = asyncio.Event(), asyncio.Event()

        @tool
        async def look() -> str:
            began.set()
            await go_on.wait()
            return "seen"

        run = asyncio.ensure_future(world.run(agent_of(look), [calls(("look", {})), "done"]))
        await began.wait()
        world.store.put_switch(switch("tool", "act"))
        reads = counted(world.store.store, "read_switches")
        await until(lambda: len(reads) > 3)
        go_on.set()
        return await run

    assert asyncio.run(within(main())).stop_reason == "finish"


def test_calls_of_one_turn_take_turns_where_there_are_fewer_slots(store: BlockingControlStore) -> None:
    world = World(store, rules(tool_slots={"look": 2}))
    at_once: list[int] = []
    inside = 0

    @tool
    async def look(n: int) -> str:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        for _ in range(5):
            await asyncio.sleep(0)  # let the others of the turn begin, if they may
        inside -= 1
        return f"seen {n}"

    turn = calls(*(("look", {"n": n}) for n in range(7)))
    result = asyncio.run(world.run(agent_of(look), [turn, "done"]))

    assert result.stop_reason == "finish"
    assert [c.result for c in result.trace.tool_calls] == [f"seen {n}" for n in range(7)]
    assert max(at_once) == 2
    assert store.count_leases(f"{TENANT}/{ENVIRONMENT}/tool/look", now=time.time()) == 0


def test_a_kill_ends_calls_that_wait_for_a_slot_of_their_own_turn(store: BlockingControlStore) -> None:
    world = World(store, rules(tool_slots={"look": 1}))

    async def main() -> tuple[RunResult, int]:
        began = asyncio.Event()
        count = 0

        @tool
        async def look(n: int) -> str:
            nonlocal count
            count += 1
            began.set()
            await asyncio.Event().wait()
            return "never"

        run = asyncio.ensure_future(
            world.run(agent_of(look), [calls(("look", {"n": 1}), ("look", {"n": 2}))])
        )
        await began.wait()
        store.put_switch(switch("tenant", TENANT))
        return await run, count

    result, count = asyncio.run(within(main()))

    assert (result.stop_reason, count) == ("tenant_disabled", 1)


def test_mode_10_an_abandoned_call_keeps_its_slot_after_its_run_however_long_it_takes(
    store: BlockingControlStore,
) -> None:
    clock = HandClock()
    world = World(store, rules(tool_slots={"stubborn": 1}, lease_s=30.0), clock=clock)
    name = f"{TENANT}/{ENVIRONMENT}/tool/stubborn"

    async def main() -> tuple[str, int, str]:
        go_on = asyncio.Event()

        @tool(timeout_s=0.02)
        async def stubborn() -> str:
            ends = time.monotonic() + 25.0  # so that the test ends also where nothing keeps the slot
            while not go_on.is_set() and time.monotonic() < ends:
                try:
                    await asyncio.wait_for(go_on.wait(), 0.1)
                except TimeoutError:
                    continue
                except asyncio.CancelledError:
                    continue
            return "late"

        agent = agent_of(stubborn, tool_retry=NO_RETRY)
        first = await world.run(agent, [calls(("stubborn", {}))])
        renewals = counted(store.store, "renew_lease")
        for number in range(10):  # three times the lease in all
            clock.seconds += 10.0
            await until(partial(exceeds, renewals, number))
        held = store.count_leases(name, now=world.governor.now())
        second = await world.run(agent, [calls(("stubborn", {}))], "req_2")
        go_on.set()
        await until(lambda: store.count_leases(name, now=world.governor.now()) == 0)
        await until(lambda: len(asyncio.all_tasks()) == 1)  # the watch over it has ended too
        return first.stop_reason, held, second.stop_reason

    assert asyncio.run(within(main())) == ("tool_timeout:stubborn", 1, "concurrency_limited:stubborn")


@pytest.mark.parametrize(
    "error", [RuntimeError("a row that nobody understands"), ValueError("no such scope")]
)
def test_a_watch_that_cannot_read_the_switches_for_whatever_reason_stops_the_runs(
    world: World, error: Exception
) -> None:
    async def main() -> RunResult:
        began = asyncio.Event()

        @tool
        async def look() -> str:
            began.set()
            await asyncio.Event().wait()
            return "never"

        async def broken() -> Board:
            raise error

        run = asyncio.ensure_future(world.run(agent_of(look), [calls(("look", {}))]))
        await began.wait()
        world.governor.store.read_switches = broken  # type: ignore[method-assign]  # what another version may have left there
        return await run

    result = asyncio.run(within(main()))

    assert result.stop_reason == "control_unavailable"


def test_a_client_that_cannot_connect_is_a_failed_call_and_the_fallback_is_tried() -> None:
    class Away:
        def __init__(self) -> None:
            self.models: list[str] = []

        async def call(self, request: Any, limits: Any, observer: Any = None) -> Any:
            self.models.append(request.model)
            if request.model == "m1":
                raise ConnectionRefusedError("nobody listens")
            return await ScriptedModel(["done"]).call(request, limits, observer)

        async def aclose(self) -> None: ...

    away = Away()
    agent = agent_of(fallbacks=("m2",), model_retry=NO_RETRY)

    result = run_agent(agent, "go", model=away, prices=Prices())

    assert (result.stop_reason, away.models) == ("finish", ["m1", "m2"])


@pytest.mark.parametrize("answer", [ConnectionError("the desk is away"), "yes", None])
def test_a_desk_that_fails_denies(answer: Any) -> None:
    made: list[int] = []

    class Desk:
        async def ask(self, call: AskApproval) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    @tool(write=True)
    async def pay() -> str:
        made.append(1)
        return "paid"

    agent = agent_of(pay, policy=Policy(approve=("pay",), on_denied="stop"))
    result = run_agent(agent, "go", model=ScriptedModel([calls(("pay", {}))]), desk=Desk(), prices=Prices())

    assert (result.stop_reason, made) == ("approval_denied:pay", [])


def test_nobody_waits_a_day_because_a_server_asks_for_it() -> None:
    @tool
    async def look() -> str:
        raise RetryableError("come back tomorrow", after_s=86_400.0)

    tools = run_agent(
        agent_of(look, tool_retry=RetryPolicy()),
        "go",
        model=ScriptedModel([calls(("look", {}))]),
        prices=Prices(),
    )
    busy = fails("rate_limited", retryable=True, after_s=86_400.0)
    models = run_agent(
        agent_of(model_retry=RetryPolicy()), "go", model=ScriptedModel([busy]), prices=Prices()
    )

    assert (tools.stop_reason, models.stop_reason) == ("tool_error_exhausted:look", "model_rate_limited:m1")


def test_a_run_whose_searches_find_the_same_again_and_again_is_a_loop() -> None:
    @tool
    async def search(q: str) -> str:
        return "nothing found"

    script = [calls(("search", {"q": f"query {n}"})) for n in range(30)]
    agent = agent_of(search, policy=Policy(loop=LoopLimits(no_progress=10)))

    result = run_agent(agent, "go", model=ScriptedModel(script), prices=Prices())

    assert result.stop_reason == "loop_detected"
    assert result.totals.tool_calls == 11
