"""The one assembly: known outcomes stand before the world, and a recorder sees them as it sees the rest."""

from __future__ import annotations

import asyncio
from typing import Any

from harness.record import MemorySink, RecordingPerformer
from harness.sessions.replay import replay_run
from runtime.core.effects import AnyOutcome, CallModel, End, Outcome, Performer, SingleEffect
from runtime.core.messages import ModelReply, ModelRequest
from runtime.entry.agent import Agent
from runtime.entry.assemble import OutcomeSource, RunParts, assemble
from runtime.entry.prepare import prepare
from runtime.entry.request import Request, RunResult
from runtime.execution.world import World
from runtime.ports.performers import PerformerError
from runtime.testing import FakeClock, ScriptedModel, calls
from runtime.testing.scripted import complete_turn
from runtime.tools.tool import tool
from tests.support.agents import Prices

DONE: list[int] = []


@tool
async def look(n: int) -> str:
    DONE.append(n)
    return f"saw {n}"


AGENT = Agent(name="scout", model="m1", tools=(look,))


class KnownReplies:
    """Knows the model's replies of the first steps, and nothing else."""

    def __init__(self, *turns: Any) -> None:
        self.turns = list(turns)

    async def answer(self, effect: SingleEffect) -> AnyOutcome | None:
        if not isinstance(effect, CallModel) or not self.turns:
            return None
        reply = complete_turn(self.turns.pop(0), effect.request, provider="scripted")
        return Outcome(reply, None, 1.0, 0.5)


def driven(source: OutcomeSource, world: World) -> RunResult:
    setup = prepare(AGENT, Request(prompt="look around", request_id="req_1"), prices=Prices())

    async def main() -> RunResult:
        return await (await assemble(AGENT, setup, world, known=lambda parts: source)).run()

    return asyncio.run(main())


def test_known_outcomes_are_not_carried_out_and_the_rest_is() -> None:
    DONE.clear()
    asked: list[ModelRequest] = []

    def model(request: ModelRequest) -> str:
        asked.append(request)
        return "two things"

    source = KnownReplies(calls(("look", {"n": 1})), calls(("look", {"n": 2})))

    result = driven(source, World(model=ScriptedModel(model)))

    assert (result.stop_reason, result.output) == ("finish", "two things")
    assert len(asked) == 1
    assert DONE == [1, 2]


def test_a_recorder_writes_known_outcomes_too_so_the_recording_replays_the_same() -> None:
    sink = MemorySink()

    def wrap(inner: Performer) -> Performer:
        return RecordingPerformer(inner, sink, cleaner=None)

    result = driven(
        KnownReplies(calls(("look", {"n": 1}))), World(model=ScriptedModel(["one thing"]), wrap=wrap)
    )
    recording = sink.recording()

    replies = [i.outcome().value for i in recording.interactions if i.lane.endswith("model/1")]
    assert all(isinstance(reply, ModelReply) for reply in replies)
    assert len(replies) == 2
    assert replay_run(recording).verdict == "same"
    assert recording.trace().trace_hash == result.trace.trace_hash


def test_a_source_that_refuses_ends_the_run_before_anything_is_carried_out() -> None:
    DONE.clear()
    ended: list[str] = []

    class Refusing:
        async def answer(self, effect: SingleEffect) -> AnyOutcome | None:
            if isinstance(effect, End):
                ended.append(effect.stop_reason)
            if isinstance(effect, CallModel):
                raise PerformerError("this effect may not be carried out")
            return None

    result = driven(Refusing(), World(model=ScriptedModel(["never"])))

    assert result.stop_reason == "internal_error"
    assert isinstance(result.error, PerformerError)
    assert (DONE, ended) == ([], [])


def test_a_source_is_made_of_the_live_run_that_it_answers() -> None:
    made: list[RunParts] = []
    setup = prepare(AGENT, Request(prompt="hi", request_id="req_1"), prices=Prices())

    def known(parts: RunParts) -> OutcomeSource:
        made.append(parts)
        return KnownReplies("done")

    async def main() -> RunResult:
        return await (await assemble(AGENT, setup, World(model=ScriptedModel([])), known=known)).run()

    result = asyncio.run(main())

    assert result.output == "done"
    assert [parts.guard for parts in made] == [None]


def test_a_run_counts_the_seconds_that_it_used_before() -> None:
    setup = prepare(AGENT, Request(prompt="hi", request_id="req_1"), prices=Prices())
    world = World(model=ScriptedModel(["done"]), clock=FakeClock())

    async def main() -> RunResult:
        return await (await assemble(AGENT, setup, world, elapsed_s=100.0)).run()

    result = asyncio.run(main())

    assert result.trace.totals.duration_s == 100.0
