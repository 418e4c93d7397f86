"""A secret recognised once stands in no file of the run, wherever else it was written, and replay is `same`."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.cassette.golden_cassette import read_cassette, write_cassette
from harness.cassette.segment import read_segment
from harness.cassette.store import read_recording
from harness.record.production import ProductionRecorder
from harness.record.recorder import memory_wrap
from harness.redaction.redactor import Redactor
from harness.sessions.replay import replay_run
from runtime.core.policy import Policy
from runtime.entry.agent import Agent
from runtime.entry.run import run_agent
from runtime.journal.files import JournalWriter, read_journal
from runtime.journal.recording import recording_of
from runtime.journal.recording_performer import JournalSink, RecordingPerformer
from runtime.journal.records import encode_payload
from runtime.testing.scripted import ScriptedModel, calls, says
from runtime.tools.tool import tool

SECRET = "Tr0ub4dor/and-3"
"""No rule knows its shape: only the name of a field tells it."""
PLACES = ("prompt", "argument", "result", "text", "second result", "output")
FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "base64": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "url": lambda text: quote(text, safe=""),
    "json in json": lambda text: json.dumps(json.dumps({"said": text})),
}


def in_any_form(data: bytes, secret: str = SECRET) -> list[str]:
    """Return the forms of a secret that stand in bytes, by plain search."""
    forms = {
        "plain": secret.encode(),
        "hex": secret.encode().hex().encode(),
        "url": quote(secret, safe="").encode(),
        "base64": base64.b64encode(f"user:{secret}".encode())[8:-4],
    }
    return [name for name, form in forms.items() if form in data]


class Story:
    """What a run says, with the secret told at one place and repeated in some form at all others."""

    def __init__(self, told_at: str, form: str) -> None:
        self._told_at = told_at
        self._form = form
        self.results = iter([self.at("result"), self.at("second result")])

    def at(self, place: str) -> str:
        if place == self._told_at:
            return json.dumps({"user": "root", "password": SECRET})
        return f"seen at {place}: {FORMS[self._form](SECRET)} ."

    def agent(self) -> Agent:
        @tool
        async def look(q: str) -> str:
            """Look something up."""
            return next(self.results)

        return Agent(name="demo", model="m1", tools=(look,), policy=Policy(allow=("look",)))

    def model(self) -> ScriptedModel:
        return ScriptedModel(
            [
                calls(("look", {"q": self.at("argument")})),
                calls(("look", {"q": self.at("text")})),
                says(self.at("output")),
            ]
        )


def unpacked(path: Path) -> bytes:
    segment = read_segment(path)
    return b"\n".join(encode_payload(record) for run in segment.runs for record in segment.records(run))


DRAWN = [(place, form) for place in PLACES for form in FORMS]
random.Random(11).shuffle(DRAWN)


@pytest.mark.parametrize(("told_at", "form"), DRAWN)
def test_a_value_told_once_stands_in_no_form_in_a_recording_of_memory(told_at: str, form: str) -> None:
    story = Story(told_at, form)
    sink, wrap = memory_wrap()

    run_agent(story.agent(), story.at("prompt"), model=story.model(), wrap=wrap)

    assert [in_any_form(payload) for payload in sink.payloads("")] == [[]] * len(sink.records)
    assert replay_run(sink.recording()).verdict == "same"


@pytest.mark.parametrize(("told_at", "form"), DRAWN)
def test_a_value_told_once_stands_in_no_sealed_or_golden_file(
    tmp_path: Path, told_at: str, form: str
) -> None:
    story = Story(told_at, form)
    with ProductionRecorder(tmp_path) as recorder:
        run_agent(story.agent(), story.at("prompt"), model=story.model(), wrap=recorder.wrap)
    (segment,) = tmp_path.glob("*.seg")
    recording = read_recording(segment)

    cassette = write_cassette(tmp_path / "a.cassette.json", recording)

    assert in_any_form(unpacked(segment)) == []
    assert in_any_form(cassette.read_bytes()) == []
    assert replay_run(recording).verdict == "same"
    assert replay_run(read_cassette(cassette)).verdict == "same"


@pytest.mark.parametrize("told_at", ["result", "output"])
def test_readers_of_an_open_journal_see_no_value_that_was_hidden_later(tmp_path: Path, told_at: str) -> None:
    story = Story(told_at, "plain")
    path = tmp_path / "a.jsonl"
    with JournalWriter(path) as writer:
        run_agent(
            story.agent(),
            story.at("prompt"),
            model=story.model(),
            wrap=lambda inner: RecordingPerformer(inner, JournalSink(writer), cleaner=Redactor()),
        )

    (run,) = read_journal(path)

    assert [in_any_form(payload) for payload in run.payloads] == [[]] * len(run.payloads)
    assert replay_run(recording_of(run.records)).verdict == "same"
