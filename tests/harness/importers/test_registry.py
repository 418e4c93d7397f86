import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harness.cassette.golden_cassette import read_cassette
from harness.cassette.store import iter_recordings
from harness.errors import ImportFailed
from harness.importers.registry import import_paths
from runtime.errors import ExitCode, UsageError


def run_of(text: str) -> dict[str, Any]:
    return {
        "suite_name": "banking",
        "user_task_id": "user_task_1",
        "pipeline_name": "gpt-4o",
        "utility": True,
        "messages": [
            {"role": "user", "content": "Pay the rent."},
            {"role": "assistant", "content": text, "tool_calls": None},
        ],
    }


def write_lines(path: Path, *documents: Any) -> Path:
    data = "".join(json.dumps(document) + "\n" for document in documents).encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def lined(pipeline: str, task: int, text: str) -> dict[str, Any]:
    return {"path": f"runs/{pipeline}/banking/user_task_{task}/none/none.json", "run": run_of(text)}


def test_a_file_of_lines_becomes_one_segment_and_a_single_run_one_cassette(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "banking.jsonl.gz", lined("m-drift", 1, "a"), lined("m-drift", 2, "b"))
    single = tmp_path / "one.json"
    single.write_text(json.dumps(run_of("ok")))

    summary = import_paths("agentdojo", [lines, single], tmp_path / "out", deploy="d1")

    assert [path.name for path in summary.files] == ["m-drift-banking.seg", "one.cassette.json"]
    assert (summary.runs, summary.replayable, summary.skipped, summary.exit_code) == (3, 3, [], ExitCode.OK)
    assert [r.header.deploy for r in iter_recordings(tmp_path / "out")] == ["d1"] * 3
    assert read_cassette(tmp_path / "out" / "one.cassette.json").trace().output == "ok"


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "a.jsonl", lined("m", 1, "a"), lined("n", 1, "b"))
    out = tmp_path / "out"
    first = import_paths("agentdojo", [lines], out)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()}

    second = import_paths("agentdojo", [lines], out)

    assert second.files == first.files == [out / "a.seg"]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()} == before


def test_two_files_with_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    for family, text in (("agentdyn", "a"), ("drift", "b")):
        (tmp_path / family / "m").mkdir(parents=True)
        write_lines(tmp_path / family / "m" / "banking.jsonl", lined("m", 1, text))

    summary = import_paths("agentdojo", [tmp_path / "agentdyn", tmp_path / "drift"], tmp_path / "out")

    assert [path.name for path in summary.files] == ["m-banking.seg", "drift-m-banking.seg"]


def test_a_run_that_stands_in_a_file_twice_is_imported_once(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "a.jsonl", lined("m", 1, "a"), lined("m", 1, "a"))

    summary = import_paths("agentdojo", [lines], tmp_path / "out")

    assert (summary.runs, len(summary.skipped)) == (1, 1)


def test_what_is_no_run_is_skipped_and_counted(tmp_path: Path) -> None:
    other = tmp_path / "index.json"
    other.write_text('[{"file": "x"}]')
    lines = write_lines(tmp_path / "a.jsonl", {"not": "a run"}, lined("m", 1, "a"))

    summary = import_paths("agentdojo", [other, lines], tmp_path / "out")

    assert (summary.runs, len(summary.skipped), summary.exit_code) == (1, 2, ExitCode.OK)
    assert "line 1" in summary.skipped[1]


@pytest.mark.parametrize("damage", ["line", "gzip", "cut", "empty"])
def test_a_damaged_file_is_told_after_the_others_and_leaves_nothing(tmp_path: Path, damage: str) -> None:
    good = write_lines(tmp_path / "z.jsonl", lined("m", 1, "a"))
    bad = write_lines(tmp_path / "bad.jsonl.gz", lined("n", 1, "a"), lined("n", 2, "b"))
    whole = bad.read_bytes()
    bad.write_bytes(
        {
            "line": gzip.compress(gzip.decompress(whole)[:-10] + b"\n"),
            "gzip": b"not gzip at all",
            "cut": whole[:-12],
            "empty": b"",
        }[damage]
    )

    summary = import_paths("agentdojo", [bad, good], tmp_path / "out")

    assert summary.exit_code == ExitCode.DATA
    assert [fault.where is not None and str(bad) in fault.where for fault in summary.damaged] == [True]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m-banking.seg"]


def test_an_unknown_format_or_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="known formats are agentdojo"):
        import_paths("agentdoja", [tmp_path], tmp_path)
    with pytest.raises(ImportFailed, match="no such file"):
        import_paths("agentdojo", [tmp_path / "nope.json"], tmp_path)
