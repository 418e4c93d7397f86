"""How a resumed run ends when it is cancelled or cannot be written down: as a fresh run does."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cassette.store import read_recording
from harness.sessions.replay import replay_run
from harness.sessions.resume import World, resume_run
from runtime.core.effects import Failure, Limits
from runtime.core.messages import ModelReply, ModelRequest
from runtime.entry.agent import Agent
from runtime.errors import ExitCode, JournalError, UsageError
from runtime.journal.files import JournalWriter
from runtime.journal.records import Record
from runtime.ports.performers import PerformerError
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import tool
from tests.harness.sessions.test_resume_state import cut_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


@tool
async def look(place: str) -> str:
    return f"{place} is far"


class Hanging:
    """A model that never answers and says when it was asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def call(self, request: ModelRequest, limits: Limits, observer: Any = None) -> ModelReply | Failure:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async def aclose(self) -> None: ...


def cut_off(tmp_path: Path) -> tuple[Agent, Path]:
    """Return an agent and the journal of its run, cut off before its second call."""
    agent = Agent(name="traveller", model="m1", tools=(look,))
    journal = tmp_path / "run.jsonl"
    script = [calls(("look", {"place": "rome"})), calls(("look", {"place": "oslo"}))]
    cut_run(agent, script, journal, "1.tool0/1")
    return agent, journal


def test_a_resumed_run_that_is_cancelled_in_a_model_call_replays_the_same(tmp_path: Path) -> None:
    agent, journal = cut_off(tmp_path)
    out = tmp_path / "more.jsonl"

    async def cancel_while_asking() -> None:
        model = Hanging()
        resumed = resume_run(read_recording(journal), agent, World(model=model), out=out)
        run = asyncio.ensure_future(resumed)
        await model.asked.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancel_while_asking())
    again = read_recording(out)

    assert again.stop_reason == "cancelled"
    assert [i.lane for i in again.interactions if not i.answered] == []
    assert replay_run(again).verdict == "same"


def test_a_full_disk_while_resuming_ends_the_run_as_it_ends_a_fresh_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, journal = cut_off(tmp_path)
    append = JournalWriter.append

    def full(self: JournalWriter, record: Record) -> int:
        if record.seq > 7:
            raise JournalError("no space left on device")
        return append(self, record)

    monkeypatch.setattr(JournalWriter, "append", full)
    world = World(model=ScriptedModel(["done"]))

    result = asyncio.run(resume_run(read_recording(journal), agent, world, out=tmp_path / "more.jsonl"))

    assert result.stop_reason == "internal_error"
    assert isinstance(result.error, PerformerError)


@pytest.mark.parametrize("kept", range(7))
def test_a_full_disk_before_anything_was_done_leaves_no_file_and_the_run_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    agent, journal = cut_off(tmp_path)
    append, out = JournalWriter.append, tmp_path / "more.jsonl"

    def full(self: JournalWriter, record: Record) -> int:
        if record.seq >= kept:
            raise JournalError("no space left on device")
        return append(self, record)

    with monkeypatch.context() as disk:
        disk.setattr(JournalWriter, "append", full)
        with pytest.raises(JournalError, match="no space left on device") as caught:
            asyncio.run(
                resume_run(read_recording(journal), agent, World(model=ScriptedModel(["done"])), out=out)
            )
    left = out.exists()
    again = asyncio.run(
        resume_run(read_recording(journal), agent, World(model=ScriptedModel(["done"])), out=out)
    )

    assert (left, caught.value.exit_code) == (False, ExitCode.DATA)
    assert again.stop_reason == "finish"


def test_a_resume_that_is_refused_before_anything_was_done_leaves_no_file(tmp_path: Path) -> None:
    agent, journal = cut_off(tmp_path)

    out = tmp_path / "more.jsonl"

    def refuse() -> None:
        raise UsageError("another resume was first")

    world = World(model=ScriptedModel(["done"]))
    resumed = resume_run(read_recording(journal), agent, world, out=out, began=refuse)

    with pytest.raises(UsageError, match="another resume was first"):
        asyncio.run(resumed)

    assert not out.exists()
