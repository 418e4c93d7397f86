"""Two deliveries of one write: one is carried out, the others get its result and disturb nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.control.breaker import BreakerRule
from runtime.control.ledger import Caps
from runtime.control.ratelimit import RateRule
from runtime.control.switches import Switch, SwitchRef
from runtime.core.policy import NO_RETRY, Budget
from runtime.entry.run import RunResult
from runtime.errors import UsageError
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import Tool, ToolError, tool
from tests.runtime.failure_modes.world import (
    ENVIRONMENT,
    TENANT,
    HandClock,
    World,
    agent_of,
    rules,
    within,
)


def paying(made: list[int], **options: Any) -> Tool:
    @tool(write=True, dedupe_by=("order",), **options)
    async def pay(order: int) -> str:
        made.append(order)
        return f"paid {len(made)}"

    return pay


def pay_once(world: World, payment: Tool, request_id: str) -> str | None:
    """Return the status of one payment in a run of its own."""
    run = world.run(agent_of(payment), [calls(("pay", {"order": 1})), "done"], request_id)
    return asyncio.run(run).trace.tool_calls[0].status


def test_equal_business_keys_are_one_write_of_the_tenant_or_of_one_run(world: World) -> None:
    made: list[int] = []

    of_tenant = [pay_once(world, paying(made), name) for name in ("a", "b")]
    of_run = [pay_once(world, paying(made, dedupe_scope="run"), name) for name in ("c", "d")]

    assert of_tenant == ["ok", "cached"]
    assert of_run == ["ok", "ok"]
    assert len(made) == 3


def test_a_run_and_its_child_are_one_run_to_a_business_key(world: World) -> None:
    made: list[int] = []
    pay = paying(made, dedupe_scope="run")
    child = agent_of(pay, name="child", client=ScriptedModel([calls(("pay", {"order": 1})), "done"]))

    @tool(children=True)
    async def ask(ctx: ToolContext) -> str:
        assert ctx.child is not None
        await ctx.child(child, "pay")
        return "asked"

    script = [calls(("pay", {"order": 1})), calls(("ask", {})), calls(("pay", {"order": 1})), "done"]
    result = asyncio.run(world.run(agent_of(pay, ask), script))

    assert [c.status for c in result.trace.tool_calls] == ["ok", "ok", "cached"]
    assert made == [1]


@pytest.mark.parametrize(("options", "seconds"), [({}, 7 * 86_400.0), ({"dedupe_s": 60.0}, 60.0)])
def test_a_business_key_answers_for_its_lifetime_and_is_free_after_it(
    store: BlockingControlStore, options: dict[str, Any], seconds: float
) -> None:
    clock = HandClock()
    world = World(store, rules(breaker=None), clock=clock)
    made: list[int] = []
    payment = paying(made, **options)

    statuses = [pay_once(world, payment, "a")]
    clock.seconds += seconds - 5.0
    statuses.append(pay_once(world, payment, "b"))
    clock.seconds += 10.0
    statuses.append(pay_once(world, payment, "c"))

    assert statuses == ["ok", "cached", "ok"]
    assert len(made) == 2


def test_equal_writes_of_one_run_without_a_business_key_are_different_writes(world: World) -> None:
    made: list[int] = []

    @tool(write=True)
    async def pay(order: int) -> str:
        made.append(order)
        return "paid"

    script = [calls(("pay", {"order": 1}), ("pay", {"order": 1})), "done"]
    result = asyncio.run(world.run(agent_of(pay), script))

    assert result.stop_reason == "finish"
    assert made == [1, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dedupe_by": ("order",), "dedupe_scope": "user"}, "'user' is no scope"),
        ({"dedupe_by": ("order",), "dedupe_s": 0.0}, "0.0 seconds is no time"),
        ({"dedupe_scope": "run"}, "say nothing without dedupe_by"),
    ],
)
def test_a_business_key_that_makes_no_sense_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):

        @tool(write=True, **options)
        async def pay(order: int) -> str:
            return "paid"


class Till:
    """A payment that goes on until a test lets it, and what the runs that ask for it came to.

    Attributes:
        made: Orders that were carried out.
        open: Set to let payments end.
    """

    def __init__(self, **options: Any) -> None:
        self.made: list[int] = []
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.fails: BaseException | None = None

        @tool(name="pay", write=True, dedupe_by=("order",), **options)
        async def pay(order: int) -> str:
            self.made.append(order)
            self.begun.set()
            await self.open.wait()
            if self.fails is not None:
                error, self.fails = self.fails, None
                raise error
            return f"paid {order}"

        self.pay = pay

    def order(
        self, world: World, request_id: str, order: int = 1, **fields: Any
    ) -> asyncio.Future[RunResult]:
        agent = agent_of(self.pay, **fields)
        return asyncio.ensure_future(world.run(agent, [calls(("pay", {"order": order})), "done"], request_id))


KEY = f"{TENANT}/{ENVIRONMENT}/tool/pay"
HEALTH = BreakerRule(min_calls=2, cooldown_s=60.0, jitter=0.0, probe_ttl_s=600.0)


async def half_open(world: World) -> None:
    """Trip the breaker of the tool and let its cooldown pass."""
    store, now = world.store.store, world.governor.now()
    for n in range(2):
        verdict = await store.ask_breaker(KEY, HEALTH, now=now, token=f"t{n}")
        await store.report_breaker(
            KEY, HEALTH, now=now, generation=verdict.generation, sample="failed", token=f"t{n}"
        )
    world.clock.seconds += 61.0


def test_twelve_duplicates_on_one_slot_and_a_half_open_breaker_are_one_call(
    store: BlockingControlStore,
) -> None:
    world = World(store, rules(breaker=HEALTH, tool_slots={"pay": 1}), clock=HandClock())

    async def main() -> tuple[list[RunResult], Till]:
        till = Till()
        await half_open(world)
        runs = [till.order(world, f"r{n}") for n in range(12)]
        await till.begun.wait()
        await waiting(world, 11)
        till.open.set()
        ended = list(await within(asyncio.gather(*runs)))
        ended.append(await within(till.order(world, "next", order=2)))
        return ended, till

    results, till = asyncio.run(main())

    statuses = sorted(r.trace.tool_calls[0].status for r in results[:12])
    assert statuses == ["cached"] * 11 + ["ok"]
    assert {r.stop_reason for r in results} == {"finish"}
    assert till.made == [1, 2]
    (view,) = store.list_breakers(prefix=KEY)
    assert view.phase == "closed"
    assert store.count_leases(KEY, now=world.governor.now()) == 0


def test_a_duplicate_holds_nothing_while_it_waits(store: BlockingControlStore) -> None:
    limits = rules(
        tool_slots={"pay": 2},
        tool_rates={"pay": RateRule(2, 60.0)},
        tenant_day=Caps(tool_calls=2),
    )
    world = World(store, limits, clock=HandClock())

    async def main() -> list[RunResult]:
        till = Till()
        first = till.order(world, "first")
        await till.begun.wait()
        others = [till.order(world, f"r{n}") for n in range(5)]
        await waiting(world, 5)
        till.open.set()
        another = await within(till.order(world, "another", order=2))
        return [another, *await within(asyncio.gather(first, *others))]

    results = asyncio.run(main())

    assert [r.stop_reason for r in results] == ["finish"] * 7


def test_a_duplicate_is_admitted_anew_once_the_claim_falls_free(store: BlockingControlStore) -> None:
    world = World(store, rules(tool_slots={"pay": 1}), clock=HandClock())

    async def main() -> tuple[list[RunResult], Till]:
        till = Till()
        till.fails = ToolError("the card was refused")
        first = till.order(world, "first")
        await till.begun.wait()
        second = till.order(world, "second")
        await waiting(world, 1)
        till.open.set()
        return list(await within(asyncio.gather(first, second))), till

    results, till = asyncio.run(main())

    assert [r.trace.tool_calls[0].status for r in results] == ["error", "ok"]
    assert till.made == [1, 1]
    assert store.count_leases(KEY, now=world.governor.now()) == 0
    (view,) = store.list_breakers(prefix=KEY) or (None,)
    assert view is None or view.phase == "closed"


def test_a_duplicate_waits_no_longer_than_its_deadline_and_is_no_sample(store: BlockingControlStore) -> None:
    world = World(store, rules(breaker=HEALTH), clock=HandClock())

    async def main() -> list[RunResult]:
        till = Till()
        first = till.order(world, "first", tool_retry=NO_RETRY)
        await till.begun.wait()
        late = [till.order(world, f"r{n}", budget=Budget(max_seconds=2.0)) for n in range(4)]
        await waiting(world, 4)
        ended = await within(asyncio.gather(*late))
        till.open.set()
        return [await within(first), *ended]

    results = asyncio.run(main())

    assert [r.stop_reason for r in results] == ["finish", *["max_seconds"] * 4]
    assert {r.trace.tool_calls[0].status for r in results[1:]} == {"interrupted"}
    assert all(view.phase == "closed" for view in store.list_breakers(prefix=KEY))


def test_a_switch_ends_the_wait_of_a_duplicate(store: BlockingControlStore) -> None:
    world = World(store, rules(), clock=HandClock())

    async def main() -> list[RunResult]:
        till = Till()
        first = till.order(world, "first")
        await till.begun.wait()
        second = till.order(world, "second")
        await waiting(world, 1)
        await store.store.put_switch(
            Switch(ref=SwitchRef(scope="run", name="second"), by="ann", reason="test", at=0.0)
        )
        ended = await within(second)
        till.open.set()
        return [await within(first), ended]

    assert [r.stop_reason for r in asyncio.run(main())] == ["finish", "operator_kill"]


def test_a_claim_whose_admission_is_refused_is_free_for_the_next(store: BlockingControlStore) -> None:
    world = World(store, rules(tool_rates={"pay": RateRule(1, 60.0)}), clock=HandClock())

    async def main() -> list[str]:
        till = Till()
        till.open.set()
        stops = [(await within(till.order(world, f"r{n}", order=n))).stop_reason for n in range(2)]
        world.clock.seconds += 62.0
        stops.append((await within(till.order(world, "again", order=1))).stop_reason)
        return stops

    assert asyncio.run(main()) == ["finish", "tool_rate_limited:pay", "finish"]
    assert store.list_claims(state="in_doubt", now=world.governor.now() + 3_600.0) == ()


async def waiting(world: World, duplicates: int) -> None:
    """Wait until so many calls look at the claim of another one."""
    store: Any = world.store.store
    lookup, looked, enough = store.lookup_claim, 0, asyncio.Event()

    async def look(key: str, *, now: float) -> Any:
        nonlocal looked
        looked += 1
        if looked >= 3 * duplicates:
            enough.set()
        return await lookup(key, now=now)

    store.lookup_claim = look
    await within(enough.wait())
    del store.lookup_claim
