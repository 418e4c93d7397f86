"""Failure modes 20-24, 34, 36, 37: breakers, rates, slots and clocks."""

from __future__ import annotations

import asyncio
import time

import pytest

from runtime.control.breaker import BreakerRule
from runtime.control.ratelimit import RateRule
from runtime.core.policy import NO_RETRY, Budget, Policy
from runtime.entry.agent import Agent
from runtime.entry.run import RunResult
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import calls
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import ENVIRONMENT, TENANT, HandClock, World, agent_of, rules, until

RULE = BreakerRule(min_calls=2, failure_rate=0.5, cooldown_s=60.0, jitter=0.0, probe_ttl_s=600.0)
SCRIPT = [calls(("fetch", {"mode": "now"})), "done"]


class Remote:
    """A dependency that can be broken, and slow.

    Attributes:
        reached: How often it was called.
    """

    def __init__(self) -> None:
        self.broken = True
        self.reached = 0
        self.release = asyncio.Event()

    def agent(self) -> Agent:
        @tool(timeout_s=None)
        async def fetch(mode: str) -> str:
            self.reached += 1
            if mode == "slow":
                await self.release.wait()
            if self.broken or mode == "slow":
                raise ValueError("it is broken")
            return "fetched"

        return agent_of(fetch, tool_retry=NO_RETRY, policy=Policy(loop=None))


class Shift:
    """A world with a clock moved by hand, and its remote."""

    def __init__(self, store: BlockingControlStore) -> None:
        self.clock = HandClock()
        self.world = World(store, rules(breaker=RULE), clock=self.clock)
        self.remote = Remote()
        self.runs = 0

    async def run(self, mode: str = "now") -> RunResult:
        self.runs += 1
        script = [calls(("fetch", {"mode": mode})), "done"]
        return await self.world.run(self.remote.agent(), script, f"req_{self.runs}")

    async def trip(self) -> None:
        for _ in range(2):
            await self.run()
        assert self.phase == "open"

    @property
    def phase(self) -> str:
        found = {b.key: b.phase for b in self.world.store.list_breakers()}
        return found[f"{TENANT}/{ENVIRONMENT}/tool/fetch"]


def test_mode_20_one_of_a_hundred_callers_probes_when_the_cooldown_is_over(
    store: BlockingControlStore,
) -> None:
    async def main() -> tuple[list[str], int, str]:
        shift = Shift(store)
        await shift.trip()
        shift.clock.seconds += 61.0
        shift.remote.broken, before = False, shift.remote.reached
        probe = asyncio.ensure_future(shift.run("slow"))
        await until(lambda: shift.remote.reached == before + 1)
        others = await asyncio.gather(*(shift.run() for _ in range(99)))
        reached = shift.remote.reached - before
        shift.remote.release.set()
        await probe
        return [r.stop_reason for r in others], reached, shift.phase

    stops, reached, phase = asyncio.run(main())

    assert reached == 1
    assert set(stops) == {"tool_unhealthy:fetch"}
    assert phase == "open"


def test_mode_21_a_cancelled_probe_gives_its_token_to_the_next_caller(store: BlockingControlStore) -> None:
    async def main() -> tuple[str, str, str]:
        shift = Shift(store)
        await shift.trip()
        shift.clock.seconds += 61.0
        shift.remote.broken, before = False, shift.remote.reached
        probe = asyncio.ensure_future(shift.run("slow"))
        await until(lambda: shift.remote.reached == before + 1)
        probe.cancel()
        await asyncio.wait({probe})
        between = shift.phase
        return between, (await shift.run()).stop_reason, shift.phase

    assert asyncio.run(main()) == ("half_open", "finish", "closed")


def test_mode_22_late_failures_of_calls_from_before_the_trip_change_nothing(
    store: BlockingControlStore,
) -> None:
    async def main() -> tuple[set[str], str]:
        shift = Shift(store)
        slow = [asyncio.ensure_future(shift.run("slow")) for _ in range(10)]
        await until(lambda: shift.remote.reached == 10)
        await shift.trip()
        shift.clock.seconds += 61.0
        shift.remote.broken = False
        assert (await shift.run()).stop_reason == "finish"
        shift.remote.release.set()
        stops = {r.stop_reason for r in await asyncio.gather(*slow)}
        return stops, shift.phase

    stops, phase = asyncio.run(main())

    assert stops == {"tool_error_exhausted:fetch"}
    assert phase == "closed"


def test_mode_23_fifty_calls_with_bad_arguments_do_not_trip(store: BlockingControlStore) -> None:
    shift = Shift(store)
    shift.remote.broken = False
    bad = [calls(*[("fetch", {"mode": n}) for n in range(50)])]
    agent = shift.remote.agent()
    told = asyncio.run(shift.world.run(agent, [*bad, "done"], "req_bad"))
    after = asyncio.run(shift.run())

    assert told.totals.tool_calls == 50
    assert told.totals.tool_executions == 0
    assert (after.stop_reason, shift.phase) == ("finish", "closed")


def test_mode_23_calls_that_an_operator_kills_do_not_trip(store: BlockingControlStore) -> None:
    from runtime.control.switches import Switch, SwitchRef

    ref = SwitchRef(scope="global")

    async def main() -> tuple[set[str], str]:
        shift = Shift(store)
        shift.remote.broken = False
        runs = [asyncio.ensure_future(shift.run("slow")) for _ in range(10)]
        await until(lambda: shift.remote.reached == 10)
        shift.world.store.put_switch(Switch(ref=ref, by="ann", reason="test", at=0.0))
        stops = {r.stop_reason for r in await asyncio.gather(*runs)}
        shift.world.store.clear_switch(ref)
        return stops, (await shift.run()).stop_reason

    assert asyncio.run(main()) == ({"operator_kill"}, "finish")


@pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0])
def test_mode_34_a_jump_of_the_wall_clock_changes_no_lease_and_no_breaker(
    store: BlockingControlStore, jump_s: float
) -> None:
    async def main() -> tuple[str, int, str]:
        shift = Shift(store)
        world = World(store, rules(breaker=RULE, tool_slots={"fetch": 99}), clock=shift.clock)
        shift.world = world
        await shift.trip()
        lease = store.acquire_lease("l", cap=1, owner="o", now=world.governor.now(), ttl_s=30.0)
        assert lease.lease is not None
        shift.clock.wall_offset_s = jump_s
        refused = (await shift.run()).stop_reason
        held = store.count_leases("l", now=world.governor.now())
        shift.clock.seconds += 61.0
        shift.remote.broken = False
        return refused, held, (await shift.run()).stop_reason

    assert asyncio.run(main()) == ("tool_unhealthy:fetch", 1, "finish")


def test_mode_36_no_more_than_the_limit_passes_around_a_boundary(store: BlockingControlStore) -> None:
    clock = HandClock()
    world = World(store, rules(tool_rates={"fetch": RateRule(5, 10.0)}), clock=clock)
    remote = Remote()
    remote.broken = False
    stops = []
    for n in range(20):  # two windows' worth of calls around the end of the first window
        clock.seconds += 9.0 if n == 5 else 0.1
        stops.append(asyncio.run(world.run(remote.agent(), SCRIPT, f"req_{n}")).stop_reason)

    assert stops[:5] == ["finish"] * 5
    assert stops[5] == "tool_rate_limited:fetch"
    assert remote.reached <= 10
    assert stops.count("finish") == remote.reached


def test_mode_36_a_call_that_waited_for_its_rate_is_carried_out(store: BlockingControlStore) -> None:
    world = World(store, rules(tool_rates={"fetch": RateRule(1, 0.2)}, max_wait_s=20.0))
    remote = Remote()
    remote.broken = False
    stops = [asyncio.run(world.run(remote.agent(), SCRIPT, f"req_{n}")).stop_reason for n in range(2)]

    (day,) = store.list_spend(now=time.time(), prefix=f"{TENANT}/{ENVIRONMENT}/day/")
    assert stops == ["finish", "finish"]
    assert (day.spent.tool_calls, day.held.tool_calls) == (2, 0)


def test_mode_36_a_call_that_waits_for_its_rate_holds_nothing_meanwhile(store: BlockingControlStore) -> None:
    rate = RateRule(1, 600.0)
    world = World(store, rules(tool_rates={"fetch": rate}, tool_slots={"fetch": 5}, max_wait_s=0.1))
    remote = Remote()
    remote.broken = False
    stops = [asyncio.run(world.run(remote.agent(), SCRIPT, f"req_{n}")).stop_reason for n in range(2)]

    (day,) = store.list_spend(now=time.time(), prefix=f"{TENANT}/{ENVIRONMENT}/day/")
    assert stops == ["finish", "tool_rate_limited:fetch"]
    assert (day.spent.tool_calls, day.held.tool_calls) == (1, 0)
    assert store.count_leases(f"{TENANT}/{ENVIRONMENT}/tool/fetch", now=time.time()) == 0


def test_mode_37_waiting_for_a_slot_counts_and_is_given_up_early(store: BlockingControlStore) -> None:
    world = World(store, rules(tool_slots={"fetch": 1}, max_wait_s=0.2))

    async def main() -> tuple[str, list[RunResult]]:
        remote = Remote()
        holder = asyncio.ensure_future(
            world.run(remote.agent(), [calls(("fetch", {"mode": "slow"}))], "req_first")
        )
        await until(lambda: remote.reached == 1)
        agent = remote.agent()
        hasty = agent_of(*agent.tools, budget=Budget(max_seconds=0.05))
        waiting = [world.run(agent, SCRIPT, f"req_{n}") for n in range(5)]
        waiting += [world.run(hasty, SCRIPT, f"req_hasty_{n}") for n in range(4)]
        others = await asyncio.gather(*waiting)
        assert remote.reached == 1
        remote.release.set()
        return (await holder).stop_reason, others

    first, others = asyncio.run(main())

    stops = [r.stop_reason for r in others]
    assert first == "tool_error_exhausted:fetch"
    assert stops[:5] == ["concurrency_limited:fetch"] * 5
    assert set(stops[5:]) <= {"concurrency_limited:fetch", "max_seconds"}
    assert all((r.trace.totals.duration_s or 0.0) < 5.0 for r in others)
    assert store.count_leases(f"{TENANT}/{ENVIRONMENT}/tool/fetch", now=time.time()) == 0
