"""What a call is carried out with is what rules, people and business keys see, defaults included."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from harness.sessions.replay import replay_run
from runtime.core.canonical import fingerprint
from runtime.core.effects import ApprovalAnswer, AskApproval
from runtime.core.policy import ArgumentRule, Policy
from runtime.entry.agent import Agent
from runtime.entry.run import Request, prepare
from runtime.errors import UsageError
from runtime.execution.control_rules import ControlRules
from runtime.execution.governor import Governor
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import calls
from runtime.tools.tool import Tool, tool
from tests.runtime.failure_modes.world import World, agent_of, until
from tests.support.agents import Prices
from tests.support.recordings import record

TOP = Policy(arguments={"refund": (ArgumentRule(path="amount", at_most=50),)})
ASKED = Policy(approve=("refund",))


class Item(BaseModel):
    price: int


def refunding(done: list[Any], **options: Any) -> Tool:
    @tool(write=True, **options)
    async def refund(order: float, amount: int = 1_000) -> str:
        done.append((order, amount))
        return f"{amount} refunded"

    return refund


class Desk:
    """Grants each call and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[AskApproval] = []

    async def ask(self, call: AskApproval) -> ApprovalAnswer:
        self.shown.append(call)
        return ApprovalAnswer(decision="granted", by="ann")


def test_a_rule_refuses_a_default_that_breaks_it() -> None:
    done: list[Any] = []

    result, recording = record(
        agent_of(refunding(done), policy=TOP), [calls(("refund", {"order": 1})), "done"]
    )

    assert done == []
    assert [d.message.partition(": ")[2] for d in result.trace.denials] == ["amount must be at most 50."]
    assert result.trace.tool_calls[0].arguments == {"order": 1}
    assert replay_run(recording).verdict == "same"


def test_a_person_is_shown_the_defaults_and_the_trace_what_the_model_gave() -> None:
    done: list[Any] = []
    desk = Desk()

    agent = agent_of(refunding(done), policy=ASKED)
    result, recording = record(agent, [calls(("refund", {"order": 1})), "done"], desk=desk)

    filled, given = {"order": 1, "amount": 1_000}, {"order": 1}
    assert [(c.arguments, c.args_hash) for c in desk.shown] == [(filled, fingerprint(filled))]
    (call,), (approval,) = result.trace.tool_calls, result.trace.approvals
    assert (call.arguments, call.args_hash) == (given, fingerprint(given))
    assert approval.args_hash == call.args_hash
    assert replay_run(recording).verdict == "same"


def test_a_recorded_approval_holds_what_was_shown_and_is_keyed_by_what_was_given() -> None:
    agent = agent_of(refunding([]), policy=ASKED)
    shown, given = {"order": 1, "amount": 1_000}, {"order": 1}

    _, left_out = record(agent, [calls(("refund", given)), "done"], desk=Desk())
    _, given_in_full = record(agent, [calls(("refund", shown)), "done"], desk=Desk())

    (one,), (other,) = (
        [r.effect(i) for i in r.interactions if i.kind == "approval"] for r in (left_out, given_in_full)
    )
    assert isinstance(one, AskApproval)
    assert isinstance(other, AskApproval)
    assert (one.arguments, one.args_hash, one.given) == (shown, fingerprint(shown), given)
    assert (other.arguments, other.args_hash, other.given) == (shown, fingerprint(shown), None)
    keys = [
        i.key for r in (left_out, given_in_full) for i in r.interactions if i.kind in ("approval", "tool")
    ]
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_an_approval_in_the_store_is_bound_to_the_defaults(tmp_path: Path) -> None:
    done: list[Any] = []
    governor = Governor(SqliteControlStore(tmp_path / "c.sqlite"), ControlRules(poll_s=0.01))
    world = World(BlockingControlStore(governor.store))
    shown: list[Any] = []

    def decided() -> bool:
        now = world.governor.now()
        for found in world.store.list_approvals(now=now):
            shown.append((found.arguments, found.binding.args_hash))
            world.store.decide_approval(
                found.id, decision="granted", by="ann", args_hash=found.binding.args_hash, now=now
            )
        return bool(shown)

    async def main() -> None:
        agent = agent_of(refunding(done), policy=ASKED)
        run = asyncio.ensure_future(world.run(agent, [calls(("refund", {"order": 1})), "done"]))
        await until(decided)
        await run

    asyncio.run(main())

    filled = {"order": 1, "amount": 1_000}
    assert shown[0] == (filled, fingerprint(filled))
    assert done == [(1.0, 1_000)]


def buying() -> Tool:
    @tool(write=True)
    async def buy(items: list[Item]) -> str:
        return "bought"

    return buy


def test_a_rule_holds_for_each_element_of_a_list_in_a_run() -> None:
    policy = Policy(arguments={"buy": (ArgumentRule(path="items.price", at_most=50),)})
    script = [calls(("buy", {"items": [{"price": 1}, {"price": 9_999}]})), "done"]

    result, _ = record(agent_of(buying(), policy=policy), script)

    assert [d.rule for d in result.trace.denials] == ["argument"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("itmes", "use one of items"),
        ("items.prize", "use one of items.price"),
        ("items.price.x", "drop the rule"),
    ],
)
def test_a_rule_for_an_argument_that_no_call_can_have_is_refused(path: str, words: str) -> None:
    policy = Policy(arguments={"buy": (ArgumentRule(path=path, at_most=50),)})
    agent = Agent(name="a", model="m", tools=(buying(),), policy=policy)

    with pytest.raises(UsageError, match=f"tool 'buy' has the path '{path}'") as fault:
        prepare(agent, Request(prompt="go"), prices=Prices())

    assert fault.value.next_step == words
