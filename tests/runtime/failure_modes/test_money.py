"""Failure modes 1-8, 43, 44: money is held before a call, settled once, and never passes its cap."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.sessions.replay import replay_run
from runtime.control.ledger import Caps
from runtime.control.scopes import run_scope
from runtime.core.effects import Failure, Limits
from runtime.core.messages import ModelReply, ModelRequest
from runtime.core.money import Rate, Usage, exact_usd
from runtime.core.policy import NO_RETRY, Budget, Policy, RetryPolicy
from runtime.entry.run import RunResult
from runtime.errors import UsageError
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import ScriptedModel, calls, fails, says
from runtime.tools.tool import tool
from tests.runtime.failure_modes import worker
from tests.runtime.failure_modes.world import (
    ENVIRONMENT,
    TENANT,
    World,
    agent_of,
    line,
    rules,
    tell,
    told,
    workers,
)
from tests.support.agents import RATE, Prices
from tests.support.counts import FULL
from tests.support.recordings import record_to_sink

PROCESSES, RUNS, CAP = (8, 1_250, 3_700) if FULL else (4, 20, 37)
EXPENSIVE = 10**15
RUN = run_scope(TENANT, ENVIRONMENT, "req_1")


class Provider:
    """A model that answers as a test tells, and uses as much output as it may."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.limits: list[Limits] = []

    async def call(self, request: ModelRequest, limits: Limits, observer: Any = None) -> ModelReply | Failure:
        self.limits.append(limits)
        made: ModelReply | Failure = self.answer(len(self.limits), limits)
        return made

    async def aclose(self) -> None:
        """Hold nothing."""


def test_mode_01_processes_never_pass_one_cap_and_nothing_stays_held(
    path: Path, store: BlockingControlStore
) -> None:
    with workers("spend", path, RUNS, CAP, processes=PROCESSES) as begun:
        for each in begun:
            tell(each)
        day = most = 0
        while any(each.poll() is None for each in begun) and day < CAP:
            uses = {u.key: u for u in store.list_spend(now=0.0, prefix=f"{TENANT}/{ENVIRONMENT}/day/")}
            day = sum(u.spent.tool_calls + u.held.tool_calls for u in uses.values())
            most = max(most, day)
            time.sleep(0.01)
        stops = [stop for each in begun for stop in told(each)]

    (use,) = store.list_spend(now=time.time(), prefix=f"{TENANT}/{ENVIRONMENT}/day/")
    effects = worker.effects_of(path).read_text().splitlines()
    assert most <= CAP
    assert len(effects) == use.spent.tool_calls == CAP
    assert use.held.tool_calls == 0
    assert (stops.count("finish"), stops.count("max_tool_calls")) == (CAP, PROCESSES * RUNS - CAP)


def test_mode_02_twenty_parallel_children_share_what_is_left_of_the_parents_steps(world: World) -> None:
    children: list[RunResult] = []
    asked: list[ModelRequest] = []

    def answer(request: ModelRequest) -> Any:
        asked.append(request)
        return calls(("fan", {})) if len(asked) == 1 else says("done")

    child = agent_of(name="child", budget=Budget(max_steps=1))

    @tool(children=True)
    async def fan(ctx: ToolContext) -> str:
        assert ctx.child is not None
        children.extend(await asyncio.gather(*(ctx.child(child, "go") for _ in range(20))))
        return "all over"

    agent = agent_of(fan, budget=Budget(max_steps=6))
    result = asyncio.run(world.run(agent, [], model=ScriptedModel(answer)))

    stops = [c.stop_reason for c in children]
    assert (stops.count("finish"), stops.count("max_steps")) == (5, 15)
    assert len(asked) == 6
    assert result.stop_reason == "max_steps"
    assert result.totals.steps == 1


def test_mode_02_a_child_that_is_cut_off_counts_with_the_call_that_was_under_way(world: World) -> None:
    asked: list[ModelRequest] = []

    class Slow:
        async def call(self, request: ModelRequest, *rest: Any) -> Any:
            asked.append(request)
            if len(asked) % 2:
                return msgspec.structs.replace(
                    calls(("fan", {})), usage=Usage(input_tokens=1, output_tokens=1)
                )
            await asyncio.Event().wait()
            return None

        async def aclose(self) -> None:
            """Hold nothing."""

    child = agent_of(name="child", budget=Budget(max_steps=4))

    @tool(children=True, timeout_s=0.05)
    async def fan(ctx: ToolContext) -> str:
        assert ctx.child is not None
        await ctx.child(child, "go")
        return "over"

    agent = agent_of(
        fan, budget=Budget(max_steps=6), tool_retry=NO_RETRY, policy=Policy(on_failure="tell", loop=None)
    )
    result = asyncio.run(world.run(agent, [], model=Slow()))

    assert result.stop_reason == "max_steps"
    assert len(asked) == 6  # parent and child by turns, each with one step


def test_mode_03_output_is_clamped_to_what_is_left_and_the_ledger_stays_under_the_cap(world: World) -> None:
    cap = 3_000_000_000

    def answer(n: int, limits: Limits) -> ModelReply:
        assert limits.max_output_tokens is not None
        usage = Usage(input_tokens=50, output_tokens=limits.max_output_tokens)
        return msgspec.structs.replace(calls(("look", {"n": n})), usage=usage)

    @tool
    async def look(n: int) -> str:
        return "seen"

    provider = Provider(answer)
    budget = Budget(max_usd=exact_usd(cap), max_steps=40)
    prices = Prices(known=Rate(input=10**12, output=4 * 10**12))
    agent = agent_of(look, budget=budget, max_output_tokens=500, policy=Policy(loop=None))
    result = asyncio.run(world.run(agent, [], model=provider, prices=prices))

    (use,) = world.store.read_spend((RUN,), now=time.time())
    limits = [limit.max_output_tokens for limit in provider.limits]
    assert result.stop_reason == "max_usd"
    assert limits[0] == 500
    assert limits[-1] is not None
    assert limits[-1] < 500
    assert 0 < use.spent.nanos <= cap
    assert use.held.nanos == 0


def test_mode_04_what_a_killed_process_held_becomes_its_estimate_and_its_run_crashed(
    path: Path, store: BlockingControlStore
) -> None:
    with workers("hang", path) as (process,):
        tell(process)
        assert line(process) == "in the tool"
        (during,) = store.read_spend((RUN,), now=time.time())
        process.send_signal(signal.SIGKILL)
        process.wait()
    later = time.time() + 3_600

    (after,) = store.read_spend((RUN,), now=later)
    crashed = store.sweep_runs(now=later)

    assert during.held.nanos == 250_000_000
    assert (after.spent.nanos, after.held.nanos) == (during.spent.nanos + 250_000_000, 0)
    assert [(r.key.request_id, r.stop_reason) for r in crashed] == [("req_1", "crashed")]


@pytest.mark.parametrize(
    ("reply", "spent"),
    [
        (says("done"), 0),
        (None, EXPENSIVE),
        (fails("error", phase="stream", message="cut at chunk 3"), EXPENSIVE),
    ],
    ids=["zero usage", "no usage", "cut stream"],
)
def test_mode_06_missing_usage_is_charged_as_reserved_and_an_explicit_zero_is_kept(
    world: World, reply: ModelReply | Failure | None, spent: int
) -> None:
    def answer(n: int, limits: Limits) -> ModelReply | Failure:
        match reply:
            case None:
                return says("done")
            case ModelReply():
                return msgspec.structs.replace(reply, usage=Usage(input_tokens=0, output_tokens=0))
            case _:
                return reply

    provider = Provider(answer)
    agent = agent_of(budget=Budget(max_usd=1), max_output_tokens=100, model_retry=NO_RETRY)
    asyncio.run(world.run(agent, [], model=provider))

    (use,) = world.store.read_spend((RUN,), now=time.time())
    assert use.spent.nanos == min(spent, provider.limits[0].reserved_nanousd or 0)
    assert use.held.nanos == 0


def test_mode_07_both_attempts_of_a_fallback_are_charged(world: World) -> None:
    usage = Usage(input_tokens=100, output_tokens=10)

    def answer(n: int, limits: Limits) -> ModelReply | Failure:
        if n == 1:
            return fails("error", phase="stream")
        return msgspec.structs.replace(says("done"), usage=usage)

    provider = Provider(answer)
    agent = agent_of(budget=Budget(max_usd=1), max_output_tokens=100, fallbacks=("m2",))
    result = asyncio.run(world.run(agent, [], model=provider))

    (use,) = world.store.read_spend((RUN,), now=time.time())
    first = provider.limits[0].reserved_nanousd
    cost = RATE.cost(usage)
    assert first is not None
    assert cost is not None
    assert result.stop_reason == "finish"
    assert use.spent.nanos == first + cost


def test_mode_08_a_retry_after_past_the_deadline_is_not_slept(world: World) -> None:
    agent = agent_of(budget=Budget(max_seconds=30.0), model_retry=RetryPolicy(attempts=5))
    began = time.monotonic()
    result = asyncio.run(world.run(agent, [fails("rate_limited", retryable=True, after_s=3_600.0)]))

    assert result.stop_reason == "max_seconds"
    assert time.monotonic() - began < 10.0
    assert world.audit.kinds("m1") == [("intent", None), ("outcome", "rate_limited")]


def test_mode_43_a_replay_costs_what_the_recording_cost_whatever_prices_are_now() -> None:
    result, sink = record_to_sink(agent_of(), ["done"])
    recording = sink.recording()
    before = replay_run(recording)

    header = recording.header
    assert (header.price_table, header.rates["m1"]) == ("test prices", RATE)
    assert before.trace is not None
    assert before.trace.totals.cost_nanousd == result.totals.cost_nanousd
    assert result.totals.cost_nanousd is not None
    assert result.totals.cost_nanousd > 0


def test_mode_44_a_dollar_limit_on_an_unknown_price_sends_no_request(world: World) -> None:
    provider = Provider(lambda n, limits: says("done"))
    agent = agent_of(budget=Budget(max_usd=1), max_output_tokens=100)

    with pytest.raises(UsageError, match="price of model 'm1' is unknown"):
        asyncio.run(world.run(agent, [], model=provider, prices=Prices(known=None)))

    assert provider.limits == []
    assert world.store.find_runs("req_1") == ()


def test_the_price_of_a_tool_counts_against_the_tenants_day(store: BlockingControlStore) -> None:
    made: list[int] = []

    @tool(cost_usd="0.40")
    async def search(n: int) -> str:
        made.append(n)
        return "found"

    world = World(store, rules(tenant_day=Caps(nanos=1_000_000_000)))
    script = [*(calls(("search", {"n": n})) for n in range(5)), "done"]
    agent = agent_of(search, max_output_tokens=10)
    result = asyncio.run(world.run(agent, script))

    assert result.stop_reason == "max_usd"
    assert made == [0, 1]


def test_request_ids_of_two_tenants_share_no_reservation(world: World) -> None:
    @tool
    async def look() -> str:
        return "seen"

    script = [calls(("look", {})), "done"]
    stops = [
        asyncio.run(world.run(agent_of(look), script, "req_1", tenant=tenant)).stop_reason
        for tenant in ("acme", "bolt")
    ]

    assert stops == ["finish", "finish"]
