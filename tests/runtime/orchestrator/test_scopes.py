"""Scopes: a tool that needs what whoever asks does not hold is denied, also through a child run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.control.permissions import missing_scopes
from runtime.core.policy import Policy
from runtime.entry.agent import Agent
from runtime.entry.children import narrowed_scopes
from runtime.entry.run import Request, run_agent
from runtime.entry.service import Principal, Service
from runtime.execution.governor import Governor
from runtime.ports.tools import ToolContext
from runtime.testing import ScriptedModel, calls
from runtime.testing.ram_store import RamControlStore
from runtime.tools.tool import Tool, tool
from tests.support.agents import Prices


def paying(made: list[int]) -> Tool:
    @tool(write=True, scopes=("billing:write",))
    async def pay(cents: int) -> str:
        made.append(cents)
        return "paid"

    return pay


def agent_of(*tools: Tool, **fields: Any) -> Agent:
    return Agent(name="clerk", model="m1", tools=tools, **{"policy": Policy(allow="any"), **fields})


@pytest.mark.parametrize(
    ("held", "statuses"),
    [(None, ["ok"]), (("billing:write", "x"), ["ok"]), (("billing",), ["denied"]), ((), ["denied"])],
)
def test_a_tool_runs_only_for_whoever_holds_its_scope(
    held: tuple[str, ...] | None, statuses: list[str]
) -> None:
    made: list[int] = []
    model = ScriptedModel([calls(("pay", {"cents": 5})), "done"])

    result = run_agent(
        agent_of(paying(made), policy=Policy(allow="any", scopes=held)), "go", model=model, prices=Prices()
    )

    assert [c.status for c in result.trace.tool_calls] == statuses
    assert len(made) == statuses.count("ok")
    assert result.totals.denials == statuses.count("denied")


def test_a_missing_scope_ends_the_run_where_the_policy_says_so() -> None:
    agent = agent_of(paying([]), policy=Policy(allow="any", scopes=(), on_denied="stop"))

    result = run_agent(agent, "go", model=ScriptedModel([calls(("pay", {"cents": 5}))]), prices=Prices())

    assert result.stop_reason == "policy_deny:pay"


def test_a_service_gives_a_run_the_scopes_of_its_principal() -> None:
    made: list[int] = []

    async def authenticate(credentials: str) -> Principal:
        scopes = ("billing:write",) if credentials == "owner" else ()
        return Principal(name=credentials, tenant="acme", environment="prod", scopes=scopes)

    async def ask(who: str) -> list[str]:
        model = ScriptedModel([calls(("pay", {"cents": 5})), "done"])
        governor = Governor(RamControlStore())
        service = Service(
            governor=governor, authenticate=authenticate, model=model, prices=Prices(), event_key=b"k" * 16
        )
        result = await service.run(agent_of(paying(made)), Request(prompt="go"), credentials=who)
        return [c.status for c in result.trace.tool_calls]

    assert (asyncio.run(ask("owner")), asyncio.run(ask("guest"))) == (["ok"], ["denied"])
    assert made == [5]


def test_a_child_holds_no_scope_that_its_parent_does_not() -> None:
    made: list[int] = []

    @tool(children=True)
    async def ask_child(ctx: ToolContext) -> str:
        assert ctx.child is not None
        result = await ctx.child(child, "pay")
        return ",".join(c.status for c in result.trace.tool_calls)

    child_model = ScriptedModel([calls(("pay", {"cents": 5})), "done"])
    child = agent_of(paying(made), client=child_model)
    parent = agent_of(ask_child, policy=Policy(allow="any", scopes=("read",)))
    model = ScriptedModel([calls(("ask_child", {})), "done"])

    result = run_agent(parent, "go", model=model, prices=Prices())

    assert result.trace.tool_calls[0].result == "denied"
    assert made == []


@pytest.mark.parametrize(
    ("own", "other", "both"),
    [
        (None, None, None),
        (None, ("a",), ("a",)),
        (("a",), None, ("a",)),
        (("a", "b"), ("b", "c"), ("b",)),
        ((), None, ()),
    ],
)
def test_scopes_narrow_to_what_both_hold(own: Any, other: Any, both: Any) -> None:
    assert narrowed_scopes(own, other) == both


def test_missing_scopes_are_named_in_order() -> None:
    assert missing_scopes(Policy(allow="any", scopes=("b",)), ("c", "b", "a")) == ("a", "c")
