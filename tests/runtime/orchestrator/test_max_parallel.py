"""`max_parallel`: how many calls of one turn run at one time; the others queue, and none is refused."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from runtime import Agent, Budget, run_agent_async, tool
from runtime.entry.request import RunResult
from runtime.testing.scripted import ScriptedModel, calls, says
from runtime.tools.tool import Tool


class Watched:
    """A tool that notes how many of its calls run at one time."""

    def __init__(self, *, fails_on: int | None = None) -> None:
        self.running = self.peak = 0
        self.order: list[int] = []
        self.fails_on = fails_on

    def tool(self) -> Tool:
        @tool(name="look")
        async def look(n: int) -> str:
            """Look."""
            self.order.append(n)
            self.running += 1
            self.peak = max(self.peak, self.running)
            for _ in range(20):
                await asyncio.sleep(0)
            self.running -= 1
            if n == self.fails_on:
                raise RuntimeError("broken")
            return str(n)

        return look


def run(watched: Watched, budget: Budget, count: int = 7) -> RunResult:
    agent = Agent(name="a", model="m", tools=(watched.tool(),), budget=budget)
    turn = calls(*[("look", {"n": n}) for n in range(count)])
    return asyncio.run(run_agent_async(agent, "go", model=ScriptedModel([turn, says("done")])))


@pytest.mark.parametrize(("limit", "peak"), [(None, 7), (1, 1), (3, 3), (7, 7), (99, 7)])
def test_no_more_calls_run_at_one_time_than_the_budget_allows(limit: int | None, peak: int) -> None:
    watched = Watched()

    result = run(watched, Budget(max_parallel=limit))

    assert (watched.peak, watched.order) == (peak, list(range(7)))
    assert [(c.status, c.result) for c in result.trace.tool_calls] == [("ok", str(n)) for n in range(7)]
    assert result.stop_reason == "finish"


def test_the_result_of_a_run_does_not_depend_on_the_limit() -> None:
    hashes = {run(Watched(), Budget(max_parallel=limit)).trace.trace_hash for limit in (1, 2, 7)}

    assert len(hashes) == 1


def test_calls_that_queue_behind_one_that_ends_the_run_are_not_started() -> None:
    watched = Watched(fails_on=0)

    result = run(watched, Budget(max_parallel=2))

    assert result.stop_reason == "tool_error_exhausted:look"
    assert set(watched.order) == {0, 1}
    assert [c.status for c in result.trace.tool_calls] == ["error", "ok", *itertools.repeat("not_started", 5)]
