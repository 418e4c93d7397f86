"""Breakers of single tools and models, the one over all tenants, and calls whose price nobody knows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.control.breaker import BreakerRule
from runtime.control.ledger import Caps
from runtime.control.ratelimit import FRESH, RateRule, give_back, take
from runtime.control.scopes import day_scope
from runtime.core.policy import NO_RETRY
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import ScriptedModel, calls, fails
from runtime.tools.tool import RetryableError, Tool, tool
from tests.runtime.failure_modes.world import ENVIRONMENT, TENANT, HandClock, World, agent_of, rules, within
from tests.support.agents import Prices


def dead(reached: list[int]) -> Tool:
    @tool
    async def look(n: int) -> str:
        reached.append(n)
        raise RetryableError("nobody answers")

    return look


async def stop_of(world: World, look: Tool, n: int, tenant: str = TENANT) -> str:
    agent = agent_of(look, tool_retry=NO_RETRY)
    script = [calls(("look", {"n": n}))]
    return (await within(world.run(agent, script, f"{tenant}-{n}", tenant=tenant))).stop_reason


def test_fifty_tenants_against_a_dead_upstream_make_at_most_five_times_the_calls_of_one(
    store: BlockingControlStore,
) -> None:
    alone: list[int] = []
    together: list[int] = []

    async def one() -> None:
        world, look = World(store, rules(upstream=None), clock=HandClock()), dead(alone)
        for n in range(20):
            await stop_of(world, look, n, "alone")

    async def fifty() -> set[str]:
        world, look = World(store, rules(), clock=HandClock()), dead(together)
        stops: list[str] = []
        for n in range(2):
            for first in range(0, 50, 10):
                tenants = [f"t{k}" for k in range(first, first + 10)]
                stops += await asyncio.gather(*(stop_of(world, look, n, t) for t in tenants))
        return set(stops[-50:])

    asyncio.run(one())
    last = asyncio.run(fifty())

    assert len(alone) == 10
    assert 30 <= len(together) <= 5 * len(alone)
    assert last == {"tool_unhealthy:look"}


def test_one_tenant_alone_does_not_open_the_breaker_of_the_others(store: BlockingControlStore) -> None:
    world, reached = World(store, rules(), clock=HandClock()), list[int]()

    async def main() -> str:
        for n in range(40):
            await stop_of(world, dead(reached), n, "noisy")
        return await stop_of(world, dead(reached), 0, "quiet")

    assert asyncio.run(main()) == "tool_error_exhausted:look"
    assert len(reached) == 11


def test_the_breaker_over_all_tenants_lets_one_probe_through_and_closes_for_all(
    store: BlockingControlStore,
) -> None:
    clock = HandClock()
    world = World(store, rules(upstream=BreakerRule(min_calls=3, jitter=0.0)), clock=clock)
    reached: list[int] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    @tool
    async def look(n: int) -> str:
        reached.append(n)
        begun.set()
        await go_on.wait()
        return "seen"

    async def main() -> tuple[list[str], list[str]]:
        for k in range(3):
            await stop_of(world, dead([]), 0, f"t{k}")
        refused = [await stop_of(world, look, 1, "t9")]
        clock.seconds += 61.0
        probe = asyncio.ensure_future(stop_of(world, look, 2, "t4"))
        await begun.wait()
        refused += await asyncio.gather(*(stop_of(world, look, 3, f"t{k}") for k in range(5)))
        go_on.set()
        return refused, [await probe, await stop_of(world, look, 4, "t5")]

    refused, served = asyncio.run(main())

    assert refused == ["tool_unhealthy:look"] * 6
    assert served[0] != "tool_unhealthy:look"
    assert reached == [2, 4]


def test_tools_and_models_may_have_breakers_of_their_own(store: BlockingControlStore) -> None:
    quick = BreakerRule(min_calls=2)
    limits = rules(tool_breakers={"look": quick}, model_breakers={"m1": None}, upstream=None)
    world, reached = World(store, limits, clock=HandClock()), list[int]()

    async def main() -> list[str]:
        stops = [await stop_of(world, dead(reached), n) for n in range(4)]
        failing = ScriptedModel([fails("error")] * 20)
        for n in range(20):
            agent = agent_of(model_retry=NO_RETRY)
            stops.append((await within(world.run(agent, [], f"m{n}", model=failing))).stop_reason)
        return stops

    stops = asyncio.run(main())

    assert stops[:4] == ["tool_error_exhausted:look"] * 2 + ["tool_unhealthy:look"] * 2
    assert set(stops[4:]) == {"model_error_exhausted:m1"}


@pytest.mark.parametrize(
    ("fields", "ports"),
    [({"max_output_tokens": 20}, {"prices": Prices(id="none", known=None)}), ({}, {})],
    ids=["no price", "no output limit"],
)
def test_a_call_of_unknown_worst_case_is_refused_where_an_operator_capped_dollars(
    store: BlockingControlStore, fields: dict[str, Any], ports: dict[str, Any]
) -> None:
    world = World(store, rules())

    async def stop(request_id: str) -> str:
        return (await world.run(agent_of(**fields), ["hi"], request_id, **ports)).stop_reason

    before = asyncio.run(stop("a"))
    store.put_caps(day_scope(TENANT, ENVIRONMENT, world.governor.now()), Caps(nanos=10**12))
    after = asyncio.run(stop("b"))

    assert (before, after) == ("finish", "max_usd")


def test_a_token_that_is_given_back_can_be_taken_again() -> None:
    rule = RateRule(2, 60.0)
    state, _ = take(FRESH, rule, now=100.0)
    state, _ = take(state, rule, now=130.0)
    _, full = take(state, rule, now=131.0)

    state, again = take(give_back(state, at=130.0), rule, now=131.0)

    assert (full.granted, again.granted, again.left) == (False, True, 0)
    assert give_back(FRESH, at=1.0) == FRESH
