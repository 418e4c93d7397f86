"""Baselines: stable files beside their tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness.errors import TaskError
from harness.golden.baseline import (
    baseline_bytes,
    baseline_path,
    compare_traces,
    missing_fields,
    normalised,
    read_baseline,
    write_baseline,
)
from runtime.core.trace import ApprovalEntry, Trace

MakeTrace = Callable[..., Trace]
SEARCH, CREATE = ("kb.search", {"q": "é\ud800"}), ("ticket.create", {"order": "8812"})


def test_a_baseline_stands_beside_its_task() -> None:
    assert baseline_path(Path("golden/a/b.golden.yaml")) == Path("golden/a/b.trace.json")


def test_what_is_written_is_read_back(make_trace: MakeTrace, tmp_path: Path) -> None:
    trace, path = make_trace([("kb.search", {"q": "é"})], [CREATE]), tmp_path / "new" / "b.trace.json"

    assert write_baseline(path, trace) is True

    stored = read_baseline(None, path)
    assert stored == normalised(trace)
    assert compare_traces(stored, trace) is None
    assert stored.totals.cost_nanousd == trace.totals.cost_nanousd
    assert [p.name for p in path.parent.iterdir()] == ["b.trace.json"]


def test_runs_that_differ_in_times_and_identity_alone_have_one_baseline(make_trace: MakeTrace) -> None:
    trace = make_trace([SEARCH], [("ticket.create", {"order": "8812"}, {"key": "idem_a"})])
    other = make_trace([SEARCH], [("ticket.create", {"order": "8812"}, {"key": "idem_b"})])
    other = msgspec.structs.replace(
        other, deploy="d2", run_id="run_2", started_at="2026-11-22T09:00:00Z", repeat=3
    )

    assert baseline_bytes(trace) == baseline_bytes(other)


def test_an_unchanged_baseline_is_not_written_again(make_trace: MakeTrace, tmp_path: Path) -> None:
    path = tmp_path / "b.trace.json"
    write_baseline(path, make_trace([CREATE]))
    before = path.stat().st_mtime_ns

    assert write_baseline(path, make_trace([CREATE])) is False
    assert path.stat().st_mtime_ns == before
    assert write_baseline(path, make_trace([CREATE], [CREATE])) is True


def test_a_missing_baseline_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"missing[\s\S]*--golden-update=new"):
        read_baseline(None, tmp_path / "b.trace.json")


TRACE_HEAD = '{"schema": "goldrun.trace/1"'


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"schema": "x"}', TRACE_HEAD + "}", TRACE_HEAD + ', "steps": [1]}']
)
def test_a_damaged_baseline_is_an_error_and_no_empty_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b.trace.json"
    path.write_text(text)

    with pytest.raises(TaskError, match="damaged"):
        read_baseline(None, path)


def test_a_baseline_is_a_trace_document(make_trace: MakeTrace) -> None:
    document = json.loads(baseline_bytes(make_trace([CREATE])))

    assert document["schema"] == "goldrun.trace/1"
    assert document["steps"][0]["model"]["cost_usd"] == "0.001000000"
    assert document["steps"][0]["tool_calls"][0]["idempotency_key"] is None


@pytest.mark.parametrize(
    ("turns", "output", "stop", "place"),
    [
        ([[("kb.search", {"q": "x"})]], "done", "finish", None),
        ([[("kb.search", {"q": "y"})]], "done", "finish", "step 0, call 1"),
        ([[("kb.search", {"q": "x"}, {"result": "other"})]], "done", "finish", "step 0, call 1"),
        ([[("kb.search", {"q": "x"})]], "other", "finish", "step 1, model"),
        ([[("kb.search", {"q": "x"})]], "done", "max_steps", "stop reason"),
    ],
)
def test_the_first_difference_is_found(
    make_trace: MakeTrace,
    turns: list[list[tuple[str, dict[str, str]]]],
    output: str,
    stop: str,
    place: str | None,
) -> None:
    baseline = make_trace([("kb.search", {"q": "x"})], output="done")

    found = compare_traces(baseline, make_trace(*turns, output=output, stop=stop))

    assert (None if found is None else found.place) == place


def _changed_call(trace: Trace, **changes: object) -> Trace:
    (first, *rest) = trace.steps
    call = msgspec.structs.replace(first.tool_calls[0], **changes)
    step = msgspec.structs.replace(first, tool_calls=(call, *first.tool_calls[1:]))
    return msgspec.structs.replace(trace, steps=(step, *rest))


def _with_totals(trace: Trace, **changes: object) -> Trace:
    return msgspec.structs.replace(trace, totals=msgspec.structs.replace(trace.totals, **changes))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda t: _changed_call(t, attempts=4), "step 0, call 1"),
        (lambda t: _changed_call(t, write=False), "step 0, call 1"),
        (lambda t: msgspec.structs.replace(t, approvals=()), "approvals"),
        (lambda t: _with_totals(t, tool_executions=6), "tool_executions"),
        (lambda t: _with_totals(t, retries=3), "retries"),
        (lambda t: _with_totals(t, total_tokens=t.totals.total_tokens * 2), "total_tokens"),
        (lambda t: _with_totals(t, cost_nanousd=3500), "cost_usd"),
        (lambda t: _with_totals(t, cost_nanousd=None), "cost_usd"),
    ],
)
def test_a_baseline_sees_what_no_trace_hash_holds(
    make_trace: MakeTrace, change: Callable[[Trace], Trace], place: str
) -> None:
    approval = ApprovalEntry(step=0, lane="0.approval0/1", tool="ticket.create", decision="granted")
    run = msgspec.structs.replace(
        _with_totals(make_trace([CREATE]), cost_nanousd=1000), approvals=(approval,)
    )

    found = compare_traces(run, change(run))

    assert change(run).trace_hash == run.trace_hash
    assert found is not None
    assert found.place == place
    assert found.baseline != found.actual


def test_tokens_and_cost_may_differ_by_a_tenth(make_trace: MakeTrace) -> None:
    run = _with_totals(make_trace([CREATE]), cost_nanousd=1000, total_tokens=1000)

    assert compare_traces(run, _with_totals(run, cost_nanousd=1100, total_tokens=1100)) is None
    assert compare_traces(run, _with_totals(run, cost_nanousd=1101)) is not None


def test_an_edited_baseline_is_compared_by_what_it_says(make_trace: MakeTrace, tmp_path: Path) -> None:
    trace, path = make_trace([("kb.search", {"q": "x"})], output="done"), tmp_path / "b.trace.json"
    write_baseline(path, trace)
    path.write_text(path.read_text().replace('"output": "done"', '"output": "other"'))

    found = compare_traces(read_baseline(None, path), trace)

    assert found is not None
    assert (found.place, found.baseline) == ("output", "'other'")


def test_what_an_old_baseline_lacks_is_not_compared_and_named(make_trace: MakeTrace, tmp_path: Path) -> None:
    trace, path = make_trace([CREATE]), tmp_path / "b.trace.json"
    write_baseline(path, trace)
    plain = json.loads(path.read_text())
    del plain["approvals"], plain["totals"]["retries"]
    for step in plain["steps"]:
        for call in step["tool_calls"]:
            del call["attempts"]
    path.write_text(json.dumps(plain))

    old = read_baseline(None, path)

    assert missing_fields(old) == {"approvals", "retries", "call.attempts"}
    assert compare_traces(old, _changed_call(trace, attempts=9)) is None
    assert compare_traces(old, _changed_call(trace, write=False)) is not None
