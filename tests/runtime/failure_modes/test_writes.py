"""Failure modes 9-15, 35: a write happens once, and what is not known is in doubt and not forgotten."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from harness.cassette.store import read_recording
from harness.sessions.resume import World as ResumeWorld
from harness.sessions.resume import resume_run
from runtime.control.switches import Switch, SwitchRef
from runtime.core.effects import ToolResult
from runtime.core.policy import Policy, RetryPolicy
from runtime.entry.agent import Agent
from runtime.entry.request import Request, RunResult
from runtime.entry.service import Principal, Service
from runtime.errors import UsageError
from runtime.execution.clock import SystemClock
from runtime.execution.governor import Governor
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import Tool, tool
from tests.runtime.failure_modes import worker
from tests.runtime.failure_modes.world import (
    ENVIRONMENT,
    TENANT,
    HandClock,
    World,
    agent_of,
    rules,
    tell,
    told,
    until,
    workers,
)
from tests.support.agents import Prices

KILL = Switch(ref=SwitchRef(scope="global"), by="ann", reason="test", at=0.0)


class Server:
    """Something that is written to: commits, then loses its answer.

    Attributes:
        effects: What was written.
    """

    def __init__(self, *, dedupes: bool = False) -> None:
        self.effects: list[str | None] = []
        self.requests = 0
        self._dedupes = dedupes

    async def write(self, key: str | None) -> str:
        self.requests += 1
        if not (self._dedupes and key in self.effects):
            self.effects.append(key)
        if self.requests < 3:
            await asyncio.Event().wait()
        return "written"


def test_mode_09_a_lost_answer_of_a_write_stops_in_doubt_after_one_effect(world: World) -> None:
    server = Server()

    @tool(write=True, timeout_s=0.03)
    async def pay(ctx: ToolContext) -> str:
        return await server.write(ctx.idempotency_key)

    result = asyncio.run(world.run(agent_of(pay), [calls(("pay", {}))]))

    (claim,) = world.store.list_claims(state="in_doubt", now=time.time())
    assert result.stop_reason == "in_doubt:pay"
    assert len(server.effects) == server.requests == 1
    assert claim.key == server.effects[0]


def test_mode_09_a_write_that_takes_the_key_is_repeated_under_the_same_key(world: World) -> None:
    server = Server(dedupes=True)

    @tool(write=True, takes_key=True, timeout_s=0.03)
    async def pay(ctx: ToolContext) -> str:
        return await server.write(ctx.idempotency_key)

    agent = agent_of(pay, tool_retry=RetryPolicy(first_s=0.001))
    result = asyncio.run(world.run(agent, [calls(("pay", {})), "done"]))

    assert result.stop_reason == "finish"
    assert (server.requests, len(server.effects)) == (3, 1)
    assert world.store.list_claims(state="done", now=time.time())[0].fencing == 3


def test_mode_10_a_tool_that_lingers_in_finally_holds_its_slot_but_not_the_run(
    store: BlockingControlStore,
) -> None:
    world = World(store, rules(tool_slots={"stubborn": 1}))
    name = f"{TENANT}/{ENVIRONMENT}/tool/stubborn"

    async def main() -> tuple[RunResult, float, int, int]:
        released, over = asyncio.Event(), asyncio.Event()
        for event in (over, released):  # so that the test ends also where no limit holds
            asyncio.get_running_loop().call_later(8.0, event.set)

        @tool(timeout_s=0.1)
        async def stubborn() -> str:
            try:
                await over.wait()
            finally:
                await released.wait()
            return "late"

        agent = agent_of(stubborn, tool_retry=RetryPolicy(attempts=1))
        began = time.monotonic()
        result = await world.run(agent, [calls(("stubborn", {}))])
        took = time.monotonic() - began
        held = store.count_leases(name, now=world.governor.now())
        released.set()
        await until(lambda: store.count_leases(name, now=world.governor.now()) == 0)
        return result, took, held, store.count_leases(name, now=world.governor.now())

    result, took, held, after = asyncio.run(main())

    assert result.stop_reason == "tool_timeout:stubborn"
    assert took < 1.5  # 0.1 s limit and 0.25 s grace; the rest is room for a busy machine
    assert (held, after) == (1, 0)


@pytest.mark.parametrize("kind", ["thread", "coroutine"])
def test_mode_11_the_late_outcome_of_a_killed_write_is_kept_under_its_key(world: World, kind: str) -> None:
    async def main() -> tuple[RunResult, list[str], str | None]:
        reached, go_on = threading.Event(), threading.Event()

        def in_thread() -> str:
            reached.set()
            go_on.wait(30)
            return "landed"

        async def on_loop() -> str:
            reached.set()
            while not go_on.is_set():
                try:
                    await asyncio.sleep(0.002)
                except asyncio.CancelledError:
                    continue
            return "landed"

        pay: Tool = tool(write=True, name="pay")(in_thread if kind == "thread" else on_loop)
        run = asyncio.ensure_future(world.run(agent_of(pay), [calls(("pay", {}))]))
        await until(reached.is_set)
        world.store.put_switch(KILL)
        result = await run
        states = [str(c.state) for c in world.store.list_claims(state="in_doubt", now=time.time())]
        go_on.set()
        await until(lambda: bool(world.store.list_claims(state="done", now=time.time())))
        (claim,) = world.store.list_claims(state="done", now=time.time())
        return result, states, None if claim.result is None else claim.result.content

    result, states, late = asyncio.run(main())

    assert result.stop_reason == "operator_kill"
    assert [c.status for c in result.trace.tool_calls] == ["in_doubt"]
    assert world.audit.kinds("pay") == [("intent", None), ("outcome", "in_doubt"), ("late", "ok")]
    assert (states, late) == (["in_doubt"], "landed")


def crashed_in_a_write(path: Path, job: str) -> None:
    with workers(job, path) as (process,):
        tell(process)
        assert process.wait() == 9


def resumed(path: Path, store: BlockingControlStore, agent: Agent) -> RunResult:
    """Carry the run of a dead process to its end, an hour later."""
    governor = Governor(store.store, rules(), clock=Later())
    recording = read_recording(path.with_suffix(".jsonl"))
    world = ResumeWorld(model=ScriptedModel(["done"]), governor=governor)
    return asyncio.run(resume_run(recording, agent, world, out=path.with_suffix(".resumed.jsonl")))


class Later(SystemClock):
    """A clock an hour ahead: what a dead process held has lapsed."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=1)


def test_mode_12_a_crash_between_effect_and_record_is_reconciled_once_and_not_repeated(
    path: Path, store: BlockingControlStore
) -> None:
    crashed_in_a_write(path, "die")
    effects = worker.effects_of(path)
    asked: list[str] = []

    async def reconcile(bound: object, key: str) -> ToolResult | None:
        asked.append(key)
        return ToolResult(content=effects.read_text())

    result = resumed(path, store, worker.paying_agent(path, reconcile=reconcile))

    (claim,) = store.list_claims(state="done", now=time.time())
    assert result.stop_reason == "finish"
    assert asked == [claim.key]
    assert effects.read_text() == "pay 1\n"


def test_mode_12_a_crash_that_nobody_can_reconcile_is_in_doubt_and_not_repeated(
    path: Path, store: BlockingControlStore
) -> None:
    crashed_in_a_write(path, "die")
    result = resumed(path, store, worker.paying_agent(path))

    (run,) = store.find_runs("req_1")
    assert result.stop_reason == run.stop_reason == "in_doubt:pay"
    assert worker.effects_of(path).read_text() == "pay 1\n"


def test_mode_12_a_later_call_of_a_business_key_in_doubt_asks_reconcile_and_does_not_repeat(
    world: World,
) -> None:
    effects: list[str] = []
    asked: list[str] = []

    async def reconcile(bound: object, key: str) -> ToolResult | None:
        asked.append(key)
        if len(asked) == 1:
            raise ConnectionError("nobody answers")
        return ToolResult(content="it was paid")

    @tool(write=True, dedupe_by=("order",), timeout_s=0.03, reconcile=reconcile)
    async def pay(order: int) -> str:
        effects.append(f"pay {order}")
        await asyncio.Event().wait()
        return "never"

    script = [calls(("pay", {"order": 1})), "done"]
    first = asyncio.run(world.run(agent_of(pay), script, "req_1"))
    second = asyncio.run(world.run(agent_of(pay), script, "req_2"))

    assert (first.stop_reason, second.stop_reason) == ("in_doubt:pay", "finish")
    assert [c.status for c in second.trace.tool_calls] == ["cached"]
    assert (len(effects), len(asked)) == (1, 2)


def test_mode_12_a_reconcile_that_fails_leaves_the_write_in_doubt(world: World) -> None:
    async def reconcile(bound: object, key: str) -> ToolResult | None:
        raise ConnectionError("nobody answers")

    @tool(write=True, dedupe_by=("order",), timeout_s=0.03, reconcile=reconcile)
    async def pay(order: int) -> str:
        await asyncio.Event().wait()
        return "never"

    script = [calls(("pay", {"order": 1})), "done"]
    stops = [asyncio.run(world.run(agent_of(pay), script, f"req_{n}")).stop_reason for n in range(2)]

    assert stops == ["in_doubt:pay", "in_doubt:pay"]


def test_mode_13_one_request_id_delivered_ten_times_is_one_run(world: World) -> None:
    effects: list[int] = []

    @tool(write=True)
    async def pay(order: int) -> str:
        effects.append(order)
        return "paid"

    async def knows(credentials: str) -> Principal | None:
        return (
            Principal(name="shop", tenant=TENANT, environment=ENVIRONMENT) if credentials == "key" else None
        )

    model = ScriptedModel([calls(("pay", {"order": 1})), "done"])
    service = Service(governor=world.governor, authenticate=knows, model=model, prices=Prices())
    agent = agent_of(pay)

    async def main() -> list[RunResult]:
        request = Request(prompt="go", request_id="req_1")
        return await asyncio.gather(*(service.run(agent, request, credentials="key") for _ in range(10)))

    results = asyncio.run(main())

    assert {r.stop_reason for r in results} == {"finish"}
    assert len({r.run_id for r in results}) == len(world.store.find_runs("req_1")) == 1
    assert effects == [1]


def test_mode_13_the_same_id_for_another_request_is_refused_also_while_the_first_runs(world: World) -> None:
    async def knows(credentials: str) -> Principal | None:
        return Principal(name="shop", tenant=TENANT, environment=ENVIRONMENT)

    model = ScriptedModel(lambda request: "done")
    service = Service(governor=world.governor, authenticate=knows, model=model, prices=Prices())

    async def main() -> list[RunResult | BaseException]:
        asked = [Request(prompt=prompt, request_id="req_1") for prompt in ("one", "two")]
        runs = (service.run(agent_of(), request, credentials="key") for request in asked)
        return await asyncio.gather(*runs, return_exceptions=True)

    first, second = asyncio.run(main())

    assert isinstance(first, RunResult)
    assert isinstance(second, UsageError)
    assert len(model.requests) == 1


def test_mode_13_one_request_id_delivered_to_four_processes_is_one_effect(
    path: Path, store: BlockingControlStore
) -> None:
    with workers("deliver", path, processes=4) as begun:
        for each in begun:
            tell(each)
        answers = [told(each) for each in begun]

    (run,) = store.find_runs("req_1")
    assert sorted(answers) == [*[f"duplicate of {run.run_id}"] * 3, "finish"]
    assert worker.effects_of(path).read_text() == "pay 1\n"
    assert run.stop_reason == "finish"


def test_mode_14_the_same_write_planned_again_is_answered_with_the_first_result(world: World) -> None:
    effects: list[int] = []

    @tool(write=True, dedupe_by=("order",))
    async def charge(order: int) -> str:
        effects.append(order)
        return f"charge {len(effects)}"

    asked = calls(("charge", {"order": 1}))
    script = [asked, calls(("charge", {"order": 2})), asked, "done"]
    result = asyncio.run(world.run(agent_of(charge), script))

    found = [(c.status, c.result) for c in result.trace.tool_calls]
    assert effects == [1, 2]
    assert found == [("ok", "charge 1"), ("ok", "charge 2"), ("cached", "charge 1")]


def test_mode_15_a_writer_whose_claim_was_taken_over_is_refused(world: World) -> None:
    clock = HandClock()
    world = World(world.store, clock=clock)
    paused: list[asyncio.Event] = []

    @tool(write=True, takes_key=True, dedupe_by=("order",), timeout_s=None)
    async def pay(order: int) -> str:
        paused.append(asyncio.Event())
        mine = len(paused)
        await paused[-1].wait()
        return f"paid by {mine}"

    async def main() -> tuple[RunResult, RunResult]:
        script = [calls(("pay", {"order": 1})), "done"]
        first = asyncio.ensure_future(world.run(agent_of(pay), script, "req_1"))
        await until(lambda: len(paused) == 1)
        clock.seconds += 10_000.0
        second = asyncio.ensure_future(world.run(agent_of(pay), script, "req_2"))
        await until(lambda: len(paused) == 2)
        paused[1].set()
        taken_over = await second
        paused[0].set()
        return await first, taken_over

    asyncio.run(main())

    (claim,) = world.store.list_claims(state="done", now=clock.seconds)
    assert claim.fencing == 2
    assert claim.result == ToolResult(content="paid by 2")


@pytest.mark.parametrize(
    ("pause_s", "stop", "held"), [(4.0, "finish", [1]), (60.0, "control_unavailable", [])]
)
def test_mode_35_a_slot_is_renewed_and_its_loss_cuts_the_call_off(
    store: BlockingControlStore, pause_s: float, stop: str, held: list[int]
) -> None:
    clock = HandClock()
    world = World(store, rules(tool_slots={"look": 1}, lease_s=10.0), clock=clock)
    name = f"{TENANT}/{ENVIRONMENT}/tool/look"
    slots: list[int] = []

    @tool(timeout_s=None)
    async def look() -> str:
        for _ in range(5):  # as if the loop had stood still so long
            clock.seconds += pause_s
            await asyncio.sleep(0.05)
        slots.append(store.count_leases(name, now=world.governor.now()))
        return "seen"

    agent = agent_of(look, policy=Policy(loop=None))
    result = asyncio.run(world.run(agent, [calls(("look", {})), "done"]))

    assert result.stop_reason == stop
    assert slots == held
    assert store.count_leases(name, now=world.governor.now()) == 0
