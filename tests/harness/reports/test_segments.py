"""Prompt segments of a recorded run: from the recorded messages to the rows of the history."""

from __future__ import annotations

from pathlib import Path

from harness import load_history
from harness.cassette.store import iter_recordings
from harness.reports import ingest, recorded_run

CASSETTES = Path(__file__).parents[3] / "cassettes"


def test_the_segments_of_a_call_sum_to_its_billed_input(tmp_path: Path) -> None:
    runs = [recorded_run(recording, recording.source) for recording in iter_recordings(CASSETTES)]

    ingest(runs, deploy="a", history=tmp_path)
    calls = load_history(tmp_path, "calls")
    told = calls[calls["segments"].notna()]

    assert len(told) > 0
    for segments, billed in zip(told["segments"], told["input_tokens"], strict=True):
        assert sum(count for _, count in segments) == billed


def test_the_segments_of_a_run_sum_to_its_cost(tmp_path: Path) -> None:
    runs = [recorded_run(recording) for recording in iter_recordings(CASSETTES)]

    ingest(runs, deploy="a", history=tmp_path)
    cost = load_history(tmp_path).set_index("run_id")["cost_nanousd"]
    segments = load_history(tmp_path, "segments")
    sums = segments.groupby("run_id")["cost_nanousd"].sum()
    priced = [run_id for run_id in sums.index if cost[run_id] > 0]

    assert priced
    assert {sums[run_id] - cost[run_id] for run_id in priced} == {0}
    names = set(segments["segment"])
    assert {"conversation", "output"} <= names
    assert any(name.startswith("result:") for name in names)
