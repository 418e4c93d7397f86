"""A run that was cut off replays to its last record and ends there as it did; what differs before is still found."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.cassette.store import read_recording
from harness.record.recorder import Recorder
from harness.sessions.replay import replay_run
from runtime import Agent, EffectKind, InputReply, Message, Policy, run_agent, tool
from runtime.journal.recording import Recording
from runtime.testing import GrantAll, ScriptedModel, calls

RECORDS = 15
SCRIPT = (calls(("look", {"n": 1}), ("pay", {"n": 2})), calls(("look", {"n": 9})), "ok")


@tool
async def look(n: int) -> str:
    return "far"


@tool(write=True, takes_key=True)
async def pay(n: int) -> str:
    return "paid"


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return the records of a whole run: an approval, a batch of two calls, a single call, an answer."""
    journal = tmp_path_factory.mktemp("whole") / "run.jsonl"
    agent = Agent(name="clerk", model="m1", tools=(look, pay), policy=Policy(approve=("pay",)))
    with Recorder(journal) as recorder:
        run_agent(agent, "go", model=ScriptedModel(SCRIPT), desk=GrantAll(), wrap=recorder.wrap)
    return journal.read_bytes().splitlines(keepends=True)


def cut_after(lines: list[bytes], kept: int, folder: Path) -> Recording:
    journal = folder / "cut.jsonl"
    journal.write_bytes(b"".join(lines[:kept]))
    return read_recording(journal)


@pytest.mark.parametrize("collect", [False, True])
@pytest.mark.parametrize("kept", range(1, RECORDS))
def test_a_run_killed_after_any_record_replays_the_same(
    lines: list[bytes], kept: int, collect: bool, tmp_path: Path
) -> None:
    recording = cut_after(lines, kept, tmp_path)

    replay = replay_run(recording, collect=collect)

    assert (replay.verdict, replay.divergences) == ("same", ())
    assert replay.trace is not None
    assert replay.trace.stop_reason == recording.stop_reason == "crashed"
    assert replay.trace.trace_hash == recording.trace().trace_hash


def test_the_cuts_are_between_all_records_of_the_run(lines: list[bytes], tmp_path: Path) -> None:
    assert len(lines) == RECORDS
    assert cut_after(lines, RECORDS, tmp_path).stop_reason == "finish"


@pytest.mark.parametrize("kept", range(3, RECORDS))
def test_a_difference_before_the_cut_is_found(lines: list[bytes], kept: int, tmp_path: Path) -> None:
    recording = cut_after(lines, kept, tmp_path)
    recording.header = msgspec.structs.replace(recording.header, instructions="Be brief.")

    replay = replay_run(recording)

    (first,) = replay.divergences
    assert (first.lane, first.verdict) == ("0.model/1", "changed")


def test_a_new_call_before_the_cut_is_no_cut(lines: list[bytes], tmp_path: Path) -> None:
    """The recorded call of `pay` stays unused, so the approval that nobody recorded is no end of the recording."""
    recording = cut_after(lines, 6, tmp_path)
    recording.interactions = [i for i in recording.interactions if i.kind is not EffectKind.APPROVAL]

    replay = replay_run(recording)

    assert [(d.lane, d.verdict) for d in replay.divergences] == [("0.approval1/1", "extra")]


class BrokenInput:
    async def next(self, conversation: tuple[Message, ...]) -> InputReply:
        raise RuntimeError("the form is gone")


def test_a_run_whose_source_of_input_failed_replays_the_same(tmp_path: Path) -> None:
    agent = Agent(name="clerk", model="m1", tools=(look,))
    with Recorder(tmp_path / "run.jsonl") as recorder:
        result = run_agent(
            agent, "go", model=ScriptedModel(["hello"]), inputs=BrokenInput(), wrap=recorder.wrap
        )

    replay = replay_run(read_recording(tmp_path / "run.jsonl"))

    assert result.stop_reason == "internal_error"
    assert (replay.verdict, replay.divergences) == ("same", ())
    assert replay.trace is not None
    assert replay.trace.stop_reason == "internal_error"
