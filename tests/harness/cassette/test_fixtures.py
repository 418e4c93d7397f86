"""Files written by version 1 stay readable, and mean what they meant."""

import json
from pathlib import Path

import pytest

from harness.cassette.golden_cassette import read_cassette, write_cassette
from harness.cassette.store import SUFFIXES, iter_recordings
from harness.sessions.replay import replay_run
from runtime.core.effects import EffectKind

FIXTURES = Path(__file__).parents[2] / "fixtures" / "cassettes" / "v1"

# Never edit a line: a reader that gives another hash has changed the meaning of files that people keep.
MEANING = {
    "cut-off.cassette.json": [("req_cut", "crashed", "2f5bb55e0700657d23c2ba8377916a14")],
    "every-kind.cassette.json": [("req_example", "finish", "20de65ebdeebb9adaa9723d221a045f4")],
    "imported.cassette.json": [
        ("req_10360adafe15797e9c920c67", "finish", "595d63661b6247c331acb6cd1ebb8f6f")
    ],
    "runs.jsonl": [("req_journal", "finish", "20de65ebdeebb9adaa9723d221a045f4")],
    "runs.seg": [
        ("req_one", "finish", "20de65ebdeebb9adaa9723d221a045f4"),
        ("req_two", "crashed", "d3989bb1202338e3d4a86900198ea165"),
    ],
}
KEYS = {
    "0.model/1": "0363fe20facb682e0a689ed713e09b6c",
    "0.model/2": "0363fe20facb682e0a689ed713e09b6c",
    "1.model/1": "de934a1e0aa147872efb2b1ca8a3a414",
}


def test_each_fixture_is_known() -> None:
    assert sorted(path.name for path in FIXTURES.iterdir() if path.name.endswith(SUFFIXES)) == sorted(MEANING)


@pytest.mark.parametrize("name", MEANING)
def test_a_stored_file_reads_as_it_did(name: str) -> None:
    traces = [recording.trace() for recording in iter_recordings(FIXTURES / name)]

    assert [(trace.request_id, trace.stop_reason, trace.trace_hash) for trace in traces] == MEANING[name]


@pytest.mark.parametrize("name", ["every-kind.cassette.json", "runs.jsonl", "runs.seg#req_one"])
def test_the_keys_of_a_stored_run_are_those_of_version_1(name: str) -> None:
    (recording,) = iter_recordings(f"{FIXTURES}/{name}")

    assert {i.lane: i.key for i in recording.interactions if i.kind is EffectKind.MODEL} == KEYS


@pytest.mark.parametrize("name", [name for name in MEANING if name.endswith(".json")])
def test_a_stored_cassette_is_written_with_the_same_meaning_and_then_byte_for_byte(
    tmp_path: Path, name: str
) -> None:
    stored = read_cassette(FIXTURES / name)

    first = write_cassette(tmp_path / "first.cassette.json", stored)
    again = write_cassette(tmp_path / "again.cassette.json", read_cassette(first))

    parts = ("schema", "header", "messages", "interactions", "end")
    written = json.loads(first.read_text())
    assert [json.loads(again.read_text()).get(part) for part in parts] == [
        written.get(part) for part in parts
    ]
    assert read_cassette(first).trace() == stored.trace()
    assert [i.key for i in read_cassette(first).interactions] == [i.key for i in stored.interactions]


def test_a_stored_imported_run_still_replays_the_same() -> None:
    assert replay_run(read_cassette(FIXTURES / "imported.cassette.json")).verdict == "same"
