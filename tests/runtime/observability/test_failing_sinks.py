"""Sinks that fail: no write goes unseen, reads go on for a while, and no event is told out of order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.core.effects import FailureKind
from runtime.core.policy import Policy
from runtime.entry.agent import Agent
from runtime.entry.run import run_agent_async
from runtime.observability import backlog as backlog_module
from runtime.observability.run_events import NOT_KEPT, Event, ObservingPerformer
from runtime.testing import ScriptedModel, calls, says
from runtime.tools.tool import tool
from tests.support.agents import Prices
from tests.support.observing import KEY, Kept, look, run


class BreaksBefore:
    """A sink that fails from the first intent of a tool on, until it is mended."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.broke = False

    def take(self, event: Event) -> None:
        if event.kind == "intent" and event.subject == "tool" and not self.broke:
            self.kept.broken = self.broke = True
        self.kept.take(event)


def test_mode_42_write_is_not_started_while_its_intent_cannot_be_kept() -> None:
    kept = Kept()
    made: list[str] = []

    @tool(write=True)
    async def charge() -> str:
        made.append("charge")
        return "ok"

    result = run([calls(("charge", {})), says("done")], BreaksBefore(kept), tools=(charge,))

    assert made == []
    assert result.stop_reason == "control_unavailable"
    assert result.totals.in_doubt == 0


def test_mode_42_reads_go_on_and_their_events_are_told_in_order_once_the_sink_is_back() -> None:
    kept = Kept()
    made: list[str] = []

    @tool
    async def peek() -> str:
        made.append("peek")
        return "ok"

    @tool
    async def mend() -> str:
        kept.broken = False
        return "ok"

    result = run(
        [calls(("peek", {})), calls(("mend", {})), says("done")],
        BreaksBefore(kept),
        tools=(peek, mend),
    )

    assert made == ["peek"]
    assert result.stop_reason == "finish"
    assert kept.kinds() == [
        "run_started",
        *["intent", "outcome"] * 2,
        *["intent", "outcome"] * 2,
        "intent",
        "outcome",
        "run_ended",
    ]
    times = [e.at_s for e in kept.events if e.at_s is not None]
    assert times == sorted(times)


def test_mode_42_nothing_is_admitted_when_the_backlog_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog_module, "BACKLOG", 6)
    kept = Kept()
    kept.broken = True
    made: list[int] = []

    @tool
    async def peek(n: int) -> str:
        made.append(n)
        return "ok"

    result = run([calls(("peek", {"n": n})) for n in range(20)], kept, tools=(peek,))

    assert result.stop_reason == "control_unavailable"
    assert 0 < len(made) < 5


def test_mode_42_healthy_sink_is_told_all_while_another_fails() -> None:
    broken, healthy = Kept(), Kept()
    broken.broken = True
    performers: list[ObservingPerformer] = []

    def wrap(inner: Any) -> ObservingPerformer:
        performers.append(ObservingPerformer(inner, (broken, healthy), key=KEY))
        return performers[0]

    agent = Agent(name="shop", model="m1", tools=(look,), policy=Policy(allow="any"))
    asyncio.run(run_agent_async(agent, "go", model=ScriptedModel([says("done")]), wrap=wrap, prices=Prices()))

    assert healthy.kinds() == ["run_started", "intent", "outcome", "run_ended"]
    assert performers[0].lost == 4


def test_failure_for_a_write_that_was_not_started_may_be_repeated_and_is_not_in_doubt() -> None:
    assert NOT_KEPT.kind is FailureKind.UNAVAILABLE
    assert NOT_KEPT.retryable
