"""Names of secrets in production recordings: one in all runs under a key that stays where it is."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cassette.segment import read_segment
from harness.record import ProductionRecorder, Settings
from harness.redaction.pseudonyms import KEY_FILE, Keyed
from harness.sessions.redactors import redactor_for
from harness.sessions.replay import agent_setup, replay_run
from runtime.entry.run import Request, run_agent_async
from runtime.errors import UsageError
from runtime.testing import ScriptedModel
from tests.support.agents import Prices, Shop, shop_agent

SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"[:36]


def say_a_secret(recorder: ProductionRecorder, name: str) -> None:
    request = Request(
        prompt=f"my key is {SECRET}", request_id=name, tenant="acme", environment="prod", deploy="v1"
    )
    model = ScriptedModel(["I keep it."])
    asyncio.run(
        run_agent_async(shop_agent(Shop()), request, model=model, wrap=recorder.wrap, prices=Prices())
    )


def test_a_secret_has_one_name_in_all_runs_and_replays_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOLDRUN_REDACTION_KEY", raising=False)
    for worker in ("a", "b"):
        with ProductionRecorder(tmp_path, worker=worker) as recorder:
            say_a_secret(recorder, f"req_{worker}")

    found = [recording for path in sorted(tmp_path.glob("*.seg")) for recording in read_segment(path)]
    names = {re.search(r"<secret:[0-9a-f]{8}>", repr(recording.header.input))[0] for recording in found}  # type: ignore[index]
    key = (tmp_path / KEY_FILE).read_bytes()
    assert len(found) == 2
    assert len(names) == 1
    assert {recording.header.redaction_key for recording in found} == {Keyed(key).key_id}
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert not any(
        SECRET.encode() in path.read_bytes() or key in path.read_bytes() for path in tmp_path.glob("*.seg")
    )
    assert all(redactor_for(r, {}).text(SECRET) in names for r in found)  # type: ignore[union-attr]
    (tmp_path / KEY_FILE).unlink()
    assert not any(redactor_for(r, {}).text(SECRET) in names for r in found)  # type: ignore[union-attr]
    assert [replay_run(recording).verdict for recording in found] == ["same", "same"]


def test_the_key_of_the_environment_wins_and_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDRUN_REDACTION_KEY", "k" * 20)
    with ProductionRecorder(tmp_path) as recorder:
        say_a_secret(recorder, "req_1")

    (path,) = tmp_path.iterdir()
    (recording,) = read_segment(path)
    assert recording.header.redaction_key == Keyed(b"k" * 20).key_id
    assert redactor_for(recording, os.environ).text(SECRET) in repr(recording.header.input)  # type: ignore[union-attr]


def test_a_short_key_is_refused_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDRUN_REDACTION_KEY", "short")

    with pytest.raises(UsageError, match="fewer than"):
        ProductionRecorder(tmp_path)


def test_a_key_file_that_cannot_be_used_stops_the_start_or_not_by_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOLDRUN_REDACTION_KEY", raising=False)
    (tmp_path / KEY_FILE).mkdir(mode=0o700)

    with pytest.raises(UsageError, match="redaction key cannot be read"):
        ProductionRecorder(tmp_path)
    with pytest.warns(RuntimeWarning, match="no other process gives"):
        recorder = ProductionRecorder(tmp_path, settings=Settings(on_failure="drop"))
    with recorder:
        say_a_secret(recorder, "req_1")
    (recording,) = (r for path in tmp_path.glob("*.seg") for r in read_segment(path))
    assert recording.header.redaction_key
    assert SECRET not in repr(recording.header.input)


def test_a_secret_of_the_agent_itself_replays_where_the_key_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOLDRUN_REDACTION_KEY", raising=False)
    agent = replace(shop_agent(Shop()), instructions=f"Use the key {SECRET}.")
    request = Request(prompt="sell", request_id="req_1")
    with ProductionRecorder(tmp_path) as recorder:
        model = ScriptedModel(["sold"])
        asyncio.run(run_agent_async(agent, request, model=model, wrap=recorder.wrap, prices=Prices()))

    (recording,) = (r for path in tmp_path.glob("*.seg") for r in read_segment(path))
    setup = agent_setup(agent, request, recording.header)
    assert SECRET not in repr(recording.header)
    assert replay_run(recording, setup=setup).verdict == "same"
    (tmp_path / KEY_FILE).unlink()
    assert replay_run(recording, setup=setup).verdict == "diverged"
