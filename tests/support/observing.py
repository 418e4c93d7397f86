"""Observed runs of a small agent, and a sink that keeps their events, for tests of events and sinks."""

from __future__ import annotations

import asyncio
from typing import Any

from runtime.core.policy import Policy, RetryPolicy
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.errors import JournalError
from runtime.observability.run_events import Event, EventSink, ObservingPerformer
from runtime.testing import FakeClock, ScriptedModel
from runtime.tools.tool import ToolError, tool
from tests.support.agents import Prices

KEY = b"k" * 32


class Kept:
    """A sink that keeps events, and fails while it is told to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.broken = False

    def take(self, event: Event) -> None:
        if self.broken:
            raise JournalError("the disk is full")
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [e.kind for e in self.events]


@tool
async def look(q: str) -> str:
    """Look something up."""
    return f"result-0815 for {q}"


@tool
async def fail(q: str) -> str:
    """Fail."""
    raise ToolError(f"fault-2342 about {q}")


@tool(write=True)
async def pay(q: str) -> str:
    """Pay."""
    return "paid"


def run(
    script: list[Any],
    *sinks: EventSink,
    key: bytes = KEY,
    policy: Policy | None = None,
    tools: tuple[Any, ...] = (look, fail, pay),
    **request: Any,
) -> RunResult:
    agent = Agent(
        name="shop", model="m1", tools=tools, tool_retry=RetryPolicy(first_s=0.5), policy=Policy(allow="any")
    )
    asked = Request(prompt="go", **{"tenant": "acme", "environment": "test", "policy": policy, **request})
    return asyncio.run(
        run_agent_async(
            agent,
            asked,
            model=ScriptedModel(script),
            wrap=lambda inner: ObservingPerformer(inner, sinks, key=key),
            prices=Prices(),
            clock=FakeClock(),
        )
    )
