"""Deep comparison: order, case, digits and named places, with deepdiff as the judge of small cases."""

from __future__ import annotations

import random
from typing import Any

import pytest
from deepdiff import DeepDiff
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diff.deep import MOST_UNPAIRED, deep_differences, deep_problem, path_parts, unordered
from tests.support.counts import examples


def told(operand: dict[str, Any], actual: Any) -> list[tuple[tuple[str | int, ...], str, str]]:
    return [(d.path, repr(d.expected), repr(d.actual)) for d in deep_differences(operand, actual)]


@pytest.mark.parametrize(
    ("operand", "actual"),
    [
        ({"value": [1, 2, 3], "ignore_order": True}, [3, 1, 2]),
        ({"value": {"a": [[1, 2], [3]]}, "ignore_order": True}, {"a": [[3], [2, 1]]}),
        ({"value": [1, 1, 2], "ignore_order": True}, [1, 2, 1]),
        ({"value": 1}, 1.0),
        ({"value": [{"id": 7, "n": 1}], "exclude_paths": ["[*].id"]}, [{"id": 8, "n": 1}]),
        ({"value": {"a": {"id": 7}, "b": 1}, "exclude_paths": ["root['a']['id']"]}, {"a": {}, "b": 1}),
        ({"value": {"x y": 1, "b": 2}, "exclude_paths": ["['x y']"]}, {"b": 2}),
        ({"value": 1.001, "significant_digits": 2}, 1.0),
        ({"value": [1.001, 2], "significant_digits": 2, "ignore_order": True}, [2.0, 1.0009]),
        ({"value": "Lost", "ignore_case": True}, "LOST"),
        ({"value": [True, 1], "ignore_order": True}, [1, True]),
    ],
)
def test_what_is_not_to_be_looked_at_is_no_difference(operand: dict[str, Any], actual: Any) -> None:
    assert deep_problem(operand) is None
    assert told(operand, actual) == []


@pytest.mark.parametrize(
    ("operand", "actual", "expected"),
    [
        ({"value": [1, 2]}, [2, 1], [((0,), "1", "2"), ((1,), "2", "1")]),
        ({"value": [1, 2]}, [1], [((), "2 items", "1 items")]),
        ({"value": {"a": [1, 2]}, "ignore_order": True}, {"a": [2]}, [(("a", "[*]"), "1", "nothing")]),
        ({"value": [1, 1], "ignore_order": True}, [1], [(("[*]",), "1", "nothing")]),
        ({"value": [1], "ignore_order": True}, [1, 1], [(("[*]",), "nothing", "1")]),
        (
            {"value": {"rows": [{"id": 1, "n": 1}, {"id": 2, "n": 2}]}, "ignore_order": True},
            {"rows": [{"id": 2, "n": 3}, {"id": 1, "n": 1}]},
            [(("rows", "[*]", "n"), "2", "3")],
        ),
        ({"value": [True], "ignore_order": True}, [1], [(("[*]",), "True", "1")]),
        ({"value": {"a": True}}, {"a": 1}, [(("a",), "True", "1")]),
        ({"value": {"a": 1}}, {"b": 1}, [(("a",), "1", "nothing"), (("b",), "nothing", "1")]),
        ({"value": 1.01, "significant_digits": 2}, 1.0, [((), "1.01", "1.0")]),
        ({"value": "Lost", "ignore_case": True}, "found", [((), "'Lost'", "'found'")]),
        (
            {"value": {"A": 1}, "ignore_case": True},
            {"a": 1},
            [(("A",), "1", "nothing"), (("a",), "nothing", "1")],
        ),
    ],
)
def test_a_difference_is_told_with_its_place(
    operand: dict[str, Any], actual: Any, expected: list[tuple[tuple[str | int, ...], str, str]]
) -> None:
    assert told(operand, actual) == expected


def test_ten_thousand_items_in_another_order_match_and_one_change_among_them_is_found() -> None:
    rows: list[dict[str, Any]] = [{"id": i, "tags": ["a", str(i)], "price": i / 7} for i in range(10_000)]
    other = [{**row, "tags": row["tags"][::-1]} for row in rows]
    random.Random(7).shuffle(other)
    operand = {"value": rows, "ignore_order": True}

    same = told(operand, other)
    other[17] = {**other[17], "price": -1}
    changed = told(operand, other)

    assert same == []
    assert [path for path, _, _ in changed] == [("[*]", "price")]


def test_large_items_without_an_equal_are_told_one_by_one() -> None:
    value = [list(range(n, n + 10_000)) for n in (0, 5)]
    actual = [[*value[0][1:], -1], [*value[1][1:], -2]]

    found = told({"value": value, "ignore_order": True}, actual)

    assert [path for path, _, _ in found] == [("[*]",)] * 4
    assert sorted("nothing" in sides for _, *sides in found) == [True] * 4


def test_one_large_item_without_an_equal_is_compared_inside() -> None:
    large = list(range(10_000))
    value, actual = [large, ["other"]], [["other"], [*large[:-1], -1]]

    assert told({"value": value, "ignore_order": True}, actual) == [(("[*]", "[*]"), "9999", "-1")]


def test_ten_thousand_unequal_items_are_refused_in_one_clear_line() -> None:
    rows = [{"id": i} for i in range(10_000)]
    other = [{"id": -i - 1} for i in range(10_000)]

    ((path, expected, actual),) = told({"value": rows, "ignore_order": True}, other)

    assert (path, expected) == ((), "10000 items in any order")
    assert actual == (
        "10000 items: 10000 are missing and 10000 are not expected, too many to pair "
        f"(at most {MOST_UNPAIRED})"
    )


@pytest.mark.parametrize(
    ("operand", "words"),
    [
        ([1], "deep takes value, ignore_order"),
        ({}, "value"),
        ({"value": 1, "ignore_oder": True}, "ignore_oder"),
        ({"value": 1, "ignore_order": 1}, "ignore_order"),
        ({"value": 1, "significant_digits": -1}, "between 0 and 100"),
        ({"value": 1, "significant_digits": True}, "significant_digits"),
        ({"value": [1], "exclude_paths": ["[0"]}, "is no path"),
        ({"value": [1], "exclude_paths": [""]}, "is no path"),
        ({"value": [1, 2], "ignore_order": True, "exclude_paths": ["[0]"]}, "names an index"),
        ({"value": [1], "exclude_paths": ["[*]"]}, "leave nothing of the value"),
        ({"value": {"id": 1}, "exclude_paths": ["id"]}, "leave nothing of the value"),
    ],
)
def test_an_operand_that_is_written_wrongly_is_refused(operand: Any, words: str) -> None:
    assert words in str(deep_problem(operand))


def test_paths_are_read_in_both_spellings() -> None:
    assert path_parts("items[*].id") == ("items", "*", "id")
    assert path_parts("root['items'][3][\"a.b\"]") == ("items", 3, "a.b")
    assert path_parts("root") == ("root",)


# Without booleans, which deepdiff takes for numbers, and without digits beyond what a float holds.
LEAF = st.none() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, 2.25]) | st.sampled_from(["a", "A", "b"])
JSON = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=examples(50, 1000))
@given(JSON, JSON, st.booleans(), st.booleans(), st.none() | st.integers(0, 2))
def test_the_verdict_is_that_of_deepdiff(a: Any, b: Any, order: bool, case: bool, digits: int | None) -> None:
    judge = DeepDiff(
        a,
        b,
        ignore_order=order,
        report_repetition=True,
        ignore_string_case=case,
        significant_digits=digits,
        ignore_numeric_type_changes=True,
    )

    options = {"ignore_order": order, "ignore_case": case, "significant_digits": digits}
    assert bool(told({"value": a, **options}, b)) == bool(judge)


@settings(max_examples=examples(40, 1000))
@given(JSON, st.randoms(use_true_random=False), st.booleans())
def test_any_order_of_a_value_is_the_same_unordered_value(
    value: Any, chance: random.Random, case: bool
) -> None:
    def mixed(each: Any) -> Any:
        if isinstance(each, list):
            return chance.sample([mixed(item) for item in each], len(each))
        if isinstance(each, dict):
            return {name: mixed(each[name]) for name in chance.sample(sorted(each), len(each))}
        return each

    assert told({"value": value, "ignore_order": True, "ignore_case": case}, mixed(value)) == []
    assert unordered(value) == unordered(mixed(value))
