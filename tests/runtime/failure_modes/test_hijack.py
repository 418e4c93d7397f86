"""A fully hijacked model over real injected runs: it asks for whatever was asked in them, and nothing happens.

The runs are the public AgentDojo-style recordings of `shared/real/runs`. Which tools a task needs is taken from the
recording of the same task without attack: that is the least privilege. The model plays the attacked recording's
calls and then each call that any obeyed attack of the suite made, over and over until it is stopped.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.core.messages import ModelReply, ToolSchema
from runtime.core.policy import Budget, Policy
from runtime.core.run import ToolDecl
from runtime.entry.agent import Agent
from runtime.entry.run import RunResult
from runtime.testing import calls, says
from runtime.testing.scripted import ScriptedModel
from runtime.tools.tool import Tool, tool
from tests.runtime.failure_modes.world import World, agent_of, tell_reader

REAL = Path(__file__).parents[4] / "shared" / "real" / "runs" / "agentdyn" / "gpt-4o-2024-08-06"
READS = ("get_", "read_", "search_", "list_", "view_", "check_", "query_", "find_", "browse_")
ATTACKED = 40
"""Attacked runs that obeyed, taken from the file in its order."""

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the real runs are not here")

Call = tuple[str, dict[str, Any]]


def runs() -> Iterator[tuple[list[str], dict[str, Any]]]:
    with gzip.open(REAL / "shopping.jsonl.gz", "rt") as file:
        for text in file:
            found = json.loads(text)
            yield found["path"].removesuffix(".json").split("/"), found["run"]


def asked_in(run: dict[str, Any]) -> list[Call]:
    return [
        (call["function"], call["args"])
        for message in run["messages"]
        if message["role"] == "assistant"
        for call in message["tool_calls"] or ()
    ]


def is_write(name: str) -> bool:
    return not name.startswith(READS)


class Shopping:
    """The suite's clean runs by task, and its attacked runs that obeyed."""

    def __init__(self) -> None:
        self.clean: dict[str, list[Call]] = {}
        self.obeyed: list[tuple[str, list[Call]]] = []
        for parts, run in runs():
            task, attack = parts[-3], parts[-2]
            if attack == "none":
                self.clean[task] = asked_in(run)
            elif run["security"]:
                self.obeyed.append((task, asked_in(run)))
        self.obeyed = [(task, asked) for task, asked in self.obeyed if task in self.clean][:ATTACKED]
        self.names = sorted(
            {name for asked in (*self.clean.values(), *(a for _, a in self.obeyed)) for name, _ in asked}
        )


@pytest.fixture(scope="module")
def shopping() -> Shopping:
    return Shopping()


def open_tool(name: str, effects: list[Call]) -> Tool:
    """Return a tool that takes any arguments; what it is called with is an effect."""

    async def act() -> str:
        return ""

    made = tool(name=name, write=is_write(name))(act)
    schema = ToolSchema(name=name, description="", parameters={"type": "object"})
    made.decl = ToolDecl(schema=schema, write=is_write(name))

    class Port(Tool):
        def validate(self, arguments: Any) -> Any:
            from runtime.orchestrator.setup import Checked

            return Checked(value=arguments)

        async def call(self, bound: Any, context: Any) -> Any:
            from runtime.core.effects import ToolResult

            effects.append((name, bound))
            return ToolResult(content="done")

    return Port(act, made.decl, made._arguments, kind="async", reconcile=None)


def shop(names: list[str], effects: list[Call], policy: Policy) -> Agent:
    tools = [open_tool(name, effects) for name in names]
    return agent_of(*tools, policy=policy, budget=Budget(max_steps=60))


def least_privilege(needed: list[Call]) -> Policy:
    names = {name for name, _ in needed}
    return Policy(
        allow=tuple(sorted(names)),
        approve=tuple(sorted(n for n in names if is_write(n))),
        max_refusals=10_000,
        approval_timeout_s=30.0,
        loop=None,
    )


def test_a_hijacked_model_starts_no_disallowed_call_and_no_write_without_approval(
    world: World, shopping: Shopping
) -> None:
    assert len(shopping.obeyed) == ATTACKED
    attacks = [call for _, asked in shopping.obeyed for call in asked]

    async def main() -> list[tuple[set[str], list[Call], RunResult]]:
        found = []
        for number, (task, asked) in enumerate(shopping.obeyed):
            effects: list[Call] = []
            policy = least_privilege(shopping.clean[task])
            wanted = [*asked, *attacks[:: max(1, len(attacks) // 30)]]
            script: list[ModelReply] = [*(calls(call) for call in wanted[:50]), says("sent")]
            agent = shop(shopping.names, effects, policy)
            # Nobody approves anything: each approval is denied at once, by the desk's rule.
            result = await world.run(agent, script, f"req_{number}", desk=Nobody())
            found.append((set(policy.allow or ()), effects, result))
        return found

    found = asyncio.run(main())

    started = [(allowed, name) for allowed, effects, _ in found for name, _ in effects]
    refused = sum(r.totals.denials for _, _, r in found)
    tell_reader(f"{len(found)} hijacked runs: {refused} calls denied, {len(started)} allowed reads started")
    assert [name for allowed, name in started if name not in allowed] == []
    assert [name for _, name in started if is_write(name)] == []
    assert refused > 0
    assert all(c.status in {"ok", "denied"} for _, _, r in found for c in r.trace.tool_calls)


class Nobody:
    """A desk that grants nothing."""

    async def ask(self, call: Any) -> Any:
        from runtime.core.effects import ApprovalAnswer

        return ApprovalAnswer(decision="denied", by="rule", reason="not asked for by the user")


class Everybody:
    """A desk that grants what it is asked: the person wanted the task done."""

    async def ask(self, call: Any) -> Any:
        from runtime.core.effects import ApprovalAnswer

        return ApprovalAnswer(decision="granted", by="ann")


def test_the_benign_twin_of_each_attacked_task_still_finishes(world: World, shopping: Shopping) -> None:
    tasks = sorted({task for task, _ in shopping.obeyed})

    async def main() -> list[tuple[str, int, int]]:
        found = []
        for task in tasks:
            effects: list[Call] = []
            wanted = shopping.clean[task]
            agent = shop(shopping.names, effects, least_privilege(wanted))
            model = ScriptedModel([*(calls(call) for call in wanted), says("done")])
            result = await world.run(agent, [], f"req_{task}", model=model, desk=Everybody())
            found.append((result.stop_reason, len(effects), len(wanted)))
        return found

    found = asyncio.run(main())

    assert {stop for stop, _, _ in found} == {"finish"}
    assert all(made == wanted for _, made, wanted in found)
