"""What a resumed run takes over beside its conversation: scratch, and child runs that were cut off with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from harness.cassette.store import iter_recordings, read_recording
from harness.record.recorder import Recorder
from harness.sessions.resume import World, resume_run
from runtime.core.effects import CallTool, Outcome, Performer, SingleEffect
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.errors import Signal
from runtime.execution.governor import Governor
from runtime.models import ScriptedModel, calls
from runtime.ports.control_values import RunKey, RunStopped
from runtime.ports.state import Slot
from runtime.ports.tools import ToolContext
from runtime.state.sqlite_store import SqliteControlStore
from runtime.tools.tool import tool
from tests.support.agents import Prices

SEEN = Slot("seen", list[str])


class Cut(Signal):
    """The process ends here: nothing after it is written."""


class CutBefore:
    """Ends the process before one call; an execution of the effect is never begun."""

    def __init__(self, inner: Performer, lane: str) -> None:
        self._inner = inner
        self._lane = lane

    async def perform(self, effect: SingleEffect) -> Outcome:
        if isinstance(effect, CallTool) and effect.lane == self._lane:
            raise Cut
        return await self._inner.perform(effect)


class DyingStore(SqliteControlStore):
    """A store that hears no more of the runs of a process that is dead."""

    dead = True

    def stop_run(self, key: RunKey, *, fencing: int, stop_reason: str, now: float) -> RunStopped:
        if self.dead:
            return RunStopped(applied=False, run=None)
        return super().stop_run(key, fencing=fencing, stop_reason=stop_reason, now=now)


@tool
async def visit(place: str, ctx: ToolContext) -> str:
    seen = [*(ctx.scratch.get(SEEN) or []), place]
    ctx.scratch.put(SEEN, seen)
    return ", ".join(seen)


def cut_run(agent: Agent, script: list[Any], journal: Path, lane: str, **ports: Any) -> None:
    async def main() -> None:
        with Recorder(journal) as recorder:

            def wrap(inner: Performer) -> Performer:
                return recorder.wrap(CutBefore(inner, lane))

            request = Request(prompt="go", tenant="acme", environment="prod", request_id="req_1")
            model = ScriptedModel(script)
            try:
                await run_agent_async(agent, request, model=model, wrap=wrap, prices=Prices(), **ports)
            except Cut:
                return
        raise AssertionError("the run was not cut off")

    asyncio.run(main())


def test_a_resumed_run_finds_in_its_scratch_what_recorded_calls_put_there(tmp_path: Path) -> None:
    agent = Agent(name="traveller", model="m1", tools=(visit,), scratch=(SEEN,))
    script = [calls(("visit", {"place": place})) for place in ("rome", "oslo", "bonn")]
    cut_run(agent, script, tmp_path / "run.jsonl", "2.tool0/1")

    world = World(model=ScriptedModel(["done"]))
    recording = read_recording(tmp_path / "run.jsonl")
    result: RunResult = asyncio.run(resume_run(recording, agent, world, out=tmp_path / "more.jsonl"))

    assert result.stop_reason == "finish"
    assert [c.result for c in result.trace.tool_calls] == ["rome", "rome, oslo", "rome, oslo, bonn"]
    again = read_recording(tmp_path / "more.jsonl")
    saved = [i.outcome().value.saved for i in again.interactions if i.record.name == "visit"]
    assert saved[-1] == {"seen": ["rome", "oslo", "bonn"]}


def test_a_child_run_that_was_cut_off_with_its_parent_is_run_again_and_writes_once(tmp_path: Path) -> None:
    made: list[str | None] = []

    @tool(write=True, takes_key=True)
    async def pay(cents: int, ctx: ToolContext) -> str:
        if ctx.idempotency_key not in made:
            made.append(ctx.idempotency_key)
        return "paid"

    @tool(children=True)
    async def ask_clerk(ctx: ToolContext) -> str:
        assert ctx.child is not None
        result = await ctx.child(clerk, "pay 5 cents, then look")
        return f"{result.request_id}: {result.stop_reason}"

    def clerk_with(script: list[Any]) -> Agent:
        return Agent(
            name="clerk", model="m1", tools=(pay, visit), scratch=(SEEN,), client=ScriptedModel(script)
        )

    clerk = clerk_with([calls(("pay", {"cents": 5})), calls(("visit", {"place": "rome"}))])
    parent = Agent(name="boss", model="m1", tools=(ask_clerk,))
    store = DyingStore(tmp_path / "control.db")
    governor = Governor(store)
    cut_run(parent, [calls(("ask_clerk", {}))], tmp_path / "run.jsonl", "1.tool0/1", governor=governor)
    store.dead = False
    store.sweep_runs(now=governor.now() + 3_600)

    clerk = clerk_with([calls(("pay", {"cents": 5})), calls(("visit", {"place": "rome"})), "done"])
    (recording,) = [r for r in iter_recordings(tmp_path / "run.jsonl") if r.header.request_id == "req_1"]
    world = World(model=ScriptedModel(["done"]), governor=governor)
    result = asyncio.run(resume_run(recording, parent, world, out=tmp_path / "more.jsonl"))
    store.close()

    assert result.stop_reason == "finish"
    assert result.trace.tool_calls[0].result == "req_1/0.tool0/1~2: finish"
    assert len(made) == 1
    journaled = {r.header.request_id for r in iter_recordings(tmp_path / "more.jsonl")}
    assert journaled == {"req_1", "req_1/0.tool0/1~2"}
