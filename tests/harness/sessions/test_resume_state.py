"""What a resumed run takes over beside its conversation: scratch, and child runs that were cut off with it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, Field

from harness.cassette.store import iter_recordings, read_recording
from harness.record.recorder import Recorder
from harness.sessions.resume import World, resume_run
from runtime.core.effects import (
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    CallTool,
    Performer,
    SingleEffect,
    ToolResult,
)
from runtime.core.policy import Policy
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.execution.governor import Governor
from runtime.ports.state import Slot
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import tool
from tests.support.agents import Prices

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
SEEN = Slot("seen", list[str])


class Order(BaseModel):
    number: int
    ref: str = Field(default_factory=lambda: str(uuid4()))


class CutBefore:
    """Ends the process, as a crash does, before anything of one call is begun or written."""

    def __init__(self, inner: Performer, lane: str) -> None:
        self._inner = inner
        self._lane = lane

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        if isinstance(effect, CallTool) and effect.lane == self._lane:
            os._exit(9)
        return await self._inner.perform(effect)


@tool
async def visit(place: str, ctx: ToolContext) -> str:
    seen = [*(ctx.scratch.get(SEEN) or []), place]
    ctx.scratch.put(SEEN, seen)
    return ", ".join(seen)


def cut_run(
    agent: Agent,
    script: list[Any],
    journal: Path,
    lane: str,
    *,
    control: Path | None = None,
    desk: Any = None,
) -> None:
    """Run an agent in a process of its own until it dies."""

    async def main() -> None:
        governor = None if control is None else Governor(SqliteControlStore(control))
        with Recorder(journal) as recorder:

            def wrap(inner: Performer) -> Performer:
                return CutBefore(recorder.wrap(inner), lane)

            request = Request(prompt="go", tenant="acme", environment="prod", request_id="req_1")
            model = ScriptedModel(script)
            await run_agent_async(
                agent, request, model=model, wrap=wrap, prices=Prices(), governor=governor, desk=desk
            )

    process = os.fork()
    if process == 0:
        try:
            asyncio.run(main())
        finally:
            os._exit(0)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 9


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
    results = [i.outcome().value for i in again.interactions if i.record.name == "visit"]
    saved = [result.saved for result in results if isinstance(result, ToolResult)]
    assert saved[-1] == {"seen": ["rome", "oslo", "bonn"]}


def test_a_child_run_that_was_cut_off_with_its_parent_is_run_again_and_writes_once(tmp_path: Path) -> None:
    made = tmp_path / "made"

    @tool(write=True, takes_key=True)
    async def pay(cents: int, ctx: ToolContext) -> str:
        with made.open("a") as file:
            file.write(f"{ctx.idempotency_key}\n")
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
    control = tmp_path / "control.db"
    cut_run(parent, [calls(("ask_clerk", {}))], tmp_path / "run.jsonl", "1.tool0/1", control=control)
    store = BlockingControlStore(SqliteControlStore(control))
    governor = Governor(store.store)
    store.sweep_runs(now=governor.now() + 3_600)

    clerk = clerk_with([calls(("pay", {"cents": 5})), calls(("visit", {"place": "rome"})), "done"])
    (recording,) = [r for r in iter_recordings(tmp_path / "run.jsonl") if r.header.request_id == "req_1"]
    world = World(model=ScriptedModel(["done"]), governor=governor)
    result = asyncio.run(resume_run(recording, parent, world, out=tmp_path / "more.jsonl"))
    store.close()

    assert result.stop_reason == "finish"
    assert result.trace.tool_calls[0].result == "req_1/0.tool0/1~2: finish"
    assert len(made.read_text().splitlines()) == 1
    journaled = {r.header.request_id for r in iter_recordings(tmp_path / "more.jsonl")}
    assert journaled == {"req_1", "req_1/0.tool0/1~2"}


def test_without_a_store_a_read_whose_child_runs_may_have_written_is_in_doubt(tmp_path: Path) -> None:
    made = tmp_path / "made"

    @tool(write=True)
    async def pay(cents: int) -> str:
        with made.open("a") as file:
            file.write(f"{cents}\n")
        return "paid"

    @tool(children=True)
    async def ask_clerk(ctx: ToolContext) -> str:
        assert ctx.child is not None
        result = await ctx.child(clerk, "pay 5 cents")
        return f"{result.stop_reason}"

    script = ScriptedModel([calls(("pay", {"cents": 5})), calls(("pay", {"cents": 6})), "done"])
    clerk = Agent(name="clerk", model="m1", tools=(pay,), client=script)
    parent = Agent(name="boss", model="m1", tools=(ask_clerk,))
    # The child run has paid once when it dies.
    cut_run(parent, [calls(("ask_clerk", {}))], tmp_path / "run.jsonl", "1.tool0/1")

    (recording,) = [r for r in iter_recordings(tmp_path / "run.jsonl") if r.header.request_id == "req_1"]
    world = World(model=ScriptedModel(["done"]))
    result = asyncio.run(resume_run(recording, parent, world, out=tmp_path / "more.jsonl"))

    assert result.stop_reason == "in_doubt:ask_clerk"
    assert made.read_text() == "5\n"


@pytest.mark.parametrize("fault", ["raises", "garbage"])
def test_a_reconcile_that_cannot_tell_leaves_a_resumed_run_in_doubt(tmp_path: Path, fault: str) -> None:
    async def reconcile(bound: object, key: str) -> Any:
        if fault == "raises":
            raise RuntimeError("the pay service is away")
        return True

    @tool(write=True, reconcile=reconcile)
    async def pay(cents: int) -> str:
        os._exit(9)

    agent = Agent(name="clerk", model="m1", tools=(pay,))
    cut_run(agent, [calls(("pay", {"cents": 5}))], tmp_path / "run.jsonl", "none")

    world = World(model=ScriptedModel(["done"]))
    recording = read_recording(tmp_path / "run.jsonl")
    result = asyncio.run(resume_run(recording, agent, world, out=tmp_path / "more.jsonl"))

    assert result.stop_reason == "in_doubt:pay"


def test_what_a_person_approved_is_asked_about_again_if_it_would_be_carried_out_otherwise(
    tmp_path: Path,
) -> None:
    class Desk:
        def __init__(self) -> None:
            self.shown: list[Any] = []

        async def ask(self, call: AskApproval) -> ApprovalAnswer:
            self.shown.append(call.arguments)
            return ApprovalAnswer(decision="granted", by="ann")

    made: list[str] = []

    @tool(write=True)
    async def pay(order: Order) -> str:
        made.append(order.ref)
        return "paid"

    agent = Agent(name="clerk", model="m1", tools=(pay,), policy=Policy(approve=("pay",)))
    script = [calls(("pay", {"order": {"number": 1}}))]
    cut_run(agent, script, tmp_path / "run.jsonl", "0.tool0/1", desk=Desk())

    desk = Desk()
    world = World(model=ScriptedModel(["done"]), desk=desk)
    recording = read_recording(tmp_path / "run.jsonl")
    result = asyncio.run(resume_run(recording, agent, world, out=tmp_path / "more.jsonl"))

    assert result.stop_reason == "finish"
    assert [shown["order"]["ref"] for shown in desk.shown] == made
    assert len(made) == 1
