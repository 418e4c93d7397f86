"""Recordings whose header has version 1 mean what they meant, and replay by that header alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cassette.golden_cassette import read_cassette, write_cassette
from harness.sessions.replay import replay_run

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests" / "fixtures" / "v1"
CASSETTES = sorted([*(ROOT / "cassettes").rglob("*.cassette.json"), *FIXTURES.glob("*.cassette.json")])

# Never edit a line: policy hash and trace hash are those that version 1 gave these files.
MEANING = {
    "late_parcel": ("5e2fbc5f4d971b226bcb1222411d4102", "dca217cb270526d567b7a3f77e6fd8fa"),
    "refund_with_approval": ("f3abd9c1b775e88ad37a3248f1ea9162", "e7897d682a0020d5b9e7c2ccd66108e2"),
    "loop": ("8a201493cab73696baa84cd8aae9cd64", "53f72db40fc896387f50428b7bacac79"),
}


@pytest.mark.parametrize("name", MEANING)
def test_a_recording_of_version_1_has_its_hashes_and_replays_the_same(name: str) -> None:
    path = FIXTURES / f"{name}.cassette.json"
    recording = read_cassette(path)

    assert json.loads(path.read_text(encoding="utf-8"))["header"]["version"] == 1
    assert (recording.header.policy_hash, recording.trace().trace_hash) == MEANING[name]
    assert replay_run(recording).verdict == "same"


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_each_cassette_of_the_project_replays_the_same_by_its_header_alone(path: Path) -> None:
    assert replay_run(read_cassette(path)).verdict == "same"


@pytest.mark.parametrize("name", MEANING)
def test_a_recording_of_version_1_is_written_as_version_2_with_the_same_meaning(
    name: str, tmp_path: Path
) -> None:
    old = read_cassette(FIXTURES / f"{name}.cassette.json")

    path = write_cassette(tmp_path / "new.cassette.json", old)

    new = read_cassette(path)
    assert json.loads(path.read_text(encoding="utf-8"))["header"]["version"] == 2
    assert (new.header, new.trace()) == (old.header, old.trace())
    assert replay_run(new).verdict == "same"
