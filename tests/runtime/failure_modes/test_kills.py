"""Failure modes 30-33, 45: kills from anywhere, one stop reason, and a control store that cannot be reached."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from statistics import quantiles

import pytest

from runtime.control.ledger import Caps
from runtime.control.switches import Switch, SwitchRef
from runtime.core.policy import Budget, Policy
from runtime.entry.agent import Agent
from runtime.entry.run import RunResult
from runtime.ports.control_values import ControlUnavailable
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import (
    FaultyStore,
    HandClock,
    World,
    agent_of,
    line,
    rules,
    tell,
    tell_reader,
    told,
    until,
    workers,
)
from tests.support.counts import FULL

SEEDS = range(200 if FULL else 10)
RACES = range(1_000 if FULL else 60)
RUNS, STEPS = (500, 40) if FULL else (60, 25)
GLOBAL = SwitchRef(scope="global")
_SAME_MOMENT_S = 0.02
"""A call reads the switches and starts in one step of its loop; so long may the machine stop it in between."""


def pull(store: BlockingControlStore, ref: SwitchRef = GLOBAL) -> None:
    store.put_switch(Switch(ref=ref, by="ann", reason="test", at=0.0))


class Writes:
    """Fifty writes, each noted as it starts and as it ends."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.ended: list[int] = []

        @tool(write=True)
        async def write(n: int) -> str:
            self.started.append(n)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.ended.append(n)
            return f"wrote {n}"

        self.agent: Agent = agent_of(write, policy=Policy(loop=None), budget=Budget(max_steps=60))
        self.script = [
            *(calls(*(("write", {"n": 2 * n + i}) for i in range(2))) for n in range(25)),
            "done",
        ]


# A poll that comes late leaves the kill to what is read before each call.
@pytest.mark.parametrize("poll_s", [0.005, 30.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_mode_30_nothing_starts_after_a_kill_and_every_effect_is_accounted(
    store: BlockingControlStore, seed: int, poll_s: float
) -> None:
    world = World(store, rules(poll_s=poll_s))
    writes = Writes()

    async def main() -> tuple[RunResult, int]:
        run = asyncio.ensure_future(world.run(writes.agent, writes.script))
        due = random.Random(seed).randint(0, 45)
        while len(writes.started) < due:  # noqa: ASYNC110 - every turn of the loop is a point to kill at
            await asyncio.sleep(0)
        pull(store)
        acknowledged = len(writes.started)
        return await run, acknowledged

    result, acknowledged = asyncio.run(main())

    intents = [e for e in world.audit.events if e.kind == "intent" and e.subject == "tool"]
    statuses = [c.status for c in result.trace.tool_calls]
    assert result.stop_reason == world.stop_in_index() == "operator_kill"
    assert len(writes.started) == acknowledged <= len(intents)
    assert statuses.count("ok") + statuses.count("in_doubt") >= len(writes.started)
    assert statuses.count("ok") <= len(writes.ended)
    assert world.audit.stops == ["operator_kill"]


def test_mode_31_a_model_call_is_cut_by_a_kill_from_another_process(
    path: Path, store: BlockingControlStore
) -> None:
    with workers("think", path) as (process,):
        tell(process)
        assert line(process) == "thinking"
        pull(store)
        acknowledged = time.monotonic()
        end = told(process)

    tell_reader(f"model call cut after {1000 * (end['at'] - acknowledged):.0f} ms")
    assert end["stop"] == "operator_kill"
    assert end["at"] - acknowledged < 5.0
    (run,) = store.find_runs("req_1")
    assert run.stop_reason == "operator_kill"


@pytest.mark.parametrize("seed", RACES)
def test_mode_32_a_kill_that_races_with_the_finish_leaves_one_stop_reason(
    store: BlockingControlStore, seed: int
) -> None:
    world = World(store, rules(poll_s=0.001))

    @tool
    async def look() -> str:
        return "seen"

    async def main() -> RunResult:
        run = asyncio.ensure_future(world.run(agent_of(look), [calls(("look", {})), "done"]))
        for _ in range(random.Random(seed).randint(0, 40)):
            await asyncio.sleep(0)
        pull(store)
        return await run

    result = asyncio.run(main())

    assert result.stop_reason in {"finish", "operator_kill"}
    assert world.audit.stops == [result.stop_reason]
    assert world.stop_in_index() == result.stop_reason


def test_mode_32_what_wants_to_stop_a_run_that_is_over_changes_nothing(world: World) -> None:
    result = asyncio.run(world.run(agent_of(), ["done"]))
    (run,) = world.store.find_runs("req_1")
    late = world.store.stop_run(run.key, fencing=run.fencing, stop_reason="operator_kill", now=0.0)

    assert (late.applied, world.stop_in_index()) == (False, result.stop_reason)


class Outage:
    """A world whose store goes away after the first model reply."""

    def __init__(self, store: BlockingControlStore, *, write: bool, step_s: float = 0.0) -> None:
        self.clock = HandClock()
        self.faulty = FaultyStore(store)
        self.world = World(self.faulty.as_store(), rules(), clock=self.clock)
        self.effects: list[int] = []

        @tool
        async def look(n: int) -> str:
            self.clock.seconds += step_s
            self.faulty.down = True
            self.effects.append(n)
            return "seen"

        @tool(write=True)
        async def pay(n: int) -> str:
            self.effects.append(n)
            return "paid"

        self.agent = agent_of(look, pay, policy=Policy(loop=None))
        reads = [calls(("look", {"n": n})) for n in range(8)]
        self.script = [reads[0], calls(("pay", {"n": 1}))] if write else [*reads, "done"]

    def run(self) -> RunResult:
        return asyncio.run(self.world.run(self.agent, self.script))


def test_mode_33_a_write_is_refused_while_the_store_is_away_and_is_not_in_doubt(
    store: BlockingControlStore,
) -> None:
    outage = Outage(store, write=True)
    result = outage.run()

    assert result.stop_reason == "control_unavailable"
    assert outage.effects == [0]
    assert result.totals.in_doubt == 0


def test_mode_33_a_write_whose_claim_cannot_be_made_is_refused_and_not_in_doubt(
    store: BlockingControlStore,
) -> None:
    outage = Outage(store, write=True)

    class NoClaims(FaultyStore):
        def claim(self, *arguments: object, **named: object) -> None:
            raise ControlUnavailable("the store is away")

    outage.faulty = NoClaims(store)
    outage.world = World(outage.faulty.as_store())
    result = asyncio.run(outage.world.run(outage.agent, [calls(("pay", {"n": 1}))]))

    assert result.stop_reason == "control_unavailable"
    assert (outage.effects, result.totals.in_doubt) == ([], 0)


def test_mode_33_reads_go_on_for_a_while_on_the_last_known_switches(store: BlockingControlStore) -> None:
    outage = Outage(store, write=False, step_s=0.2)

    assert outage.run().stop_reason == "finish"
    assert outage.effects == list(range(8))


def test_mode_33_reads_stop_once_the_last_known_switches_are_stale(store: BlockingControlStore) -> None:
    outage = Outage(store, write=False, step_s=0.9)

    assert outage.run().stop_reason == "control_unavailable"
    assert outage.effects == [0, 1, 2]


def test_mode_33_reads_that_a_cap_counts_are_refused_while_the_store_is_away(
    store: BlockingControlStore,
) -> None:
    outage = Outage(store, write=False)
    outage.world = World(outage.faulty.as_store(), rules(tenant_day=Caps(tool_calls=100)), clock=outage.clock)

    assert outage.run().stop_reason == "control_unavailable"
    assert outage.effects == [0]


def test_mode_33_a_run_cannot_begin_without_the_store(store: BlockingControlStore) -> None:
    outage = Outage(store, write=False)
    outage.faulty.down = True

    with pytest.raises(ControlUnavailable):
        outage.run()
    assert outage.effects == []


def test_mode_45_a_kill_ends_three_levels_of_children_and_leaves_no_task(world: World) -> None:
    stuck: list[str] = []

    @tool(children=True, timeout_s=None)
    async def leaf(ctx: ToolContext) -> str:
        stuck.append(ctx.request_id)
        await asyncio.Event().wait()
        return "never"

    def parent_of(child: Agent, name: str) -> Agent:
        @tool(children=True, timeout_s=None)
        async def fan(ctx: ToolContext) -> str:
            assert ctx.child is not None
            await asyncio.gather(*(ctx.child(child, name) for _ in range(5)))
            return "over"

        return agent_of(fan, name=name, budget=Budget(max_steps=None))

    last = agent_of(leaf, name="leaf", budget=Budget(max_steps=None))
    tree = parent_of(parent_of(last, "middle"), "top")

    async def main() -> tuple[RunResult, int]:
        model = ScriptedModel(lambda request: calls((request.tools[0].name, {})))
        run = asyncio.ensure_future(world.run(tree, [], model=model))
        await until(lambda: len(stuck) == 25)
        pull(world.store, SwitchRef(scope="run", name="req_1"))
        result = await run
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        return result, len(left)

    result, left = asyncio.run(main())

    runs = world.store.list_runs(limit=100)
    assert result.stop_reason == "operator_kill"
    assert len(runs) == 1 + 5 + 25
    # A child is stopped by the switch itself or by its parent, whichever comes first.
    assert {r.stop_reason for r in runs} <= {"operator_kill", "cancelled"}
    assert left == 0


def test_kill_pressed_at_random_from_another_process_lets_nothing_start_after_it(
    path: Path, store: BlockingControlStore
) -> None:
    draw = random.Random(4)
    with workers("slow", path, RUNS, STEPS) as (process,):
        tell(process)
        assert line(process) == "under way"
        time.sleep(draw.uniform(0.0, 0.3))
        pull(store, SwitchRef(scope="tenant", name="a"))
        acknowledged = time.monotonic()
        found = told(process)

    late = [at - acknowledged for tenant, at in found["begun"] if tenant == "a" and at > acknowledged]
    took = [at - acknowledged for tenant, _, at in found["ended"] if tenant == "a"]
    p99_ms = 1000 * quantiles(took, n=100)[98]
    tell_reader(f"{len(took)} runs stopped, p99 {p99_ms:.0f} ms, {len(late)} calls in the same moment")
    assert {stop for tenant, stop, _ in found["ended"] if tenant == "a"} == {"tenant_disabled"}
    assert {stop for tenant, stop, _ in found["ended"] if tenant == "b"} == {"finish"}
    assert len([1 for tenant, _ in found["begun"] if tenant == "b"]) == RUNS // 2 * STEPS
    assert [s for s in late if s > _SAME_MOMENT_S] == []
    assert p99_ms < (250 if FULL else 5_000)


class TwoTenants:
    """A run of tenant `b` that reads again and again, beside twenty of tenant `a` that wait in a tool."""

    def __init__(self, store: BlockingControlStore, *, stubborn: bool = False) -> None:
        self.world = World(store, rules(poll_s=60.0))
        self.happened: list[str] = []
        self.released = asyncio.Event()

        @tool(timeout_s=None)
        async def hang() -> str:
            self.happened.append("a waits")
            while not self.released.is_set():
                try:
                    await self.released.wait()
                except asyncio.CancelledError:
                    if not stubborn:
                        raise
            return "never"

        @tool
        async def look(n: int) -> str:
            self.happened.append("b looks")
            if n == 1:
                await until(lambda: self.happened.count("a waits") == 20)
                pull(store, SwitchRef(scope="tenant", name="a"))
            return "seen"

        self.hang, self.look = hang, look

    async def a(self, n: int) -> str:
        found = await self.world.run(agent_of(self.hang), [calls(("hang", {}))], f"req_{n}", tenant="a")
        self.happened.append("a ended")
        return found.stop_reason

    async def both(self) -> tuple[set[str], str]:
        waiting = [asyncio.ensure_future(self.a(n)) for n in range(20)]
        script = [*(calls(("look", {"n": n})) for n in range(9)), "done"]
        agent = agent_of(self.look, policy=Policy(loop=None))
        going_on = await self.world.run(agent, script, "req_b", tenant="b")
        self.happened.append("b ended")
        self.released.set()
        return set(await asyncio.gather(*waiting)), going_on.stop_reason


def test_a_run_that_sees_a_switch_stops_the_others_and_gives_way_to_their_ends(
    store: BlockingControlStore,
) -> None:
    async def main() -> tuple[TwoTenants, tuple[set[str], str]]:
        shared = TwoTenants(store)
        return shared, await shared.both()

    shared, stops = asyncio.run(main())

    after = shared.happened[shared.happened.index("a ended") :]
    assert stops == ({"tenant_disabled"}, "finish")
    assert after[:20] == ["a ended"] * 20
    assert shared.happened.count("b looks") == 9


def test_runs_that_are_killed_and_do_not_end_hold_nobody_up_for_long(store: BlockingControlStore) -> None:
    async def main() -> tuple[TwoTenants, tuple[set[str], str]]:
        shared = TwoTenants(store, stubborn=True)
        return shared, await shared.both()

    shared, stops = asyncio.run(main())

    assert stops == ({"tenant_disabled"}, "finish")
    assert shared.happened.count("b looks") == 9


def test_a_tool_switched_off_between_admission_and_start_is_disabled_and_not_a_bug(world: World) -> None:
    effects: list[int] = []

    @tool(write=True)
    async def pay() -> str:
        effects.append(1)
        return "paid"

    class OffAtTheClaim(FaultyStore):
        def claim(self, *arguments: object, **named: object) -> object:
            pull(world_store, SwitchRef(scope="tool", name="pay"))
            return self.__getattr__("claim")(*arguments, **named)

    world_store = world.store
    changed = World(OffAtTheClaim(world_store).as_store())
    result = asyncio.run(changed.run(agent_of(pay), [calls(("pay", {}))]))

    assert result.stop_reason == "tool_disabled:pay"
    assert (effects, result.totals.in_doubt) == ([], 0)
    assert world_store.list_claims(state="claimed", now=time.time()) == ()
