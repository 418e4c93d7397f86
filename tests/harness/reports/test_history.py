"""The history: what is stored, stored once, and never read damaged."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import load_history
from harness.reports import compare, ingest, list_deploys, report_json
from harness.reports.manifest import Manifest, Part, read_manifest, write_manifest
from harness.reports.schema import column_names
from runtime.core.trace import Trace
from runtime.errors import DataError, UsageError
from tests.support.counts import examples

MakeRun = Callable[..., Trace]

RUNS = (
    "run_id, request_id, source, deploy, git_sha, environment, tenant, agent, agent_version, suite, task, repeat,"
    " model, prompt_hash, tools_hash, policy_hash, cassette_hash, started_at, duration_s, model_s, tool_s, steps,"
    " model_calls, tool_calls, retries, denials, approvals, errors, loops, stop_reason, stop_class, passed,"
    " input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, total_tokens,"
    " cost_nanousd, price_table, trace_hash, tool_executions, in_doubt, parent,"
    " recording, execution, failed_rules, labels, stratum"
)
CALLS = (
    "run_id, seq, step, lane, kind, name, status, attempt, write, effect_key, args_hash, result_hash,"
    " idempotency_key, model, started_offset_s, duration_s, input_tokens, output_tokens, cache_read_tokens,"
    " cache_write_tokens, reasoning_tokens, cost_nanousd, error_type, step_hash, segments"
)


def _part(history: Path, table: str = "runs") -> Path:
    return next((history / table).glob("deploy=*/part-*.parquet"))


def test_the_columns_are_those_of_the_contract() -> None:
    assert list(column_names("runs")) == RUNS.split(", ")
    assert list(column_names("calls")) == CALLS.split(", ")


def test_money_is_a_nullable_integer_and_the_version_is_in_the_file(
    tmp_path: Path, make_run: MakeRun
) -> None:
    ingest([make_run("t1", cost=None)], deploy="a", history=tmp_path)

    stored = pq.ParquetFile(_part(tmp_path))

    assert stored.schema_arrow.field("cost_nanousd").type == pa.int64()
    assert stored.schema_arrow.metadata[b"goldrun.schema"] == b"runs/2"
    assert stored.metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_run_comes_back_as_it_was(tmp_path: Path, make_run: MakeRun) -> None:
    trace = make_run(
        "t1", calls=2, passed=True, stop="tool_timeout:kb.search", started_at="2026-01-02T03:04:05Z"
    )

    ingest([trace], deploy="a", history=tmp_path, git_sha="abc", cassette_hashes={trace.request_id: "h1"})
    run = load_history(tmp_path).iloc[0]
    calls = load_history(tmp_path, "calls")

    assert (run.task, run.deploy, run.git_sha, run.cassette_hash) == ("t1", "a", "abc", "h1")
    assert (run.tool_calls, run.cost_nanousd, run.stop_class) == (2, 2_000_000, "tool")
    assert run.started_at.isoformat() == "2026-01-02T03:04:05+00:00"
    assert bool(run.passed) is True
    assert calls["kind"].tolist() == ["model", "tool", "tool"]
    assert calls["seq"].tolist() == [0, 1, 2]
    assert calls["name"].tolist() == ["gpt-4o", "kb.search", "kb.search"]
    assert set(calls["run_id"]) == {run.run_id}


def test_an_unknown_price_stays_unknown(tmp_path: Path, make_run: MakeRun) -> None:
    ingest([make_run("t1", cost=None), make_run("t2", cost=0)], deploy="a", history=tmp_path)

    assert load_history(tmp_path)["cost_nanousd"].isna().tolist() == [True, False]


def test_ingesting_twice_changes_nothing(tmp_path: Path, make_run: MakeRun) -> None:
    traces = [make_run(f"t{i}") for i in range(5)]
    ingest(traces, deploy="a", history=tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    again = ingest([*traces, traces[0]], deploy="a", history=tmp_path)

    assert (again.added, again.duplicates) == (0, 6)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_one_recording_under_two_labels_is_two_runs(tmp_path: Path, make_run: MakeRun) -> None:
    traces = [make_run(f"t{i}") for i in range(9)]

    ingest(traces, deploy="a", history=tmp_path)
    ingest(traces, deploy="b", history=tmp_path)

    assert load_history(tmp_path)["run_id"].nunique() == 18
    assert compare(tmp_path, baseline="a", candidate="b").verdict == "ok"


def test_batches_are_written_as_several_files(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.reports.writing.BATCH_RUNS", 4)

    ingest((make_run(f"t{i}") for i in range(10)), deploy="a", history=tmp_path)

    assert len(list(tmp_path.glob("runs/deploy=a/part-*.parquet"))) == 3
    assert load_history(tmp_path)["task"].tolist() == [f"t{i}" for i in range(10)]


def test_a_failed_ingest_leaves_the_history_as_it_was(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.reports.writing.BATCH_RUNS", 2)
    ingest([make_run("t0")], deploy="a", history=tmp_path)
    before = sorted(p for p in tmp_path.rglob("*") if p.is_file())

    def broken() -> Iterator[Trace]:
        yield from (make_run(f"t{i}") for i in range(1, 6))
        yield make_run("t9", stop="no such reason")

    with pytest.raises(DataError, match="no such reason"):
        ingest(broken(), deploy="a", history=tmp_path)

    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == before
    assert len(load_history(tmp_path)) == 1


@pytest.mark.parametrize("label", ["", ".", "..", " a", "x" * 200, "a\n", "a\0"])
def test_labels_that_cannot_stand_in_a_path_are_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(UsageError, match="deploy label"):
        ingest([], deploy=label, history=tmp_path)


def test_an_unknown_deploy_names_the_known_ones(tmp_path: Path, make_run: MakeRun) -> None:
    ingest([make_run("t1")], deploy="v1", history=tmp_path)
    ingest([make_run("t1")], deploy="v2", history=tmp_path)

    with pytest.raises(DataError, match=r"'v3'.*v1, v2"):
        compare(tmp_path, baseline="v1", candidate="v3")
    with pytest.raises(DataError, match=r"\.\./v1"):
        load_history(tmp_path, deploys=["../v1"])
    assert list_deploys(tmp_path) == ["v1", "v2"]


def test_an_empty_history_has_no_deploys_and_an_empty_frame(tmp_path: Path) -> None:
    assert list_deploys(tmp_path) == []
    assert list(load_history(tmp_path).columns) == list(column_names("runs"))


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, make_run: MakeRun, damage: str) -> None:
    ingest([make_run(f"t{i}") for i in range(9)], deploy="a", history=tmp_path)
    part = _part(tmp_path)
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data if damage == "flip" else data[:100])
    if damage == "delete":
        part.unlink()

    with pytest.raises(DataError, match=part.name):
        compare(tmp_path, baseline="a", candidate="a")
    with pytest.raises(DataError, match=part.name):
        ingest([make_run("t1")], deploy="a", history=tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"schema": "other/1", "parts": []}'])
def test_a_damaged_manifest_is_an_error_and_not_an_empty_history(
    tmp_path: Path, make_run: MakeRun, text: str
) -> None:
    ingest([make_run("t1")], deploy="a", history=tmp_path)
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(DataError, match="manifest"):
        list_deploys(tmp_path)


def test_a_missing_manifest_beside_files_is_an_error(tmp_path: Path, make_run: MakeRun) -> None:
    ingest([make_run("t1")], deploy="a", history=tmp_path)
    (tmp_path / "manifest.json").unlink()

    with pytest.raises(DataError, match="manifest is missing"):
        load_history(tmp_path)


def test_files_of_an_interrupted_ingest_are_not_read(tmp_path: Path, make_run: MakeRun) -> None:
    ingest([make_run("t1")], deploy="a", history=tmp_path)
    (tmp_path / "runs" / "deploy=a" / "part-00009-abc.parquet").write_bytes(b"torn")

    assert len(load_history(tmp_path)) == 1


def test_two_processes_that_ingest_at_once_lose_nothing(tmp_path: Path, make_run: MakeRun) -> None:
    context = multiprocessing.get_context("spawn")
    groups = [[make_run(f"t{i}-{k}") for k in range(5)] for i in range(2)]
    workers = [context.Process(target=_ingest, args=(tmp_path, group)) for group in groups]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0, 0]
    assert load_history(tmp_path)["run_id"].nunique() == len(load_history(tmp_path)) == 10


def _ingest(history: Path, traces: list[Trace]) -> None:
    ingest(traces, deploy="a", history=history)


def _add_part(history: Path, data: pa.Table, deploy: str) -> None:
    import hashlib

    folder = history / "runs" / f"deploy={deploy}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "part-00000-stored.parquet"
    listed = read_manifest(history).parts
    pq.write_table(data, path)
    raw = path.read_bytes()
    part = Part(
        path=path.relative_to(history).as_posix(),
        table="runs",
        deploy=deploy,
        rows=data.num_rows,
        size_bytes=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
    )
    write_manifest(history, Manifest(parts=(*listed, part)))


def test_files_of_other_versions_are_read_with_the_unified_schema(tmp_path: Path, make_run: MakeRun) -> None:
    ingest([make_run("t1")], deploy="old", history=tmp_path)
    full = pq.ParquetFile(_part(tmp_path)).read()
    older = full.drop_columns(["parent", "in_doubt"])
    newer = full.append_column("later", pa.array(["x"]))

    _add_part(tmp_path, older, "v0")
    _add_part(tmp_path, newer, "v2")
    frame = load_history(tmp_path).set_index("deploy")

    assert list(load_history(tmp_path).columns) == list(column_names("runs"))
    assert len(frame) == 3
    assert frame["in_doubt"].isna().sum() == 1


def test_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("run_id", pa.int64())], metadata={"goldrun.schema": "runs/1"})
    _add_part(tmp_path, pa.table({"run_id": [1]}, schema=schema), "a")

    with pytest.raises(DataError, match=r"run_id.*int64"):
        load_history(tmp_path)


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    _add_part(tmp_path, pa.table({"run_id": ["x"]}), "a")

    with pytest.raises(DataError, match="marked"):
        load_history(tmp_path)


def test_other_readers_can_open_a_table_folder(tmp_path: Path, make_run: MakeRun) -> None:
    import pandas as pd

    ingest([make_run("t1")], deploy="v1", history=tmp_path)
    ingest([make_run("t1")], deploy="v2", history=tmp_path)

    assert sorted(pd.read_parquet(tmp_path / "runs")["deploy"]) == ["v1", "v2"]


@settings(max_examples=examples(4, 40))
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 12), max_size=3))
def test_order_and_portions_of_ingesting_do_not_change_the_report(
    make_run: MakeRun, seed: int, cuts: list[int]
) -> None:
    traces = [make_run(f"t{i}", calls=1 + i % 5, cost=10**6 * (1 + i % 7)) for i in range(12)]
    later = [make_run(f"t{i}", calls=1 + i % 4, cost=10**6 * (1 + i % 9)) for i in range(12)]
    shuffled = random.Random(seed).sample(traces, len(traces))
    edges = [0, *sorted(cuts), len(traces)]

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        ingest(traces, deploy="a", history=Path(one))
        ingest(later, deploy="b", history=Path(one))
        for start, stop in pairwise(edges):
            ingest(shuffled[start:stop], deploy="a", history=Path(two))
            ingest(shuffled[start:stop], deploy="a", history=Path(two))
        ingest(later[::-1], deploy="b", history=Path(two))
        reports = [report_json(compare(Path(h), baseline="a", candidate="b")) for h in (one, two)]

    assert reports[0] == reports[1]
