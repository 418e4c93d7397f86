"""Imported real runs replay through the real orchestrator, and an edited recording does not."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cassette.golden_document import content_root
from harness.cassette.store import iter_recordings
from harness.cli.main import run
from harness.importers.registry import import_paths
from harness.sessions.replay import RunReplay, replay_run

REAL = Path(__file__).parents[3].parent / "shared" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the recorded runs (../shared/real) are not here")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("samples")
    summary = import_paths("agentdojo", sorted((REAL / "runs/samples").glob("*.json")), out)
    assert (summary.runs, len(summary.skipped)) == (36, 1)
    return out


def _recorded_calls(file: Path) -> list[tuple[str, Any]]:
    run_log = json.loads(file.read_text())
    run_log = run_log.get("run", run_log)
    messages = run_log.get("messages") or run_log.get("conversations")
    return [
        (call["function"], call["args"])
        for message in messages
        if message["role"] == "assistant"
        for call in message.get("tool_calls") or []
    ]


@needs_real
def test_all_samples_replay_the_same_with_the_recorded_calls(samples: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    import_paths("agentdojo", sorted((REAL / "runs/samples").glob("*.json")), plain, redact=False)
    for recording in iter_recordings(plain):
        replay = replay_run(recording)
        assert replay.trace is not None
        source = REAL / "runs/samples" / Path(recording.source).name.replace(".cassette.json", ".json")
        assert replay.verdict == "same", recording.source
        assert [(c.name, c.arguments) for c in replay.trace.tool_calls] == _recorded_calls(source)

    assert [replay_run(r).verdict for r in iter_recordings(samples)] == ["same"] * 36


@needs_real
def test_a_whole_file_of_runs_replays_the_same_and_ends_as_the_ground_truth_says(tmp_path: Path) -> None:
    import_paths("agentdojo", [REAL / "runs/agentdyn/gpt-4o-mini-2024-07-18/shopping.jsonl.gz"], tmp_path)
    with gzip.open(REAL / "runs-ground-truth.csv.gz", "rt") as file:
        truth = {
            f"{row['suite']}/{row['task']}": row
            for row in csv.DictReader(file)
            if row["family"] == "agentdyn"
            and row["pipeline"] == "gpt-4o-mini-2024-07-18"
            and row["suite"] == "shopping"
        }

    replays = [replay_run(r) for r in iter_recordings(tmp_path)]

    assert len(replays) == 209
    assert {r.verdict for r in replays} == {"same"}
    for replay in replays:
        assert replay.trace is not None
        row = truth[replay.recording.header.task or ""]
        assert replay.trace.stop_reason == row["end"]
        assert replay.trace.totals.tool_calls == int(row["tool_calls"])


def _edited(
    samples: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None], *, seal: bool
) -> RunReplay:
    document = json.loads((samples / "finish-short-3.cassette.json").read_text())
    edit(document)
    if seal:
        document["root"] = content_root(document)
    path = tmp_path / "edited.cassette.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    (recording,) = iter_recordings(path, allow_edited=not seal)
    return replay_run(recording)


def _word_of_a_message(document: dict[str, Any]) -> None:
    told = next(m for m in document["messages"] if m["role"] == "tool")
    told["parts"][0]["response"] = "changed word"


def _argument(document: dict[str, Any]) -> None:
    call = next(i for i in document["interactions"] if i["kind"] == "tool")
    call["request"]["arguments"]["planted"] = "another value"


def _result(document: dict[str, Any]) -> None:
    call = next(i for i in document["interactions"] if i["kind"] == "tool")
    call["outcome"]["content"] = "another result"


@needs_real
@pytest.mark.parametrize("seal", [True, False], ids=["sealed-again", "root-left"])
@pytest.mark.parametrize(
    ("edit", "lane", "path"),
    [
        (_word_of_a_message, "1.model/1", "messages["),
        (_argument, "0.tool0/1", "arguments.planted"),
        (_result, "1.model/1", "messages["),
    ],
    ids=["message", "argument", "result"],
)
def test_one_changed_value_of_a_recording_is_named_with_lane_and_path(
    samples: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None], lane: str, path: str, seal: bool
) -> None:
    replay = _edited(samples, tmp_path, edit, seal=seal)

    first = replay.divergences[0]
    assert replay.verdict == "diverged"
    assert (first.verdict, first.lane) == ("changed", lane)
    assert (first.path or "").startswith(path)


@needs_real
def test_an_edit_that_replay_cannot_tell_is_still_a_divergence(samples: Path, tmp_path: Path) -> None:
    def relabel(document: dict[str, Any]) -> None:
        document["header"]["agent"] = "another agent"

    replay = _edited(samples, tmp_path, relabel, seal=False)

    assert [(d.lane, d.path) for d in replay.divergences] == [("begin", "root")]


@needs_real
def test_the_commands_import_and_replay_real_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(f) for f in sorted((REAL / "runs/samples").glob("*.json"))]

    imported = run(["import", "agentdojo", *files, "--out", str(tmp_path)])
    capsys.readouterr()
    replayed = run(["replay", str(tmp_path), "--json"])

    document = json.loads(capsys.readouterr().out)
    assert (imported, replayed) == (0, 0)
    assert document["schema"] == "goldrun.replay/1"
    assert document["totals"] | {"seconds": 0} == {
        "runs": 36,
        "same": 36,
        "diverged": 0,
        "assert_only": 0,
        "errors": 0,
        "effects": document["totals"]["effects"],
        "seconds": 0,
    }
