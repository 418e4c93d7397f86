"""Entry: what is refused before a run begins, what is bound, and the sync door."""

from __future__ import annotations

import asyncio
import inspect
from hashlib import sha256
from typing import Any

import pytest

from runtime.core.effects import (
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    InputReply,
    Performer,
    SingleEffect,
)
from runtime.core.messages import Message, system_message, user_message
from runtime.core.policy import Budget, Policy
from runtime.core.rules_v1 import policy_hash
from runtime.core.run import prompt_hash, tools_hash
from runtime.entry.agent import Agent
from runtime.entry.run import Request, prepare, run_agent, run_agent_async
from runtime.entry.state import State
from runtime.errors import UsageError
from runtime.execution.governor import Governor
from runtime.ports.state import MemoryChange, Scope
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.tools.artifacts import MemoryArtifacts
from runtime.testing import FakeClock, ScriptedModel, calls
from runtime.testing.ram_store import RamControlStore
from runtime.tools.tool import tool
from tests.support.agents import RATE, Prices, Shop, shop_agent

NO_PRICE = Prices(id="none", known=None)


def test_a_dollar_limit_without_a_known_price_is_refused() -> None:
    agent = shop_agent(Shop(), budget=Budget(max_usd=1), max_output_tokens=100)

    with pytest.raises(UsageError, match="price of model 'm1' is unknown"):
        prepare(agent, Request(prompt="hi"), prices=NO_PRICE)


def test_a_dollar_limit_asks_for_the_price_of_each_fallback() -> None:
    class OnlyFirst(Prices):
        def rate(self, model: str, provider: str | None) -> Any:
            return RATE if model == "m1" else None

    agent = shop_agent(Shop(), fallbacks=("m2",), budget=Budget(max_usd=1), max_output_tokens=100)

    with pytest.raises(UsageError, match="'m2'"):
        prepare(agent, Request(prompt="hi"), prices=OnlyFirst())


@pytest.mark.parametrize("budget", [Budget(max_usd=1), Budget(max_tokens=1000)])
def test_a_metered_budget_without_an_output_limit_is_refused(budget: Budget) -> None:
    with pytest.raises(UsageError, match="no output limit"):
        prepare(shop_agent(Shop()), Request(prompt="hi", budget=budget), prices=Prices())


def test_an_unknown_price_without_a_dollar_limit_is_unknown_and_not_0() -> None:
    result = run_agent(shop_agent(Shop()), "hi", model=ScriptedModel(["done"]), prices=NO_PRICE)

    assert result.stop_reason == "finish"
    assert result.totals.cost_nanousd is None


@pytest.mark.parametrize("policy", [Policy(allow=("stock", "shell")), Policy(approve=("shell",))])
def test_a_policy_that_names_an_unknown_tool_is_refused(policy: Policy) -> None:
    with pytest.raises(UsageError, match="'shell'"):
        prepare(shop_agent(Shop()), Request(prompt="hi", policy=policy), prices=Prices())


def test_two_tools_of_one_name_are_refused() -> None:
    tools = shop_agent(Shop()).tools

    with pytest.raises(UsageError, match="two tools named 'stock'"):
        Agent(name="a", model="m", tools=(*tools, tools[0]))


@pytest.mark.parametrize("limit", [255, 0, -1])
def test_a_limit_of_results_without_room_for_the_line_about_the_rest_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match=f"limits results to {limit} bytes") as fault:
        Agent(name="a", model="m", max_result_bytes=limit)

    assert fault.value.next_step == "allow at least 256"


def test_an_agent_without_client_is_refused() -> None:
    with pytest.raises(UsageError, match="no model client"):
        run_agent(shop_agent(Shop()), "hi", prices=Prices())


def test_the_sync_door_runs_an_agent_to_its_end() -> None:
    shop = Shop()
    script = ScriptedModel([calls(("stock", {"item": "apple"})), "three"])

    result = run_agent(shop_agent(shop), "how many apples?", model=script, prices=Prices(), clock=FakeClock())

    assert (result.stop_reason, result.output) == ("finish", "three")
    assert shop.calls == [("stock", ("apple",))]
    assert result.trace.totals == result.totals
    assert result.request_id.startswith("req_")
    assert result.trace.started_at == "2026-01-02T03:04:05.000Z"


def test_the_sync_door_is_closed_inside_a_running_loop() -> None:
    async def main() -> None:
        run_agent(shop_agent(Shop()), "hi", model=ScriptedModel(["done"]), prices=Prices())

    with pytest.raises(UsageError, match="inside a running event loop"):
        asyncio.run(main())


def test_the_client_of_an_agent_answers_unless_another_is_given() -> None:
    own, other = ScriptedModel(["own"]), ScriptedModel(["other"])
    agent = shop_agent(Shop(), client=own)

    assert run_agent(agent, "hi", prices=Prices()).output == "own"
    assert run_agent(agent, "hi", model=other, prices=Prices()).output == "other"


def test_the_header_holds_all_that_the_run_follows_from() -> None:
    agent = shop_agent(Shop(), max_output_tokens=50, version="1.2", parameters={"temperature": 0})
    budget, policy = Budget(max_steps=3), Policy(allow=("stock",))
    request = Request(
        prompt="hi",
        tenant="acme",
        environment="prod",
        request_id="req_x",
        deploy="d1",
        seed=5,
        budget=budget,
        policy=policy,
        labels={"passed": True},
    )

    header = prepare(agent, request, prices=Prices()).header

    assert (header.tenant, header.environment, header.request_id, header.seed) == ("acme", "prod", "req_x", 5)
    assert (header.agent, header.agent_version, header.deploy) == ("shop", "1.2", "d1")
    assert header.parameters == {"temperature": 0, "max_completion_tokens": 50}
    assert (header.budget, header.policy, header.rates) == (budget, policy, {"m1": RATE})
    assert header.prompt_hash == prompt_hash("Sell fruit.", ())
    assert header.tools_hash == tools_hash(header.tools)
    assert header.policy_hash == policy_hash(policy, budget)
    assert header.labels == {"passed": True}


def test_the_same_request_has_the_same_seed_and_another_execution_another_name() -> None:
    agent = shop_agent(Shop())
    first = prepare(agent, Request(prompt="hi", request_id="req_x"), prices=Prices()).header
    again = prepare(agent, Request(prompt="hi", request_id="req_x", repeat=1), prices=Prices()).header

    assert first.seed == again.seed
    assert first.run_id != again.run_id


def test_a_conversation_may_stand_in_place_of_a_prompt() -> None:
    talk = (system_message("Extra."), user_message("hi"))

    header = prepare(shop_agent(Shop()), Request(prompt=talk), prices=Prices()).header

    assert header.input == talk
    assert header.prompt_hash == prompt_hash("Sell fruit.", talk)


def test_inputs_are_noted_in_the_header_where_a_source_is_given() -> None:
    agent = shop_agent(Shop())

    assert prepare(agent, Request(prompt="hi"), prices=Prices()).header.inputs == "none"
    assert (
        prepare(agent, Request(prompt="hi"), prices=Prices(), inputs="recorded").header.inputs == "recorded"
    )


def test_a_performer_can_be_put_around_the_live_one() -> None:
    seen: list[str] = []

    class Around:
        def __init__(self, inner: Performer) -> None:
            self.inner = inner

        async def perform(self, effect: SingleEffect) -> AnyOutcome:
            seen.append(type(effect).__name__)
            return await self.inner.perform(effect)

    run_agent(shop_agent(Shop()), "hi", model=ScriptedModel(["done"]), wrap=Around, prices=Prices())

    assert seen == ["Begin", "Admit", "CallModel", "End"]


def test_a_desk_is_asked_for_approvals() -> None:
    class Desk:
        async def ask(self, call: AskApproval) -> ApprovalAnswer:
            return ApprovalAnswer(decision="granted", by="ann")

    shop = Shop()
    script = ScriptedModel([calls(("order", {"item": "apple", "count": 2})), "ordered"])
    agent = shop_agent(shop, policy=Policy(approve=("order",)))

    result = asyncio.run(run_agent_async(agent, "two apples", model=script, desk=Desk(), prices=Prices()))

    assert result.stop_reason == "finish"
    assert shop.calls == [("order", ("apple", 2))]


def test_nothing_in_a_reply_can_change_who_asks() -> None:
    shop = Shop()
    script = ScriptedModel([calls(("note", {"text": "x", "tenant": "evil"})), "done"])

    result = run_agent(shop_agent(shop), Request(prompt="hi", tenant="acme"), model=script, prices=Prices())

    assert [c.status for c in result.trace.tool_calls] == ["invalid_arguments"]
    assert shop.calls == []


@pytest.mark.parametrize("field", ["tenant", "environment", "request_id"])
@pytest.mark.parametrize("name", ["acme\ud800", "ac\nme", "acme\x00", "acme\x1b[2J", "acme\u2028"])
def test_a_name_that_no_store_could_hold_is_refused_at_entry(field: str, name: str) -> None:
    named: dict[str, Any] = {"prompt": "hi", field: name}

    with pytest.raises(UsageError, match=r"holds the character U\+") as caught:
        Request(**named)

    str(caught.value).encode()


def test_a_name_that_is_no_text_is_refused_at_entry() -> None:
    with pytest.raises(UsageError, match="the tenant is no text: 7"):
        Request(prompt="hi", tenant=7)  # type: ignore[arg-type]  # what a caller without types does


def test_run_agent_takes_every_argument_of_run_agent_async() -> None:
    sync, whole = inspect.signature(run_agent), inspect.signature(run_agent_async)

    assert sync.parameters == whole.parameters


def test_run_agent_hands_each_argument_on() -> None:
    class Screen:
        def __init__(self) -> None:
            self.text = ""

        def on_text(self, delta: str) -> None:
            self.text += delta

        def on_restart(self) -> None:
            self.text = ""

    class Talk:
        def __init__(self) -> None:
            more = InputReply(messages=(user_message("and?"),))
            self.turns = [more, more, InputReply(end="finish")]

        async def next(self, conversation: tuple[Message, ...]) -> InputReply:
            return self.turns.pop(0)

    screen, artifacts = Screen(), MemoryArtifacts(Scope(tenant="default", environment="dev"))
    changes: list[MemoryChange] = []
    state = State()

    @tool
    async def learn(ctx: ToolContext) -> str:
        ctx.memory.put("ann", "city", "oslo", ttl_s=60.0)
        return "x" * 100_000

    agent = Agent(name="clerk", model="m1", tools=(learn,))
    script: list[Any] = [calls(("learn", {})), "one", "two"]

    result = run_agent(
        agent,
        "hi",
        model=ScriptedModel(script),
        inputs=Talk(),
        observer=screen,
        prices=Prices(),
        state=state,
        artifacts=artifacts,
        audit=changes.append,
    )

    assert (result.stop_reason, result.output) == ("finish", "two")
    assert screen.text.endswith("two")
    assert [change.name for change in changes] == ["city"]
    assert artifacts.get(sha256(b"x" * 100_000).hexdigest()) is not None


def test_a_wrapper_that_raises_ends_the_run_in_the_index_and_leaves_no_task() -> None:
    store = BlockingControlStore(RamControlStore())
    governor = Governor(store.store)

    def wrap(inner: Performer) -> Performer:
        raise UsageError("the recorder is not open")

    async def main() -> set[asyncio.Task[Any]]:
        request = Request(prompt="hi", request_id="req_1")
        with pytest.raises(UsageError, match="not open"):
            await run_agent_async(
                shop_agent(Shop()), request, model=ScriptedModel(["done"]), wrap=wrap, governor=governor
            )
        return asyncio.all_tasks() - {asyncio.current_task()}

    left = asyncio.run(main())

    (entry,) = store.find_runs("req_1")
    assert entry.stop_reason == "internal_error"
    assert left == set()
