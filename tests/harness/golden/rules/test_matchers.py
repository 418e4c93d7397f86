"""Matchers: what each accepts, and how a mismatch is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.golden.rules.matcher_problems import check_expectation
from harness.golden.rules.matchers import (
    MATCHERS,
    MISSING,
    argument_mismatches,
    described,
    matcher_name,
    mismatches,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"regex": "/orders/8812$"}, "https://a.test/orders/8812"),
        ({"any": True}, None),
        ({"any": "str"}, "x"),
        ({"any": "number"}, 1.5),
        ({"between": [1, 3]}, 3),
        ({"between": ["2026-01-01", "2026-02-01"]}, "2026-01-15"),
        ({"one_of": [1, {"regex": "^a"}]}, "abc"),
        ({"contains": "ref"}, "a refund"),
        ({"contains": ["a", "b"]}, ["b", "c", "a"]),
        ({"contains": {"id": 1}}, [{"id": 1}, {"id": 2}]),
        ({"contains": {"id": {"any": "int"}}}, {"id": 7, "more": 1}),
        ({"approx": 0.3}, 0.1 + 0.2),
        ({"approx": [10, 0.5]}, 10.4),
        ({"len": 2}, "ab"),
        ({"len": {"min": 1}}, [1, 2]),
        ({"len": [0, 1]}, {}),
        ({"not": {"regex": "x"}}, "abc"),
        ({"not": "x"}, MISSING),
        ({"absent": True}, MISSING),
        ({"absent": False}, 0),
        ({"equals": {"any": 1}}, {"any": 1}),
        ({"a": [1, {"b": {"any": "bool"}}]}, {"a": [1, {"b": True}]}),
        (1, 1.0),
    ],
)
def test_a_matcher_accepts(expected: Any, actual: Any) -> None:
    assert mismatches(expected, actual) == []


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"regex": "8812"}, 8812),
        ({"regex": "8812"}, MISSING),
        ({"any": True}, MISSING),
        ({"any": "int"}, True),
        ({"between": [1, 3]}, 3.01),
        ({"between": [1, 3]}, "2"),
        ({"between": [0, 1]}, True),
        ({"one_of": [1, 2]}, 3),
        ({"contains": ["a", "z"]}, ["a"]),
        ({"contains": "a"}, None),
        ({"approx": [10, 0.5]}, 10.6),
        ({"approx": 1}, "1"),
        ({"len": 2}, "abc"),
        ({"len": 2}, 22),
        ({"not": "x"}, "x"),
        ({"absent": True}, None),
        ({"absent": False}, MISSING),
        (True, 1),
        (0, False),
        ("1", 1),
        ({"a": 1}, {"a": 1, "b": 2}),
        ([1, 2], [1]),
        ([True], [1]),
        (None, MISSING),
    ],
)
def test_a_matcher_refuses(expected: Any, actual: Any) -> None:
    assert mismatches(expected, actual) != []


def test_a_mismatch_says_where_what_and_which() -> None:
    found = mismatches({"items": [{"id": {"regex": "^A"}}]}, {"items": [{"id": "B1"}]}, ("args",))

    assert [str(m) for m in found] == ["args.items[0].id: expected text with regex '^A', got 'B1'"]


def test_all_mismatches_are_told_at_once() -> None:
    assert len(argument_mismatches({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 0})) == 2


def test_arguments_that_are_not_named_are_not_looked_at() -> None:
    assert argument_mismatches({"a": 1}, {"a": 1, "b": 2}) == []


def test_an_argument_named_like_a_matcher_is_an_argument() -> None:
    assert argument_mismatches({"regex": "foo"}, {"regex": "foo"}) == []
    assert argument_mismatches({"regex": "foo"}, {"regex": "a foo"}) != []


def test_malformed_arguments_are_a_mismatch_and_no_crash() -> None:
    (found,) = argument_mismatches({"a": 1}, '{"a": 1')

    assert "malformed" in found.actual


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"regex": "("}, ("regex",)),
        ({"a": [{"any": "strx"}]}, ("a", 0, "any")),
        ({"any": ["str"]}, ("any",)),
        ({"between": [3, 1]}, ("between",)),
        ({"between": [1, "2"]}, ("between",)),
        ({"one_of": []}, ("one_of",)),
        ({"one_of": [{"len": -1}]}, ("one_of", 0, "len")),
        ({"contains": ""}, ("contains",)),
        ({"approx": "1"}, ("approx",)),
        ({"approx": [1, -1]}, ("approx",)),
        ({"len": {"most": 1}}, ("len",)),
        ({"absent": "yes"}, ("absent",)),
        ({"not": {"regex": "["}}, ("not", "regex")),
    ],
)
def test_a_wrong_matcher_is_told_with_its_path(wrong: Any, path: tuple[str | int, ...]) -> None:
    assert [p.path for p in check_expectation(wrong)] == [path]


@given(JSON)
def test_equals_accepts_exactly_the_value(value: Any) -> None:
    assert mismatches({"equals": value}, value) == []
    assert mismatches({"equals": [value]}, value) != []


@given(JSON, JSON)
def test_not_is_the_opposite(expected: Any, actual: Any) -> None:
    inner = {"equals": expected}

    assert bool(mismatches(inner, actual)) != bool(mismatches({"not": inner}, actual))


@given(st.lists(JSON, min_size=1, max_size=4), JSON)
def test_one_of_accepts_what_one_of_its_options_accepts(options: list[Any], actual: Any) -> None:
    wrapped = [{"equals": option} for option in options]
    accepted = any(not mismatches(option, actual) for option in wrapped)

    assert accepted == (not mismatches({"one_of": wrapped}, actual))


@given(JSON, JSON)
def test_every_well_formed_expectation_judges_every_value_and_has_words(expected: Any, actual: Any) -> None:
    wrong = list(check_expectation(expected))

    assert wrong or isinstance(mismatches(expected, actual), list)
    assert wrong or described(expected)


def test_an_object_with_two_keys_is_no_matcher() -> None:
    assert matcher_name({"regex": "a", "any": True}) is None
    assert all(matcher_name({name: 1}) == name for name in MATCHERS)
