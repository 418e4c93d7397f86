"""The queue of a turn slides, and whatever cuts it off, the run replays the same."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from harness.sessions.replay import replay_run
from runtime import Agent, Budget, Policy, run_agent_async, tool
from runtime.core.policy import NO_RETRY, RetryPolicy
from runtime.entry.request import RunResult
from runtime.journal.recording import Recording
from runtime.journal.recording_performer import MemorySink, RecordingPerformer
from runtime.testing.scripted import ScriptedModel, calls, says
from runtime.tools.tool import RetryableError, Tool


class Doors:
    """Calls that stay until their door is opened."""

    def __init__(self, *, fails: frozenset[int] = frozenset(), once: bool = False) -> None:
        self.began: list[int] = []
        self.open = [asyncio.Event() for _ in range(12)]
        self.fails = set(fails)
        self.once = once

    def tool(self, **options: Any) -> Tool:
        @tool(name="look", **options)
        async def look(n: int) -> str:
            self.began.append(n)
            await self.open[n].wait()
            if n in self.fails:
                if self.once:
                    self.fails.discard(n)
                    raise RetryableError("busy")
                raise RuntimeError("broken")
            return f"{n} seen"

        return look


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def begin(doors: Doors, sink: MemorySink, count: int = 6, **fields: Any) -> asyncio.Task[RunResult]:
    options = fields.pop("options", {})
    known: dict[str, Any] = {
        "budget": Budget(max_parallel=2),
        "tool_retry": NO_RETRY,
        "policy": Policy(allow="any"),
    }
    agent = Agent(name="a", model="m", tools=(doors.tool(**options),), **{**known, **fields})
    turn = calls(*[("look", {"n": n}) for n in range(count)])
    return asyncio.ensure_future(
        run_agent_async(
            agent,
            "go",
            model=ScriptedModel([turn, says("done")]),
            wrap=lambda inner: RecordingPerformer(inner, sink, cleaner=None),
        )
    )


def replays(sink: MemorySink) -> Recording:
    recording = sink.recording()
    replayed = replay_run(recording)
    assert (replayed.verdict, replayed.divergences) == ("same", ())
    return recording


def statuses(recording: Recording) -> list[str]:
    return [call.status for call in recording.trace().tool_calls]


def test_a_call_begins_as_soon_as_any_before_it_has_ended() -> None:
    async def main() -> None:
        doors, sink = Doors(), MemorySink()
        run = begin(doors, sink)
        await settle()
        assert doors.began == [0, 1]
        for number, began in ((1, [0, 1, 2]), (2, [0, 1, 2, 3])):
            doors.open[number].set()
            await settle()
            assert doors.began == began  # the first call is still under way
        for door in doors.open:
            door.set()
        assert (await run).stop_reason == "finish"
        assert statuses(replays(sink)) == ["ok"] * 6

    asyncio.run(main())


@pytest.mark.parametrize("opened", list(itertools.permutations(range(3))))
def test_a_failure_that_ends_the_run_leaves_the_queue_unstarted_in_each_order(
    opened: tuple[int, ...],
) -> None:
    async def main() -> None:
        doors, sink = Doors(fails=frozenset({1})), MemorySink()
        run = begin(doors, sink)
        for number in opened:
            await settle()
            doors.open[number].set()
        await settle()
        before = list(doors.began)
        for door in doors.open:
            door.set()
        result = await run
        assert result.stop_reason == "tool_error_exhausted:look"
        assert doors.began == before  # nothing begins once the failure is known
        assert statuses(replays(sink)).count("not_started") == 6 - len(before) > 0

    asyncio.run(main())


@pytest.mark.parametrize("turns", range(0, 60, 3))
def test_a_cancelled_queue_replays_the_same(turns: int) -> None:
    async def main() -> None:
        doors, sink = Doors(), MemorySink()
        run = begin(doors, sink)
        await settle()
        doors.open[0].set()
        for _ in range(turns):
            await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        recording = replays(sink)
        assert recording.stop_reason == "cancelled"
        assert statuses(recording).count("not_started") == 6 - len(doors.began)

    asyncio.run(main())


def test_a_call_whose_turn_comes_after_the_deadline_does_not_begin() -> None:
    async def main() -> None:
        doors, sink = Doors(), MemorySink()
        run = begin(doors, sink, budget=Budget(max_parallel=2, max_seconds=0.2), options={"write": True})
        result = await run
        assert result.stop_reason in {"max_seconds", "in_doubt:look"}
        assert doors.began == [0, 1]
        assert statuses(replays(sink))[2:] == ["not_started"] * 4

    asyncio.run(main())


def test_a_retry_comes_when_the_queue_is_empty_and_ends_nothing() -> None:
    async def main() -> None:
        doors, sink = Doors(fails=frozenset({0, 3}), once=True), MemorySink()
        for door in doors.open:
            door.set()
        result = await begin(doors, sink, tool_retry=RetryPolicy(first_s=0.001))
        assert result.stop_reason == "finish"
        assert doors.began == [0, 1, 2, 3, 4, 5, 0, 3]
        assert statuses(replays(sink)) == ["ok"] * 6

    asyncio.run(main())
