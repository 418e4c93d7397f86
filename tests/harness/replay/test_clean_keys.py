"""Secrets and keys in replay: nothing is searched while keys are as recorded, and live secrets still match."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.record.recorder import memory_wrap
from harness.replay.matching import RecordingIndex
from harness.replay.performer import ReplayPerformer
from harness.sessions.replay import recorded_setup, replay_run
from runtime.core.messages import Message, user_message
from runtime.core.run import with_hashes
from runtime.entry.agent import Agent
from runtime.entry.run import run_agent
from runtime.execution.driver import drive
from runtime.journal.recording import Recording
from runtime.orchestrator.loop import run_flow
from runtime.orchestrator.setup import RunSetup
from runtime.testing.scripted import ScriptedModel, calls, says
from runtime.tools.tool import tool

SECRET = "sk-" + "a1B2" * 8


@tool
async def look(q: str) -> str:
    """Look something up."""
    return f"found {q}"


def recorded(prompt: str, query: str) -> Recording:
    sink, wrap = memory_wrap()
    script = [calls(("look", {"q": query})), says("done")]
    run_agent(Agent(name="demo", model="m1", tools=(look,)), prompt, model=ScriptedModel(script), wrap=wrap)
    return sink.recording()


def with_prompt(recording: Recording, prompt: str) -> RunSetup:
    header = msgspec.structs.replace(recording.header, input=(user_message(prompt),))
    return RunSetup(header=with_hashes(header), tools=recorded_setup(recording).tools)


class NeverAsked:
    """A cleaner that must not be used."""

    def suspects(self, encoded: bytes, *, shared: bool = False) -> bool:
        raise AssertionError("looked for secrets")

    def message(self, message: Message) -> Message:
        raise AssertionError("cleaned a message")

    def value(self, value: Any) -> Any:
        raise AssertionError("cleaned a value")

    def learned(self) -> tuple[tuple[bytes, bytes], ...]:
        return ()


def test_a_run_that_replays_as_recorded_is_not_searched_for_secrets() -> None:
    recording = recorded("where is it", "parcels")
    setup = recorded_setup(recording)
    performer = ReplayPerformer(RecordingIndex(recording), cleaner=NeverAsked())

    finished = drive(run_flow(setup), performer, setup.header)

    assert finished.error is None
    assert performer.leftovers(finished.end.stop_reason) == []


def test_a_live_secret_in_the_prompt_matches_its_redacted_recording() -> None:
    prompt = f"use {SECRET} to look"
    recording = recorded(prompt, "parcels")

    replay = replay_run(recording, setup=with_prompt(recording, prompt))

    assert SECRET not in str(recording.header)
    assert replay.divergences == ()


def test_another_number_of_secrets_diverges() -> None:
    recording = recorded(f"use {SECRET} to look", "parcels")

    replay = replay_run(recording, setup=with_prompt(recording, f"use {SECRET} and {SECRET[::-1]}x to look"))

    assert replay.verdict == "diverged"


def test_a_secret_that_appears_after_clean_steps_keeps_its_number() -> None:
    recording = recorded("use <secret#3> here", f"q {SECRET}")

    replay = replay_run(recording)

    assert replay.verdict == "same"
    assert "<secret#4>" in str(recording.effect(recording.interactions[1]))


def test_a_changed_step_after_matching_ones_is_told_with_its_cleaned_value() -> None:
    recording = recorded("where is it", "parcels")
    other = recorded("where is it", f"q {SECRET}")
    mixed = Recording(
        recording.header, [other.interactions[0], *recording.interactions[1:]], recording.end, source="mixed"
    )

    replay = replay_run(mixed, collect=True)

    assert replay.divergences[0].lane == "0.tool0/1"
    assert SECRET not in str(replay.divergences)
