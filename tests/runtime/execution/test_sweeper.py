"""What the governor's watch sweeps up after dead processes and ended calls, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.control.ledger import Amount, SpendScope
from runtime.control.switches import Board
from runtime.entry.agent import Agent
from runtime.execution.governor import Governor
from runtime.execution.run_guard import ALIVE_S
from runtime.ports.control_values import Run, RunKey
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import calls
from runtime.testing.ram_store import RamControlStore
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import HandClock, World, agent_of, rules, until

DAY_S = 86_400.0
DEAD = RunKey(tenant="acme", environment="prod", request_id="req_dead")


class Counting(RamControlStore):
    """Counts what the watch does."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.sweeps = 0

    async def read_switches(self) -> Board:
        self.reads += 1
        return await super().read_switches()

    async def sweep_runs(self, *, now: float) -> tuple[Run, ...]:
        self.sweeps += 1
        return await super().sweep_runs(now=now)


def waits_for(happened: Callable[[], bool]) -> Agent:
    @tool(timeout_s=None)
    async def wait() -> str:
        await until(happened)
        return "seen"

    return agent_of(wait)


def run_until(world: World, happened: Callable[[], bool]) -> str:
    return asyncio.run(world.run(waits_for(happened), [calls(("wait", {})), "done"])).stop_reason


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlockingControlStore:
    return (
        BlockingControlStore(RamControlStore())
        if request.param == "memory"
        else BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))
    )


def test_a_run_of_a_dead_process_is_set_to_crashed_while_another_runs(store: BlockingControlStore) -> None:
    now = Governor(store.store).now()
    store.open_run(Run(key=DEAD, run_id="run_d", agent="a", started_at=now - 90.0, alive_until=now - 30.0))

    ended = run_until(World(store), lambda: store.find_runs("req_dead")[0].stop_reason == "crashed")

    assert ended == "finish"
    assert store.find_runs("req_1")[0].stop_reason == "finish"


def test_holds_that_ended_a_day_ago_are_forgotten_and_their_sums_stay(store: BlockingControlStore) -> None:
    now = Governor(store.store).now()
    for n, at in enumerate((now - 2 * DAY_S, now - 60.0)):
        store.reserve_spend(f"hold_{n}", (SpendScope("acme/prod/run/x"),), Amount(5), now=at, ttl_s=1.0)
        store.settle_spend(f"hold_{n}", Amount(5), now=at)

    run_until(World(store), lambda: store.settle_spend("hold_0", Amount(5), now=now).state is None)

    assert store.settle_spend("hold_1", Amount(5), now=now).state == "settled"
    assert store.read_spend(("acme/prod/run/x",), now=now)[0].spent == Amount(10)


def test_the_watch_sweeps_twice_in_the_time_a_run_may_be_silent_and_not_with_each_look() -> None:
    store, clock = Counting(), HandClock()
    world = World(BlockingControlStore(store), rules(poll_s=0.001), clock=clock)
    looks = [0]

    def later() -> bool:
        if not looks[0] and store.sweeps:
            looks[0] = store.reads
        elif looks[0] and store.reads >= looks[0] + 20:
            if clock.seconds > 1_000.0:
                return True
            assert store.sweeps == 1
            clock.seconds += ALIVE_S / 2
            looks[0] = store.reads
        return False

    assert run_until(world, later) == "finish"
    assert store.sweeps == 2
