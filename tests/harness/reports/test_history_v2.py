"""Executions, aggregates, labels, upkeep and stored histories of earlier versions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness import load_history
from harness.cli.main import run as goldrun
from harness.reports import RunToIngest, compare, history_json, ingest, list_deploys, report_json
from harness.reports.manifest import read_manifest
from harness.reports.segments import scaled
from harness.reports.strata import level
from harness.reports.upkeep import compact, rebuild, remove, rename
from runtime.core.trace import Trace
from runtime.errors import DataError, UsageError

MakeRun = Callable[..., Trace]
STORED = Path(__file__).parent / "stored"


def test_a_rerun_with_other_content_is_a_new_execution_and_counts(tmp_path: Path, make_run: MakeRun) -> None:
    ingest([make_run("t", calls=4), make_run("u")], deploy="main", history=tmp_path)

    again = ingest([make_run("t", calls=9, stop="max_steps"), make_run("u")], deploy="main", history=tmp_path)
    runs = load_history(tmp_path)
    every = load_history(tmp_path, superseded=True)

    assert (again.added, again.duplicates, again.superseded) == (1, 1, ("req_t_0_prod",))
    assert sorted(zip(runs["task"], runs["tool_calls"], runs["execution"], strict=True)) == [
        ("t", 9, 1),
        ("u", 3, 0),
    ]
    assert len(every) == every["run_id"].nunique() == 3


def test_a_report_uses_the_newest_execution_only(tmp_path: Path, make_run: MakeRun) -> None:
    good = [make_run(f"t{i}", calls=2, passed=True) for i in range(10)]
    bad = [make_run(f"t{i}", calls=8, passed=False) for i in range(10)]
    ingest(good, deploy="a", history=tmp_path)
    ingest(good, deploy="b", history=tmp_path)
    ingest(bad, deploy="b", history=tmp_path)

    report = compare(tmp_path, baseline="a", candidate="b")

    calls = next(m for m in report.metrics if m.metric == "tool_calls")
    assert (calls.baseline, calls.candidate, report.verdict) == (20, 80, "regressed")


def test_going_back_to_earlier_content_is_an_execution_of_its_own(tmp_path: Path, make_run: MakeRun) -> None:
    for calls in (2, 5, 2):
        ingest([make_run("t", calls=calls)], deploy="a", history=tmp_path)

    assert load_history(tmp_path)[["tool_calls", "execution"]].to_numpy().tolist() == [[2, 2]]


def test_a_golden_task_recorded_anew_replaces_its_earlier_recording(
    tmp_path: Path, make_run: MakeRun
) -> None:
    ingest([make_run("t", source="golden", request_id="one")], deploy="a", history=tmp_path)
    ingest([make_run("t", source="golden", request_id="two")], deploy="a", history=tmp_path)

    assert load_history(tmp_path)["request_id"].tolist() == ["two"]


def test_aggregates_say_what_tools_and_models_did(tmp_path: Path, make_run: MakeRun) -> None:
    ingest([make_run("t", calls=3, model="m1"), make_run("u", calls=0)], deploy="a", history=tmp_path)

    tools, models = load_history(tmp_path, "tools"), load_history(tmp_path, "models")

    assert tools[["name", "calls", "executions", "errors"]].to_numpy().tolist() == [["kb.search", 3, 3, 0]]
    assert tools["duration_s"].tolist() == pytest.approx([0.3])
    assert models[["model", "calls"]].to_numpy().tolist() == [["m1", 1], ["gpt-4o", 1]]
    assert set(models["run_id"]) == set(load_history(tmp_path)["run_id"])


def test_labels_failed_rules_and_the_recording_are_kept(tmp_path: Path, make_run: MakeRun) -> None:
    trace = make_run("t")
    trace.labels.update(passed=False, failed_rules=["max_steps"], entry="chat", score=0.5)

    ingest([RunToIngest(trace=trace, recording="runs.seg#r1")], deploy="a", history=tmp_path)
    row = load_history(tmp_path).iloc[0]

    assert (row.recording, list(row.failed_rules), bool(row.passed)) == ("runs.seg#r1", ["max_steps"], False)
    assert dict(row.labels) == {
        "entry": "chat",
        "failed_rules": '["max_steps"]',
        "passed": "false",
        "score": "0.5",
    }


def test_an_imported_run_started_when_it_was_evaluated(tmp_path: Path, make_run: MakeRun) -> None:
    trace = make_run("t")
    trace.labels["evaluation_timestamp"] = "2025-05-01 10:00:00"

    ingest([trace], deploy="a", history=tmp_path)

    assert load_history(tmp_path).iloc[0].started_at.isoformat() == "2025-05-01T10:00:00+00:00"


def test_a_stratum_knows_no_numbers_dates_ids_or_addresses() -> None:
    first = level("Where is parcel 8812?  See https://a.test/x, ordered 2026-01-02 as ORD-77a1 by j@a.test")
    second = level("where is parcel 17? see http://b.test, ordered 2025-11-30 as ORD-91b2 by k@b.test")

    assert first == second
    assert level("refund parcel 8812") != level("where is parcel 8812")


def test_the_stratum_depends_on_the_message_and_not_on_the_deploy(tmp_path: Path, make_run: MakeRun) -> None:
    for deploy, model in (("a", "m1"), ("b", "m2")):
        runs = [
            RunToIngest(trace=make_run(None, request_id=f"r{i}", model=model), message=text)
            for i, text in enumerate(("where is 1?", "where is 2?", "refund 3"))
        ]
        ingest(runs, deploy=deploy, history=tmp_path)
    strata = load_history(tmp_path)["stratum"].tolist()

    assert strata[0] == strata[1] == strata[3]
    assert len(set(strata)) == 2
    assert (tmp_path / "stratum.key").stat().st_mode & 0o777 == 0o600


def test_shares_by_largest_remainder_sum_to_the_total() -> None:
    assert scaled({"a": 1, "b": 1, "c": 1}, 100) == {"a": 34, "b": 33, "c": 33}
    assert scaled({"a": 5}, None) is None
    assert scaled({}, 5) is None


@pytest.mark.parametrize("label", ["feature/faster tools", "v1.2~rc", "100 %", "ä", "..a", "deploy=x"])
def test_a_label_is_kept_as_it_is_and_its_folder_is_encoded(
    tmp_path: Path, make_run: MakeRun, label: str
) -> None:
    ingest([make_run("t")], deploy=label, history=tmp_path)

    assert list_deploys(tmp_path) == [label]
    assert load_history(tmp_path)["deploy"].tolist() == [label]
    assert len(list((tmp_path / "runs").iterdir())) == 1
    (tmp_path / "manifest.json").unlink()
    rebuild(tmp_path)
    assert list_deploys(tmp_path) == [label]


def test_a_lost_manifest_is_made_anew_from_the_files(tmp_path: Path, make_run: MakeRun) -> None:
    for label in ("a", "b/c"):
        ingest([make_run(f"t{i}") for i in range(9)], deploy=label, history=tmp_path)
    before = read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")

    found = rebuild(tmp_path)

    assert (found.parts, found.damaged) == (len(before.parts), ())
    assert read_manifest(tmp_path) == before


def test_a_rebuild_leaves_damaged_files_out_and_names_them(tmp_path: Path, make_run: MakeRun) -> None:
    ingest([make_run("t1")], deploy="a", history=tmp_path)
    ingest([make_run("t2")], deploy="a", history=tmp_path)
    part = min((tmp_path / "runs/deploy=a").iterdir())
    part.write_bytes(part.read_bytes()[:50])

    found = rebuild(tmp_path)

    assert found.damaged == (part.relative_to(tmp_path).as_posix(),)
    assert load_history(tmp_path)["task"].tolist() == ["t2"]


def test_damaged_files_are_skipped_only_when_asked(tmp_path: Path, make_run: MakeRun) -> None:
    runs = [make_run(f"t{i}") for i in range(20)]
    ingest(runs[:10], deploy="a", history=tmp_path)
    ingest(runs[10:], deploy="a", history=tmp_path)
    part = min((tmp_path / "runs/deploy=a").iterdir())
    part.write_bytes(b"torn")

    with pytest.raises(DataError, match="skip-damaged"):
        load_history(tmp_path)
    assert len(load_history(tmp_path, skip_damaged=True)) == 10
    listed = history_json(tmp_path)["deploys"][0]
    assert (listed["runs"], listed["damaged"]) == (10, [part.relative_to(tmp_path).as_posix()])


def test_removing_and_renaming_a_deploy(tmp_path: Path, make_run: MakeRun) -> None:
    ingest([make_run("t")], deploy="wrong", history=tmp_path)
    ingest([make_run("t")], deploy="v1", history=tmp_path)
    before = load_history(tmp_path, deploys=["wrong"])["run_id"].tolist()

    rename(tmp_path, "wrong", "right/name")
    assert load_history(tmp_path, deploys=["right/name"])[["run_id", "deploy"]].to_numpy().tolist() == [
        [before[0], "right/name"]
    ]
    with pytest.raises(UsageError, match="already"):
        rename(tmp_path, "right/name", "v1")
    assert remove(tmp_path, "v1") == 1
    assert list_deploys(tmp_path) == ["right/name"]
    assert not list(tmp_path.glob("runs/deploy=v1/*.parquet"))


def test_compacting_keeps_every_row_and_the_report(tmp_path: Path, make_run: MakeRun) -> None:
    for i in range(9):
        ingest([make_run(f"t{i}", calls=1 + i % 3)], deploy="a", history=tmp_path)
    ingest([make_run(f"t{i}", calls=2 + i % 3) for i in range(9)], deploy="b", history=tmp_path)
    rows = load_history(tmp_path)
    report = report_json(compare(tmp_path, baseline="a", candidate="b"))

    assert compact(tmp_path) > 0

    assert load_history(tmp_path).equals(rows)
    assert len(read_manifest(tmp_path).of("runs", "a")) == 1
    assert report_json(compare(tmp_path, baseline="a", candidate="b")) == report
    assert ingest([make_run("t0", calls=1)], deploy="a", history=tmp_path).duplicates == 1


def test_many_small_ingests_leave_few_files(tmp_path: Path, make_run: MakeRun) -> None:
    for i in range(40):
        ingest([make_run(f"t{i}")], deploy="a", history=tmp_path)

    assert len(read_manifest(tmp_path).of("runs", "a")) <= 16
    assert load_history(tmp_path)["task"].tolist() == [f"t{i}" for i in range(40)]


def test_a_history_of_version_1_is_read_reported_and_added_to(tmp_path: Path, make_run: MakeRun) -> None:
    history = tmp_path / "history"
    shutil.copytree(STORED / "v1", history)

    report = compare(history, baseline="v1", candidate="v2")
    calls = next(m for m in report.metrics if m.metric == "tool_calls")
    added = ingest([make_run("new")], deploy="v1", history=history)
    frame = load_history(history)

    assert (report.pairs.paired, calls.baseline, calls.candidate) == (12, 48, 84)
    assert {tool["tool"]: tool["candidate"]["calls"] for tool in report.by_tool} == {"kb.search": 84}
    assert (added.added, len(frame), frame["stratum"].notna().sum()) == (1, 25, 1)
    assert history_json(history)["deploys"][0]["schema_version"] == 1


def test_each_table_opens_with_duckdb_style_globs(tmp_path: Path, make_run: MakeRun) -> None:
    ingest([make_run("t")], deploy="a b", history=tmp_path)

    for table in ("runs", "calls", "tools", "models"):
        assert pq.read_table(tmp_path / table).num_rows >= 1


def test_the_history_commands_list_show_rename_and_remove(
    tmp_path: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    for calls in (1, 2):
        ingest([make_run("t", calls=calls)], deploy="a", history=tmp_path)
    there = ["--history", str(tmp_path)]

    assert goldrun(["history", "ls", "--json", *there]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert goldrun(["history", "show", "a", *there]) == 0
    shown = capsys.readouterr().out
    assert goldrun(["history", "rename", "a", "b", *there]) == 0
    assert goldrun(["history", "compact", *there]) == 0
    assert goldrun(["history", "rebuild", *there]) == 0
    assert goldrun(["history", "rm", "b", *there]) == 0
    assert goldrun(["history", "rm", "b", *there]) == 3

    assert listed["schema"] == "goldrun.history/1"
    assert (listed["deploys"][0]["label"], listed["deploys"][0]["runs"]) == ("a", 2)
    assert "superseded: req_t_0_prod execution 0" in shown
