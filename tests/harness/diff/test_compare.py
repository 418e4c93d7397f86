"""The laws of the diff, and planted changes: one change is one entry."""

from __future__ import annotations

import dataclasses
import json
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.diff import CallDiff, TraceDiff, diff_json, diff_traces
from harness.diff.document import OPS
from tests.harness.diff.builder import Item, Model, Tool, items, make_trace, related

few_calls = st.lists(
    st.builds(
        Tool,
        name=st.sampled_from(["kb.search", "http.get"]),
        arguments=st.integers(0, 3).map(lambda n: {"q": f"query {n}", "limit": 5}),
    ),
    min_size=2,
    max_size=30,
)


def differing(diff: TraceDiff) -> list[CallDiff]:
    return [call for call in diff.calls if call.op != "same"]


def compare(a: list[Item] | list[Tool], b: list[Item] | list[Tool]) -> TraceDiff:
    return diff_traces(make_trace(a), make_trace(b))


def long_run(steps: int) -> list[Item]:
    return [
        item
        for n in range(steps)
        for item in (
            Model(text=f"look at {n % 7}", tools=("kb.search",)),
            Tool(arguments={"q": f"rule {n % 5}", "n": n}),
        )
    ]


@given(related(), st.booleans())
def test_every_call_of_both_runs_is_in_exactly_one_entry(
    runs: tuple[list[Item], list[Item]], hashed: bool
) -> None:
    a, b = (make_trace(run, hashed=hashed) for run in runs)

    diff = diff_traces(a, b)

    assert sorted(call.a for call in diff.calls if call.a is not None) == list(range(len(runs[0])))
    assert sorted(call.b for call in diff.calls if call.b is not None) == list(range(len(runs[1])))
    counts = diff.counts
    both = counts["same"] + counts["changed"] + counts["moved"]
    assert both + counts["removed"] == len(runs[0])
    assert both + counts["added"] + counts["repeated"] == len(runs[1])
    assert sum(counts.values()) == len(diff.calls)


@given(related())
def test_entries_have_the_positions_their_op_says(runs: tuple[list[Item], list[Item]]) -> None:
    diff = compare(*runs)

    for call in diff.calls:
        assert (call.a is None) == (call.op in {"added", "repeated"})
        assert (call.b is None) == (call.op == "removed")
        assert bool(call.changes) <= (call.op in {"changed", "moved"})
        assert bool(call.changes) or call.op != "changed"
    kept = [call for call in diff.calls if call.op in {"same", "changed"}]
    assert all(x.a < y.a and x.b < y.b for x, y in pairwise(kept))  # type: ignore[operator]  # pairs have both positions


@given(related(), st.booleans())
def test_the_diff_turned_round_is_its_mirror(runs: tuple[list[Item], list[Item]], hashed: bool) -> None:
    a, b = (make_trace(run, hashed=hashed) for run in runs)
    turned_op = {"added": "removed", "repeated": "removed", "removed": "added"}

    forth, back = diff_traces(a, b), diff_traces(b, a)

    mirrored = {
        (
            turned_op.get(call.op, call.op),
            call.b,
            call.a,
            tuple((c.path, repr(c.b), repr(c.a)) for c in call.changes),
            tuple(None if part is None else -part for part in msgspec.structs.astuple(call.delta)),
        )
        for call in forth.calls
    }
    seen = {
        (
            "added" if call.op == "repeated" else call.op,
            call.a,
            call.b,
            tuple((c.path, repr(c.a), repr(c.b)) for c in call.changes),
            msgspec.structs.astuple(call.delta),
        )
        for call in back.calls
    }
    assert seen == mirrored


@given(related())
def test_deltas_of_the_calls_add_up_to_the_total(runs: tuple[list[Item], list[Item]]) -> None:
    a, b = (make_trace(run) for run in runs)

    diff = diff_traces(a, b)

    deltas = [call.delta for call in diff.calls]
    for part in ("nanousd", "tokens", "seconds"):
        values = [getattr(delta, part) for delta in deltas]
        total = None if None in values else sum(values)
        assert getattr(diff.delta, part) == (total if total is None else pytest.approx(total))
    if a.totals.cost_nanousd is not None and b.totals.cost_nanousd is not None:
        assert diff.delta.nanousd == b.totals.cost_nanousd - a.totals.cost_nanousd
    if a.totals.total_tokens is not None and b.totals.total_tokens is not None:
        assert diff.delta.tokens == b.totals.total_tokens - a.totals.total_tokens


@given(items, st.booleans())
def test_a_run_is_the_same_as_itself(run: list[Item], hashed: bool) -> None:
    diff = diff_traces(make_trace(run, hashed=hashed), make_trace(run, hashed=hashed))

    assert diff.verdict == "same"
    assert not differing(diff)
    assert diff.first_divergence is None
    assert diff.comparability == () or "unknown" in diff.comparability[0]


@given(few_calls, st.data())
def test_a_planted_repeat_is_one_repeated_entry(run: list[Tool], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(run) - 1))

    diff = compare(run, [*run[: at + 1], *run[at:]])

    assert [call.op for call in differing(diff)] == ["repeated"]


@given(few_calls, st.data())
def test_a_planted_drop_is_one_removed_entry(run: list[Tool], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(run) - 1))

    diff = compare(run, [*run[:at], *run[at + 1 :]])

    assert [call.op for call in differing(diff)] == ["removed"]


@given(few_calls, st.data())
def test_a_planted_move_is_one_moved_entry(run: list[Tool], data: st.DataObject) -> None:
    start, end = (data.draw(st.integers(0, len(run) - 1)) for _ in range(2))
    moved = list(run)
    moved.insert(end, moved.pop(start))

    diff = compare(run, moved)

    assert [call.op for call in differing(diff)] == ([] if moved == run else ["moved"])


@given(few_calls, st.data())
def test_a_planted_rename_is_one_changed_entry(run: list[Tool], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(run) - 1))
    renamed = [*run[:at], dataclasses.replace(run[at], name="shell.exec"), *run[at + 1 :]]

    (call,) = differing(compare(run, renamed))

    assert (call.op, call.a, call.b, call.name) == ("changed", at, at, "shell.exec")
    assert [(c.path, c.a, c.b) for c in call.changes] == [("name", run[at].name, "shell.exec")]


@given(
    few_calls, st.data(), st.text(min_size=1, max_size=30).filter(lambda text: not text.startswith("query"))
)
def test_a_planted_argument_edit_is_one_changed_entry(run: list[Tool], data: st.DataObject, q: str) -> None:
    at = data.draw(st.integers(0, len(run) - 1))
    edited = [*run[:at], dataclasses.replace(run[at], arguments={"q": q, "limit": 5}), *run[at + 1 :]]

    diff = compare(run, edited)

    (call,) = differing(diff)
    assert (call.op, call.a, call.b) == ("changed", at, at)
    assert [(c.path, c.b) for c in call.changes] == [("arguments.q", q)]
    assert diff.first_divergence is not None
    assert (diff.first_divergence.a, diff.first_divergence.path) == (at, "arguments.q")


@pytest.mark.parametrize("steps", [13, 25, 250, 500])
def test_one_inserted_call_is_exactly_one_entry_at_any_length(steps: int) -> None:
    run = long_run(steps)
    at = steps // 2 * 2
    more = [*run[:at], Tool(name="http.get", arguments={"url": "https://a.test"}), *run[at:]]

    diff = compare(run, more)

    assert [(call.op, call.b) for call in differing(diff)] == [("added", at)]
    assert diff.first_divergence is not None
    assert (diff.first_divergence.op, diff.first_divergence.b) == ("added", at)


def test_three_hundred_steps_of_two_tools_align_around_scattered_edits() -> None:
    run = [Tool(name=("kb.search", "http.get")[n * n % 7 % 2], arguments={"q": "same"}) for n in range(300)]
    edited = list(run)
    for at in (10, 70, 150, 220, 290):
        edited[at] = dataclasses.replace(run[at], result="other")
    del edited[180]

    diff = compare(run, edited)

    assert diff.counts["changed"] == 5
    assert diff.counts["removed"] == 1
    assert diff.counts["same"] == 294


def test_a_shifted_edited_stretch_aligns_with_its_likes() -> None:
    run = [Tool(arguments={"q": f"rule {n}", "lang": "en"}) for n in range(20)]
    edited = [dataclasses.replace(tool, arguments={**tool.arguments, "lang": "de"}) for tool in run]

    diff = compare(run, [Tool(name="http.get", arguments={"url": "u"}), *edited])

    assert [(call.a, call.b) for call in differing(diff)] == [(None, 0), *((n, n + 1) for n in range(20))]
    assert {change.path for call in diff.calls for change in call.changes} == {"arguments.lang"}


def test_a_call_both_moved_and_changed_is_moved_with_changes() -> None:
    run = [
        Tool(arguments={"q": f"{n}", "r": f"{n}", "s": f"{n}", "t": f"{n}", "u": f"{n}"}) for n in range(6)
    ]
    first = dataclasses.replace(run[0], arguments={**run[0].arguments, "u": "9"})

    diff = compare(run, [*run[1:], first])

    (call,) = differing(diff)
    assert (call.op, call.a, call.b) == ("moved", 0, 5)
    assert [change.path for change in call.changes] == ["arguments.u"]


def test_two_calls_that_changed_places_are_moved_and_not_changed_into_each_other() -> None:
    run = [Tool(arguments={"q": f"rule {n}"}) for n in range(9)]
    swapped = [*run[:2], run[6], *run[3:6], run[2], *run[7:]]

    diff = compare(run, swapped)

    assert sorted((call.op, call.a, call.b) for call in differing(diff)) == [("moved", 2, 6), ("moved", 6, 2)]


def test_a_loop_of_steps_is_marked_repeated_call_by_call() -> None:
    step: list[Item] = [Model(text="again", tools=("kb.search",)), Tool(arguments={"q": "x"})]

    diff = compare(step, step * 4)

    assert diff.counts == {**dict.fromkeys(OPS, 0), "same": 2, "repeated": 6}


def test_other_attempts_of_an_equal_call_are_a_change() -> None:
    diff = compare([Tool(), Tool(name="http.get")], [Tool(), Tool(name="http.get", attempts=3)])

    (call,) = differing(diff)
    assert [(c.path, c.a, c.b) for c in call.changes] == [("attempts", 1, 3)]


def test_an_added_call_hidden_in_a_longer_replacement_is_listed() -> None:
    run = [
        Tool(arguments={"q": "a"}),
        Tool(name="http.get", arguments={"url": "x"}),
        Tool(arguments={"q": "z"}),
    ]
    other = [run[0], *(Tool(name="shell.exec", arguments={"cmd": f"rm {n}"}) for n in range(3)), run[2]]

    diff = compare(run, other)

    assert [call.name for call in diff.calls if call.op == "added"] == ["shell.exec"] * 3
    assert [call.name for call in diff.calls if call.op == "removed"] == ["http.get"]


def test_runs_too_different_for_a_table_still_obey_conservation() -> None:
    a: list[Item] = [Tool(name=f"t{n % 3}", arguments={"q": n}) for n in range(400)]
    b: list[Item] = [Tool(name=f"t{n % 4}", arguments={"q": -n - 1}) for n in range(400)]

    diff = compare(a, b)

    counts = diff.counts
    assert counts["changed"] + counts["removed"] == 400
    assert counts["changed"] + counts["added"] == 400
    assert counts["changed"] > 200


def test_the_document_has_exactly_the_stated_shape() -> None:
    a, b = make_trace(long_run(3)), make_trace([*long_run(3), Tool(name="http.get")], stop_reason="max_steps")

    document = json.loads(json.dumps(diff_json(diff_traces(a, b))))

    assert document["schema"] == "goldrun.diff/1"
    assert set(document) == {
        "schema", "verdict", "causes", "comparability", "stop_reason", "calls", "first_divergence", "output", "totals",
    }  # fmt: skip
    assert document["stop_reason"] == {"a": "finish", "b": "max_steps"}
    assert document["output"] == {"a": "done", "b": "done", "same": True}
    assert document["totals"]["a"]["cost_usd"] == "0.000003000"
    assert len(document["calls"]) == 7
    assert document["calls"][6] == {
        "op": "added",
        "a": None,
        "b": 6,
        "name": "http.get",
        "changes": [],
        "delta": {"usd": "0.000000000", "tokens": 0, "s": 0.1},
    }
    assert document["first_divergence"]["b"] == 6


def test_a_document_of_equal_runs_spells_out_every_call() -> None:
    trace = make_trace(long_run(4))

    document = diff_json(diff_traces(trace, trace))

    assert [(call["op"], call["a"], call["b"]) for call in document["calls"]] == [
        ("same", n, n) for n in range(8)
    ]
    assert document["verdict"] == "same"
    assert document["first_divergence"] is None


def test_the_diff_is_light_to_import() -> None:
    heavy = "deepdiff numpy pandas pyarrow httpx pydantic yaml rich"
    code = f"import sys, harness.diff; print([name for name in '{heavy}'.split() if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_benchmark_traces_differ_in_what_they_say() -> None:
    path = Path(__file__).parents[3] / "benchmarks" / "bench_diff.py"
    bench: dict[str, Any] = runpy.run_path(str(path))
    build = bench["build_trace"]

    edited = diff_traces(build(20, hashed=True), build(20, hashed=True, edit_at=10))
    longer = diff_traces(build(20, hashed=False), build(20, hashed=False, insert_at=10))

    assert [(c.op, c.a, c.changes[0].path) for c in differing(edited)] == [("changed", 21, "arguments.q")]
    assert [(c.op, c.b) for c in differing(longer)] == [("added", 20), ("added", 21)]
