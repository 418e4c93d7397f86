"""The matcher `deep` in golden tasks: what it says, and how a mistake in it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import TaskError
from harness.golden.loader import load_task
from harness.golden.rules.matcher_problems import check_expectation
from harness.golden.rules.matchers import MISSING, described, mismatches


def test_a_mismatch_names_the_place_below_the_argument() -> None:
    expected = {"rows": {"deep": {"value": [{"id": 1, "n": 2}], "ignore_order": True}}}

    (found,) = mismatches(expected, {"rows": [{"id": 1, "n": 3}]}, ("args",))

    assert str(found) == "args.rows[*].n: expected 2, got 3"


def test_a_missing_argument_is_told_as_missing() -> None:
    (found,) = mismatches({"deep": {"value": [1]}}, MISSING, ("args", "rows"))

    assert str(found) == "args.rows: expected [1], got nothing"


def test_deep_stands_inside_other_matchers() -> None:
    unordered = {"deep": {"value": ["a", "b"], "ignore_order": True, "ignore_case": True}}

    assert mismatches({"one_of": ["x", unordered]}, ["B", "A"]) == []
    assert mismatches({"not": unordered}, ["c"]) == []
    assert described(unordered) == "['a', 'b'], deeply"


def test_a_wrong_operand_is_a_problem_at_its_path() -> None:
    (problem,) = check_expectation({"rows": {"deep": {"value": 1, "ignore_oder": True}}})

    assert problem.path == ("rows", "deep")
    assert "ignore_oder" in str(problem)


TASK = """\
schema: golden/1
task: support/deep
agent: examples.support:build
input: {prompt: hi}
expect:
  tools:
    calls:
      - tool: order.lookup
        args: {ids: {deep: {value: [1], significant_digits: -1}}}
"""


def test_a_task_with_a_wrong_operand_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "deep.golden.yaml"
    file.write_text(TASK, encoding="utf-8")

    with pytest.raises(TaskError, match=r"deep.golden.yaml:9: .*significant_digits: -1 is not between"):
        load_task(file)
