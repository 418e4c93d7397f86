"""Credentials of the process never reach a recording, in any of their forms, and replay still matches."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.cassette.store import read_recording
from harness.record import Recorder
from harness.sessions.replay import replay_run
from runtime import Agent, ScriptedModel, run_agent, tool
from runtime.testing import calls, says

SECRET = "correct horse/battery+staple"


@tool(name="login")
def login(word: str) -> str:
    """Log in."""
    return f"{word} {base64.b64encode(word.encode()).decode()} {quote(word, safe='')} {word.encode().hex()}"


def test_a_value_of_the_environment_is_not_written_in_any_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", SECRET)
    agent = Agent(name="a", model="m", instructions=f"The key is {SECRET}.", tools=(login,))
    model = ScriptedModel([calls(("login", {"word": SECRET})), says(f"I used {SECRET}.")])

    with Recorder(tmp_path / "runs.jsonl") as recorder:
        run_agent(agent, f"Log in with {SECRET}.", model=model, wrap=recorder.wrap)

    written = (tmp_path / "runs.jsonl").read_bytes()
    forms = [
        SECRET.encode(),
        base64.b64encode(SECRET.encode()),
        quote(SECRET, safe="").encode(),
        SECRET.encode().hex().encode(),
    ]
    assert [form for form in forms if form in written] == []
    assert replay_run(read_recording(str(tmp_path / "runs.jsonl"))).verdict == "same"
