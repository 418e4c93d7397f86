"""Each change of the examples' code is seen by exactly the tasks it concerns, and named for what it is."""

from __future__ import annotations

import pytest

from harness.golden.failure_report import headline_of
from harness.golden.runner import GoldenOutcome
from runtime.errors import GoldrunError
from tests.code_changes.change import Change
from tests.code_changes.changed_code import judge, tasks_of
from tests.code_changes.changes import CHANGES


def _wanted(change: Change) -> set[str]:
    if change.red == "all":
        return {task.task.partition("/")[2] for task in tasks_of(change.example)}
    return set(change.red)


def _id(change: Change) -> str:
    return f"{change.example}: {change.name}"


@pytest.mark.parametrize("change", CHANGES, ids=_id)
def test_a_change_of_code_is_seen_by_the_tasks_it_concerns_and_named(change: Change) -> None:
    outcomes = judge(change.example, change.edits)

    red = {name: o for name, o in outcomes.items() if not isinstance(o, GoldenOutcome) or not o.passed}
    assert set(red) == _wanted(change), {name: _first_line(o) for name, o in red.items()}
    assert {_cause(o) for o in red.values()} <= {change.cause, "error"}
    lines = [_first_line(o) for o in red.values()]
    assert [line for line in lines if change.line not in line] == []


def _cause(outcome: GoldenOutcome | GoldrunError) -> str | None:
    return outcome.cause if isinstance(outcome, GoldenOutcome) else "error"


def _first_line(outcome: GoldenOutcome | GoldrunError) -> str:
    return headline_of(outcome) if isinstance(outcome, GoldenOutcome) else outcome.what


def test_the_table_holds_enough_changes_and_each_once() -> None:
    names = [(c.example, c.name) for c in CHANGES]

    assert len(names) == len(set(names))
    assert len(names) >= 89
