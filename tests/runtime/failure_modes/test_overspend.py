"""Ways past a limit: caps across runs, impossible reports, several replies, files, children that lose calls."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from runtime.control.ledger import Caps
from runtime.control.scopes import day_scope
from runtime.core.effects import Failure, Limits
from runtime.core.messages import FilePart, Message, ModelReply, ModelRequest, TextPart, ToolCallPart
from runtime.core.money import Usage, exact_usd
from runtime.core.policy import NO_RETRY, Budget, LoopLimits, Policy, RetryPolicy
from runtime.dialects.openai_chat import encode_request
from runtime.entry.children import narrowed_policy
from runtime.entry.run import Request, RunResult, run_agent, run_agent_async
from runtime.errors import UsageError
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import ScriptedModel, calls, fails, says
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import ENVIRONMENT, TENANT, World, agent_of, rules, within
from tests.support.agents import RATE, Prices


class Reporting:
    """A model that calls a tool again and again, and reports what a test tells it to."""

    def __init__(self, *usages: Usage | None) -> None:
        self.usages = list(usages)
        self.limits: list[Limits] = []

    async def call(self, request: ModelRequest, limits: Limits, observer: Any = None) -> ModelReply | Failure:
        self.limits.append(limits)
        usage = self.usages[min(len(self.limits), len(self.usages)) - 1]
        return ModelReply(parts=(TextPart("so it is"),), finish_reason="stop", usage=usage)

    async def aclose(self) -> None:
        """Hold nothing."""


def day(world: World) -> Any:
    key = day_scope(TENANT, ENVIRONMENT, world.governor.now())
    (use,) = world.store.read_spend((key,), now=world.governor.now())
    return use


def test_the_tenants_day_holds_for_runs_without_a_limit_of_their_own(store: BlockingControlStore) -> None:
    world = World(store, rules(tenant_day=Caps(nanos=170)))
    agent = agent_of(max_output_tokens=20)

    stops = [asyncio.run(world.run(agent, [says("hi")], f"req_{n}")).stop_reason for n in range(20)]

    assert stops[0] == "finish"
    assert stops[-1] == "max_usd"
    assert 0 < day(world).spent.nanos <= 170
    assert day(world).held.nanos == 0


@pytest.mark.parametrize(
    ("caps", "stop"),
    [(Caps(tokens=200), "max_tokens"), (Caps(steps=2), "max_steps"), (Caps(tool_calls=1), "max_tool_calls")],
)
def test_a_cap_of_each_unit_across_runs_holds_and_names_its_unit(
    store: BlockingControlStore, caps: Caps, stop: str
) -> None:
    @tool
    async def look(n: int) -> str:
        return "seen"

    world = World(store, rules(tenant_day=caps))
    agent = agent_of(look, max_output_tokens=20)
    script = [*(calls(("look", {"n": n})) for n in range(6)), "done"]

    result = asyncio.run(world.run(agent, script))

    spent = day(world).spent
    assert result.stop_reason == stop
    for unit in ("tokens", "steps", "tool_calls"):
        cap = getattr(caps, unit)
        assert cap is None or getattr(spent, unit) <= cap


def test_a_dollar_cap_across_runs_needs_a_known_price_and_an_output_limit(
    store: BlockingControlStore,
) -> None:
    world = World(store, rules(tenant_day=Caps(nanos=100_000)))

    with pytest.raises(UsageError, match="a cap across runs limits dollars"):
        asyncio.run(world.run(agent_of(), ["hi"]))
    with pytest.raises(UsageError, match="price of model"):
        asyncio.run(world.run(agent_of(max_output_tokens=5), ["hi"], prices=Prices(id="none", known=None)))


def test_a_caller_that_goes_away_in_a_model_call_pays_for_it(store: BlockingControlStore) -> None:
    class Slow(Reporting):
        async def call(self, request: ModelRequest, limits: Limits, observer: Any = None) -> Any:
            self.limits.append(limits)
            await asyncio.Event().wait()

    world = World(store, rules(tenant_day=Caps(nanos=400)))
    agent, model = agent_of(max_output_tokens=20), Slow(None)

    async def main() -> None:
        for number in range(6):
            run = asyncio.ensure_future(world.run(agent, [], f"req_{number}", model=model))
            sent = len(model.limits)
            for _ in range(200):
                if run.done() or len(model.limits) > sent:
                    break
                await asyncio.sleep(0.002)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    asyncio.run(within(main()))

    reserved = [limits.reserved_nanousd or 0 for limits in model.limits]
    assert day(world).spent.nanos == sum(reserved) <= 400
    assert day(world).held.nanos == 0
    assert 0 < len(reserved) < 6


def test_a_write_whose_caller_went_away_is_in_doubt_at_once(world: World) -> None:
    async def main() -> None:
        began = asyncio.Event()

        @tool(write=True)
        async def pay() -> str:
            began.set()
            await asyncio.Event().wait()
            return "never"

        run = asyncio.ensure_future(world.run(agent_of(pay), [calls(("pay", {}))]))
        await began.wait()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    asyncio.run(within(main()))

    assert len(world.store.list_claims(state="in_doubt", now=time.time())) == 1


@pytest.mark.parametrize(
    "usage", [Usage(input_tokens=0, output_tokens=0), Usage(input_tokens=-5, output_tokens=3)]
)
def test_a_report_that_cannot_be_true_does_not_bound_the_next_request(usage: Usage) -> None:
    @tool
    async def look() -> str:
        return "x" * 4_000

    class Lying(Reporting):
        async def call(self, request: ModelRequest, limits: Limits, observer: Any = None) -> Any:
            self.limits.append(limits)
            part = ToolCallPart(id=f"c{len(self.limits)}", name="look", arguments={})
            return ModelReply(parts=(part,), finish_reason="tool_call", usage=usage)

    model = Lying(usage)
    agent = agent_of(look, max_output_tokens=50, budget=Budget(max_tokens=13_000), policy=Policy(loop=None))

    result = run_agent(agent, "go", model=model, prices=Prices())

    assert result.stop_reason == "max_tokens"
    assert len(model.limits) <= 4  # each result has 4,000 bytes, which is at most as many tokens


def test_several_replies_to_one_request_are_refused_where_money_is_limited() -> None:
    agent = agent_of(max_output_tokens=5, parameters={"n": 20}, budget=Budget(max_usd="0.001"))

    with pytest.raises(UsageError, match="several replies"):
        run_agent(agent, "go", model=ScriptedModel(["hi"]), prices=Prices())


def test_one_output_limit_goes_over_the_wire() -> None:
    parameters = {"max_tokens": 5_000, "max_completion_tokens": 9_000, "temperature": 0}
    request = ModelRequest(model="m1", messages=(), parameters=parameters)

    body = encode_request(request, max_output_tokens=314)

    assert {n: v for n, v in body.items() if "tokens" in n} == {"max_tokens": 314}


@pytest.mark.parametrize(("modality", "least"), [("image", 50_000), ("document", 1_000_000)])
def test_a_file_counts_with_the_most_that_it_can_cost(modality: str, least: int) -> None:
    picture = FilePart(modality=modality, uri="https://example.test/a")
    prompt = (Message(role="user", parts=(TextPart("what is it?"), picture)),)
    model = Reporting(Usage(input_tokens=40_000, output_tokens=5))
    worst = RATE.worst_case(input_tokens=least, output_tokens=10)

    def stop(nanos: int) -> str:
        agent = agent_of(max_output_tokens=10, budget=Budget(max_usd=exact_usd(nanos)))
        return run_agent(agent, prompt, model=model, prices=Prices()).stop_reason

    assert (stop(worst // 2), stop(worst * 2)) == ("max_usd", "finish")


@pytest.mark.parametrize("lost", ["usage", "call"])
def test_children_count_with_what_they_were_charged_for_lost_replies(lost: str) -> None:
    made: list[RunResult] = []

    client = Reporting(None) if lost == "usage" else ScriptedModel([fails("timeout", phase="run")] * 40)
    child = agent_of(name="child", max_output_tokens=100, model_retry=NO_RETRY, client=client)

    @tool(children=True)
    async def ask(ctx: ToolContext) -> str:
        assert ctx.child is not None
        made.extend([await ctx.child(child, "hi") for _ in range(40)])
        return "asked"

    parent = agent_of(ask, max_output_tokens=100, budget=Budget(max_usd="0.000005", max_steps=100))
    result = run_agent(parent, "go", model=ScriptedModel([calls(("ask", {})), "done"]), prices=Prices())

    charged = sum(r.spent.nanos for r in made if r.spent is not None)
    assert 0 < charged <= 5_000
    assert made[-1].stop_reason == "max_usd"
    assert result.stop_reason in {"max_usd", "finish"}


def test_equal_writes_of_a_run_and_its_children_are_several_writes(world: World) -> None:
    sent: list[str | None] = []

    @tool(write=True)
    async def mail(to: str, ctx: ToolContext) -> str:
        sent.append(ctx.idempotency_key)
        return f"sent {len(sent)}"

    @tool(children=True)
    async def delegate(n: int, ctx: ToolContext) -> str:
        assert ctx.child is not None
        results = []
        for _ in range(2):
            model = ScriptedModel([calls(("mail", {"to": "bob"})), "done"])
            results.append(await ctx.child(agent_of(mail, name="child", client=model), "mail bob"))
        return ",".join(c.status for r in results for c in r.trace.tool_calls)

    script = [
        calls(("mail", {"to": "bob"})),
        calls(("delegate", {"n": 1})),
        calls(("delegate", {"n": 2})),
        "done",
    ]
    result = asyncio.run(world.run(agent_of(mail, delegate), script))

    assert [c.result for c in result.trace.tool_calls] == ["sent 1", "ok,ok", "ok,ok"]
    assert len(set(sent)) == len(sent) == 5


def test_a_call_that_is_made_again_gives_its_children_the_same_keys(world: World) -> None:
    sent: list[str | None] = []
    tries: list[int] = []

    @tool(write=True, takes_key=True)
    async def mail(to: str, ctx: ToolContext) -> str:
        sent.append(ctx.idempotency_key)
        return "sent"

    @tool(children=True)
    async def delegate(ctx: ToolContext) -> str:
        assert ctx.child is not None
        tries.append(ctx.attempt)
        model = ScriptedModel([calls(("mail", {"to": "bob"})), "done"])
        await ctx.child(agent_of(mail, name="child", client=model), "mail bob")
        if len(tries) == 1:
            raise ConnectionResetError
        return "done"

    agent = agent_of(delegate, tool_retry=RetryPolicy(first_s=0.001))
    result = asyncio.run(world.run(agent, [calls(("delegate", {})), "done"]))

    assert (result.stop_reason, tries) == ("finish", [1, 2])
    assert len(sent) == 1  # the second try is given the first one's result


def test_without_claims_a_call_whose_children_wrote_is_not_made_again() -> None:
    effects: list[int] = []

    @tool(write=True)
    async def pay(cents: int) -> str:
        effects.append(cents)
        return "paid"

    @tool(children=True)
    async def delegate(ctx: ToolContext) -> str:
        assert ctx.child is not None
        model = ScriptedModel([calls(("pay", {"cents": 5})), "done"])
        await ctx.child(agent_of(pay, name="child", client=model), "pay")
        raise ConnectionResetError

    agent = agent_of(delegate, tool_retry=RetryPolicy(first_s=0.001))
    result = run_agent(agent, "go", model=ScriptedModel([calls(("delegate", {}))]), prices=Prices())

    assert (result.stop_reason, effects) == ("tool_error_exhausted:delegate", [5])


def test_a_write_of_a_child_that_was_cut_off_leaves_its_parent_in_doubt(world: World) -> None:
    effects: list[int] = []

    @tool(write=True)
    async def pay(cents: int) -> str:
        effects.append(cents)
        await asyncio.Event().wait()
        return "never"

    @tool(children=True, timeout_s=0.05)
    async def delegate(ctx: ToolContext) -> str:
        assert ctx.child is not None
        model = ScriptedModel([calls(("pay", {"cents": 5}))])
        await ctx.child(agent_of(pay, name="child", client=model), "pay")
        return "paid"

    async def bare() -> RunResult:
        request = Request(prompt="go", tenant=TENANT, environment=ENVIRONMENT)
        model = ScriptedModel([calls(("delegate", {})), "done"])
        return await run_agent_async(agent_of(delegate), request, model=model, prices=Prices())

    guarded = asyncio.run(world.run(agent_of(delegate), [calls(("delegate", {})), "done"]))
    unguarded = asyncio.run(bare())

    assert [r.stop_reason for r in (guarded, unguarded)] == ["in_doubt:delegate"] * 2
    assert effects == [5, 5]


def test_a_request_that_the_provider_refuses_costs_nothing_and_trips_no_breaker(
    store: BlockingControlStore,
) -> None:
    world = World(store, rules(tenant_day=Caps(nanos=10**9)))
    agent = agent_of(max_output_tokens=20, model_retry=NO_RETRY)

    stops = [
        asyncio.run(world.run(agent, [fails("error", phase="rejected")], f"req_{n}")).stop_reason
        for n in range(15)
    ]
    after = asyncio.run(world.run(agent, ["hi"], "req_ok"))

    assert set(stops) == {"model_error_exhausted:m1"}
    assert after.stop_reason == "finish"
    assert day(world).spent.nanos == (after.totals.cost_nanousd or 0)


@pytest.mark.parametrize(
    ("own", "parent", "both"),
    [
        (None, LoopLimits(same_call=2), LoopLimits(same_call=2)),
        (LoopLimits(same_call=9), None, LoopLimits(same_call=9)),
        (LoopLimits(same_call=9, cycle=2), LoopLimits(same_call=2), LoopLimits(same_call=2, cycle=2)),
        (None, None, None),
    ],
)
def test_a_childs_loop_guard_is_the_stricter_of_both(own: Any, parent: Any, both: Any) -> None:
    child = agent_of(policy=Policy(loop=own, max_refusals=9))

    narrowed = narrowed_policy(child, Policy(loop=parent, max_refusals=2))

    assert (narrowed.loop, narrowed.max_refusals) == (both, 2)
