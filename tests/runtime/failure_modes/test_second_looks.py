"""Children that outlive their call, stop reasons of cut-off runs, waits for people, shared results, secrets."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, Field

from runtime.control.switches import Switch, SwitchRef
from runtime.core.effects import ToolResult
from runtime.core.messages import Message
from runtime.core.policy import Budget, RetryPolicy
from runtime.entry.run import RunResult, run_agent, run_agent_async
from runtime.entry.state import State
from runtime.execution.thread_slots import SHARED, limit_slots
from runtime.ports.control_values import ControlUnavailable
from runtime.ports.state import Scope, Slot
from runtime.ports.tools import ToolContext
from runtime.state.tools.credentials import StaticCredentials
from runtime.state.tools.run_state import BoundState, Stores
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import World, agent_of, until, within
from tests.support.agents import Prices


class Note(BaseModel):
    text: str
    ref: str = Field(default_factory=lambda: str(uuid4()))


ACME = Scope(tenant="acme", environment="test")


def test_a_child_that_outlives_its_call_makes_no_further_call_and_is_not_started_again() -> None:
    effects: list[int] = []
    tries: list[int] = []

    async def main() -> RunResult:
        go_on = asyncio.Event()

        @tool(write=True)
        async def pay(cents: int) -> str:
            effects.append(cents)
            await go_on.wait()
            return "paid"

        @tool(children=True, timeout_s=0.05)
        async def delegate(ctx: ToolContext) -> str:
            assert ctx.child is not None
            tries.append(ctx.attempt)
            model = ScriptedModel([calls(("pay", {"cents": 5})), "done"])
            child = agent_of(pay, name="child", client=model, budget=Budget(max_steps=7))
            await asyncio.shield(asyncio.ensure_future(ctx.child(child, "pay")))
            return "paid"

        agent = agent_of(delegate, tool_retry=RetryPolicy(first_s=0.001), budget=Budget(max_steps=20))
        model = ScriptedModel([calls(("delegate", {}))])
        result = await run_agent_async(agent, "go", model=model, prices=Prices())
        go_on.set()
        return result

    result = asyncio.run(within(main()))

    assert (tries, effects) == ([1], [5])
    assert result.stop_reason.startswith("tool_")
    assert result.spent is not None
    assert result.spent.steps == 2  # the child's slice was closed, so its second decision was refused


def test_a_cancelled_run_has_its_reason_in_the_index_though_the_store_was_away_at_its_end(
    world: World,
) -> None:
    async def main() -> None:
        began = asyncio.Event()

        @tool
        async def look() -> str:
            began.set()
            await asyncio.Event().wait()
            return "never"

        stop, down = world.store.stop_run, [True]

        def stop_run(*arguments: Any, **named: Any) -> Any:
            if down.pop() if down else False:
                raise ControlUnavailable("the store is away")
            return stop(*arguments, **named)

        world.store.stop_run = stop_run  # type: ignore[method-assign]  # it fails once
        run = asyncio.ensure_future(world.run(agent_of(look), [calls(("look", {}))]))
        await began.wait()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    asyncio.run(within(main()))

    assert world.stop_in_index() == "cancelled"


def test_a_kill_reaches_a_run_that_waits_for_its_users_next_turn(world: World) -> None:
    class Silent:
        def __init__(self) -> None:
            self.asked = asyncio.Event()

        async def next(self, conversation: tuple[Message, ...]) -> Any:
            self.asked.set()
            await asyncio.Event().wait()

    async def main() -> str:
        user = Silent()
        run = asyncio.ensure_future(world.run(agent_of(), ["hello"], inputs=user))
        await user.asked.wait()
        world.store.put_switch(Switch(ref=SwitchRef(scope="global"), by="ann", reason="test", at=0.0))
        return (await run).stop_reason

    assert asyncio.run(within(main())) == "operator_kill"


def test_a_runs_time_is_over_also_while_it_waits_for_its_users_next_turn(world: World) -> None:
    class Silent:
        async def next(self, conversation: tuple[Message, ...]) -> Any:
            await asyncio.Event().wait()

    agent = agent_of(budget=Budget(max_seconds=0.05))

    assert asyncio.run(within(world.run(agent, ["hello"], inputs=Silent()))).stop_reason == "max_seconds"


def test_a_switch_cuts_a_call_that_had_waited_for_its_place(world: World) -> None:
    before = SHARED.threads.limit
    limit_slots(threads=1)

    async def main() -> RunResult:
        first, go_on = threading.Event(), threading.Event()
        begun: list[int] = []

        @tool
        def act(n: int) -> str:
            begun.append(n)
            (first if len(begun) == 1 else go_on).wait(20.0)
            return "acted"

        turn = calls(("act", {"n": 1}), ("act", {"n": 2}))
        run = asyncio.ensure_future(world.run(agent_of(act), [turn, "done"]))
        await until(lambda: len(begun) == 1)
        first.set()
        await until(lambda: len(begun) == 2)
        switch = Switch(ref=SwitchRef(scope="tool", name="act"), by="ann", reason="test", at=0.0)
        world.store.put_switch(switch)
        try:
            return await asyncio.wait_for(run, 10.0)
        finally:
            go_on.set()

    try:
        result = asyncio.run(within(main()))
    finally:
        limit_slots(threads=before)

    assert result.stop_reason == "tool_disabled:act"


def test_a_result_that_was_found_out_is_capped_like_any_other(world: World) -> None:
    async def reconcile(bound: object, key: str) -> ToolResult | None:
        return ToolResult(content="x" * 100_000)

    @tool(write=True, reconcile=reconcile, max_result_bytes=1_000)
    async def pay() -> str:
        raise ConnectionResetError

    result = asyncio.run(world.run(agent_of(pay), [calls(("pay", {})), "done"]))

    assert result.stop_reason == "finish"
    assert len(str(result.trace.tool_calls[0].result)) <= 1_000


def test_equal_calls_of_a_business_key_are_one_whatever_their_defaults_are_made_of(world: World) -> None:
    made: list[int] = []

    @tool(write=True, dedupe_by=("order",))
    async def pay(order: int, notes: list[Note], cents: int = 5) -> str:
        made.append(order)
        return "paid"

    given = {"order": 1, "notes": [{"text": "a"}]}
    script = [calls(("pay", given)), calls(("pay", given | {"cents": 5})), "done"]
    result = asyncio.run(world.run(agent_of(pay), script))

    assert [c.status for c in result.trace.tool_calls] == ["ok", "cached"]
    assert made == [1]


def test_concurrent_first_runs_of_a_tenant_share_one_cache() -> None:
    state = State()

    first = state.of(ACME, audit=lambda _: None).cache
    again = state.of(ACME, audit=lambda _: None).cache

    assert first is again


def test_a_call_that_changed_the_scratch_is_not_answered_from_the_cache() -> None:
    seen: Slot[int] = Slot("seen", int)
    made: list[str] = []

    @tool(cache_s=60.0)
    async def look(q: str, ctx: ToolContext) -> str:
        made.append(q)
        ctx.scratch.put(seen, len(made))
        return "seen"

    state = State()
    agent = agent_of(look, scratch=(seen,))
    for _ in range(2):
        run_agent(
            agent,
            "go",
            model=ScriptedModel([calls(("look", {"q": "a"})), "done"]),
            prices=Prices(),
            state=state,
        )

    assert made == ["a", "a"]


def test_two_functions_of_one_name_and_schema_share_no_kept_results() -> None:
    def first() -> Any:
        @tool(name="look", cache_s=60.0)
        async def one(q: str) -> str:
            return "one"

        return one

    def second() -> Any:
        @tool(name="look", cache_s=60.0)
        async def two(q: str) -> str:
            return "two"

        return two

    state = State()
    asked = calls(("look", {"q": "a"}))
    results = [
        run_agent(agent_of(made), "go", model=ScriptedModel([asked, "done"]), prices=Prices(), state=state)
        for made in (first(), second())
    ]

    assert [r.trace.tool_calls[0].result for r in results] == ["one", "two"]


@pytest.mark.parametrize(
    "value", [{"pin": "1234567890"}, {"pin": 1234567890}, [1234567890], {"a1234567890": 1}]
)
def test_a_credential_of_digits_in_the_scratch_breaks_nothing_and_is_not_kept(value: Any) -> None:
    state = BoundState(
        ACME, "req_1", stores=Stores(credentials=StaticCredentials({ACME: {"pin": "1234567890"}}))
    )
    state.credential("pin")

    clean = state.clean_value({"kept": value})

    assert "1234567890" not in str(clean)


def test_credentials_are_told_from_many_threads_without_a_fault() -> None:
    known = {f"key{n}": f"secret-number-{n:05}" for n in range(200)}
    state = BoundState(ACME, "req_1", stores=Stores(credentials=StaticCredentials({ACME: known})))
    faults: list[BaseException] = []

    def ask(names: list[str]) -> None:
        try:
            for name in names:
                secret = state.credential(name).reveal()
                assert secret not in state.clean(f"the key is {secret}")
        except BaseException as error:  # noqa: BLE001 - whatever a thread meets is told below
            faults.append(error)

    threads = [threading.Thread(target=ask, args=([f"key{n}" for n in range(i, 200, 4)],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert state.clean(" ".join(known.values())).count("<credential") == 200
