import csv
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cassette.store import iter_recordings
from harness.importers.registry import import_paths
from harness.sessions.replay import replay_run
from runtime.core.trace import Trace

REAL = Path(__file__).parents[3].parent / "shared" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real data set is not here")


def measured(trace: Trace) -> dict[str, str]:
    streak = longest = 0
    last: tuple[str, str] | None = None
    for step in trace.tool_calls:
        streak = streak + 1 if (step.name, step.args_hash) == last else 1
        last = (step.name, step.args_hash)
        longest = max(longest, streak)
    sequence = "|".join(step.name for step in trace.tool_calls)
    failed = {"error", "denied", "unknown_tool", "invalid_arguments"}
    return {
        "turns": str(trace.totals.steps),
        "tool_calls": str(trace.totals.tool_calls),
        "end": trace.stop_reason,
        "longest_same_call_streak": str(longest),
        "tool_seq_sha256_12": hashlib.sha256(sequence.encode()).hexdigest()[:12],
        "denies": str(trace.totals.denials),
        "tool_errors": str(sum(step.status in failed for step in trace.tool_calls)),
        "utility": str(trace.labels["passed"]),
        "security": str(trace.labels["security"]),
        "total_tokens": str(trace.totals.total_tokens or ""),
    }


def truth_rows() -> Iterator[dict[str, str]]:
    with gzip.open(REAL / "runs-ground-truth.csv.gz", "rt") as file:
        yield from csv.DictReader(file)


@needs_real
def test_all_samples_import_replay_and_fit_their_index(tmp_path: Path) -> None:
    index = {row["file"]: row for row in json.loads((REAL / "runs/samples/index.json").read_text())}

    summary = import_paths("agentdojo", [REAL / "runs/samples"], tmp_path)

    assert (summary.runs, summary.replayable, len(summary.skipped), summary.damaged) == (36, 36, 1, [])
    for recording in iter_recordings(tmp_path):
        trace = recording.trace()
        row = index[Path(recording.source).name.replace(".cassette.json", ".json")]
        found = measured(trace)
        assert int(found["turns"]) == row["turns"]
        assert int(found["tool_calls"]) == row["tool_calls"]
        assert int(found["longest_same_call_streak"]) == row["longest_same_call_streak"]
        assert int(found["denies"]) == row["policy_denies"]
        assert found["end"] == row["end"]
        assert (trace.labels["passed"], trace.labels["security"]) == (row["utility"], row["security"])
        assert replay_run(recording).verdict == "same"


@needs_real
def test_a_whole_real_segment_fits_the_ground_truth(tmp_path: Path) -> None:
    source = REAL / "runs/agentdyn/gpt-4o-mini-2024-07-18/shopping.jsonl.gz"
    rows = {
        row["task"]: row
        for row in truth_rows()
        if (row["family"], row["pipeline"], row["suite"])
        == ("agentdyn", "gpt-4o-mini-2024-07-18", "shopping")
    }

    summary = import_paths("agentdojo", [source], tmp_path)

    assert (summary.runs, summary.skipped, len(rows)) == (209, [], 209)
    for recording in iter_recordings(summary.files[0]):
        assert recording.header.task is not None
        row = rows[recording.header.task.split("/", 1)[1]]
        found = measured(recording.trace())
        assert found == {name: row[name] for name in found}


@needs_real
@pytest.mark.skipif(not os.environ.get("GOLDRUN_FULL"), reason="takes minutes; set GOLDRUN_FULL=1")
def test_all_real_runs_fit_the_ground_truth_and_replay(tmp_path: Path) -> None:
    rows = {(r["family"], r["pipeline"], r["suite"], r["task"]): r for r in truth_rows()}
    assert len(rows) == 10_489

    for family in ("agentdyn", "drift"):
        out = tmp_path / family
        summary = import_paths("agentdojo", [REAL / "runs" / family], out)
        assert (summary.skipped, summary.damaged) == ([], [])
        for recording in iter_recordings(out):
            header = recording.header
            assert header.task is not None
            suite, task = header.task.split("/", 1)
            row = rows.pop((family, str(header.labels["pipeline"]), suite, task))
            found = measured(recording.trace())
            assert found == {name: row[name] for name in found}
            verdict = replay_run(recording).verdict
            assert verdict == ("same" if header.assert_only is None else "assert-only"), header.task
    assert rows == {}
