"""A switch is in force once each worker has acknowledged it, or may start nothing any more."""

from __future__ import annotations

import asyncio

from runtime.control.switches import Switch, SwitchRef
from runtime.entry.run import RunResult
from runtime.execution.acknowledgement import Acknowledged, acknowledged
from runtime.execution.clock import SystemClock
from runtime.ports.control_values import Worker
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import calls
from runtime.testing.ram_store import RamControlStore
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import HandClock, World, agent_of, rules, within

KILL = Switch(ref=SwitchRef(scope="global"), by="ann", reason="incident", at=0.0)


def test_a_worker_acknowledges_a_switch_once_its_runs_have_seen_it_and_is_forgotten_after_them() -> None:
    store = RamControlStore()
    world = World(BlockingControlStore(store), rules(poll_s=0.005))

    async def main() -> tuple[Acknowledged, RunResult, Acknowledged]:
        began = asyncio.Event()

        @tool(timeout_s=None)
        async def wait() -> str:
            began.set()
            await asyncio.Event().wait()
            return "never"

        run = asyncio.ensure_future(world.run(agent_of(wait), [calls(("wait", {})), "done"]))
        await began.wait()
        other = Switch(ref=SwitchRef(scope="tenant", name="other"), by="ann", reason="incident", at=0.0)
        first = await acknowledged(store, await store.put_switch(other), SystemClock())
        epoch = await store.put_switch(KILL)
        result = await run
        return first, result, await acknowledged(store, epoch, SystemClock())

    first, result, after = asyncio.run(within(main()))

    assert first == Acknowledged(workers=1)
    assert result.stop_reason == "operator_kill"
    assert after == Acknowledged(workers=0)


def test_a_worker_that_is_silent_is_waited_for_until_its_lease_has_lapsed() -> None:
    store, clock = RamControlStore(), HandClock()
    alive = clock.now().timestamp() + 60.0

    async def main() -> Acknowledged:
        await store.beat_worker(Worker(id="stuck", epoch=0, alive_until=alive))
        return await acknowledged(store, await store.put_switch(KILL), clock)

    began = clock.seconds
    answer = asyncio.run(main())

    assert answer == Acknowledged(workers=0, silent=("stuck",))
    assert 2.0 < clock.seconds - began < 3.0
