"""A run that is cancelled in the middle of a turn replays the same, wherever in the turn it was."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.cassette.store import read_recording
from harness.record.recorder import Recorder
from harness.sessions.replay import replay_run
from runtime.core.effects import ApprovalAnswer, AskApproval
from runtime.core.policy import Budget, Policy
from runtime.entry.agent import Agent
from runtime.entry.run import run_agent_async
from runtime.ports.tools import ApprovalDesk
from runtime.testing import GrantAll, ScriptedModel, calls
from runtime.tools.tool import tool

CALLS = calls(("look", {"n": 1}), ("pay", {"n": 2}), ("look", {"n": 3}))


class Watched:
    """A desk that nobody answers at, and says when it was asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def ask(self, call: AskApproval) -> ApprovalAnswer:
        self.asked.set()
        return await asyncio.Future()


def agent_of(began: asyncio.Event, *, hangs: bool) -> Agent:
    async def work() -> str:
        began.set()
        await (asyncio.Future() if hangs else asyncio.sleep(0))
        return "done"

    @tool
    async def look(n: int) -> str:
        return await work()

    @tool(write=True)
    async def pay(n: int) -> str:
        return await work()

    policy = Policy(allow="any", approve=("pay",), loop=None)
    return Agent(name="clerk", model="m1", tools=(look, pay), policy=policy, budget=Budget(max_parallel=1))


async def cancelled(journal: Path, agent: Agent, desk: ApprovalDesk, until: Any) -> None:
    with Recorder(journal) as recorder:
        run = asyncio.ensure_future(
            run_agent_async(agent, "go", model=ScriptedModel([CALLS, "ok"]), desk=desk, wrap=recorder.wrap)
        )
        await until()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


def check(journal: Path) -> list[str]:
    recording = read_recording(journal)
    replayed = replay_run(recording)
    assert (recording.stop_reason, replayed.verdict, replayed.divergences) == ("cancelled", "same", ())
    return [call.status for call in recording.trace().tool_calls]


def test_calls_that_queued_are_left_unstarted(tmp_path: Path) -> None:
    async def main() -> None:
        began = asyncio.Event()
        await cancelled(tmp_path / "a.jsonl", agent_of(began, hangs=True), GrantAll(), began.wait)

    asyncio.run(main())

    assert check(tmp_path / "a.jsonl") == ["interrupted", "not_started", "not_started"]


def test_calls_of_a_turn_that_waits_for_an_approval_are_left_unstarted(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Watched()
        await cancelled(tmp_path / "a.jsonl", agent_of(asyncio.Event(), hangs=False), desk, desk.asked.wait)

    asyncio.run(main())

    assert check(tmp_path / "a.jsonl") == ["not_started"] * 3


@pytest.mark.parametrize("turns", range(1, 13))
def test_a_cancellation_between_two_effects_belongs_to_the_next(tmp_path: Path, turns: int) -> None:
    async def pass_turns() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def main() -> None:
        agent = agent_of(asyncio.Event(), hangs=False)
        agent = Agent(name="clerk", model="m1", tools=agent.tools, policy=Policy(allow="any"))
        await cancelled(tmp_path / "a.jsonl", agent, GrantAll(), pass_turns)

    asyncio.run(main())

    if (tmp_path / "a.jsonl").stat().st_size:
        check(tmp_path / "a.jsonl")
