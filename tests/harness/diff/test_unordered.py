"""Runs compared without regard to the order of lists in arguments and results."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from harness.cli.main import run
from harness.diff import diff_traces, render_text
from runtime.core.trace import Trace, trace_json
from tests.harness.diff.builder import Item, Model, Tool, make_trace


def search(*ids: int, result: str | None = "found", write: bool = False) -> Tool:
    return Tool(name="kb.search", arguments={"ids": list(ids)}, result=result, write=write)


def runs(a: list[Item], b: list[Item]) -> tuple[Trace, Trace]:
    return make_trace([Model(), *a]), make_trace([Model(), *b])


def test_another_order_of_a_list_is_the_same_call() -> None:
    a, b = runs([search(1, 2, 3)], [search(3, 1, 2)])

    assert diff_traces(a, b).verdict == "changed"
    assert diff_traces(a, b, ignore_order=True).verdict == "same"


def test_another_order_in_a_json_result_is_the_same_call() -> None:
    rows = [{"id": 1, "tags": ["a", "b"]}, {"id": 2, "tags": []}]
    other = [{"tags": [], "id": 2}, {"tags": ["b", "a"], "id": 1}]
    a, b = runs([search(1, result=json.dumps(rows))], [search(1, result=json.dumps(other))])

    assert diff_traces(a, b, ignore_order=True).verdict == "same"


def test_one_change_in_a_list_of_another_order_is_one_change_with_both_values() -> None:
    rows = [{"id": i, "n": i} for i in range(6)]
    other = [*({**row, "n": 9} if row["id"] == 3 else row for row in rows)][::-1]
    a, b = runs(
        [search(1, result=json.dumps({"rows": rows}))], [search(1, result=json.dumps({"rows": other}))]
    )

    (change,) = next(c for c in diff_traces(a, b, ignore_order=True).calls if c.changes).changes

    assert (change.path, change.a, change.b) == ("result.rows[*].n", 3, 9)


def test_an_item_more_is_told_and_a_missing_side_is_unset() -> None:
    a, b = runs([search(1, 2)], [search(3, 2, 1)])

    diff = diff_traces(a, b, ignore_order=True)
    (change,) = next(c for c in diff.calls if c.changes).changes

    assert (change.path, change.a, change.b) == ("arguments.ids[*]", UNSET, 3)
    assert "arguments.ids[*]" in render_text(diff, color=False)


def test_the_order_of_calls_counts_as_ever() -> None:
    a, b = runs([search(1, 2), Tool(name="other")], [Tool(name="other"), search(2, 1)])

    assert diff_traces(a, b, ignore_order=True).counts["moved"] == 1


def test_a_write_made_again_with_its_list_in_another_order_is_repeated() -> None:
    a, b = runs([search(1, 2, write=True)], [search(1, 2, write=True), search(2, 1, write=True)])

    diff = diff_traces(a, b, ignore_order=True)

    assert diff.counts["repeated"] == 1
    assert diff.verdict == "regressed"


def test_ten_thousand_rows_in_another_order_are_one_same_call() -> None:
    rows: list[dict[str, Any]] = [{"id": i, "price": i / 3} for i in range(10_000)]
    other = random.Random(3).sample(rows, len(rows))
    a, b = runs([search(1, result=json.dumps(rows))], [search(1, result=json.dumps(other))])

    assert diff_traces(a, b, ignore_order=True).verdict == "same"


def test_ten_thousand_other_rows_are_counted_and_not_paired() -> None:
    a, b = runs(
        [search(1, result=json.dumps([{"id": i} for i in range(10_000)]))],
        [search(1, result=json.dumps([{"id": -1 - i} for i in range(10_000)]))],
    )

    (change,) = next(c for c in diff_traces(a, b, ignore_order=True).calls if c.changes).changes

    assert change.a == "10000 items in any order"
    assert "too many to pair" in change.b


def test_the_command_takes_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for name, trace in zip("ab", runs([search(1, 2)], [search(2, 1)]), strict=True):
        files.append(str(tmp_path / f"{name}.json"))
        Path(files[-1]).write_text(json.dumps(trace_json(trace)), encoding="utf-8")

    ordered = run(["diff", *files])
    capsys.readouterr()
    unordered = run(["diff", *files, "--ignore-order", "--json"])

    assert (ordered, unordered) == (1, 0)
    assert json.loads(capsys.readouterr().out)["verdict"] == "same"
