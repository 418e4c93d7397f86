"""First differences: found exactly where values differ, with the side that is absent and the text around it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.first_difference import ABSENT, FirstDifference, first_difference, windows
from runtime.core.canonical import fingerprint

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([1.0, 0.5]) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(json_values, json_values)
def test_a_difference_is_found_exactly_where_values_differ(a: Any, b: Any) -> None:
    assert (first_difference(a, b) is None) == (fingerprint(a) == fingerprint(b))
    assert first_difference(a, a) is None


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ({"a": [1, 2]}, {"a": [1, 3]}, FirstDifference("a[1]", 2, 3)),
        ({"a": 1, "b": 1}, {"a": 1}, FirstDifference("b", 1, ABSENT)),
        ({"a": None}, {}, FirstDifference("a", None, ABSENT)),
        ([1], [1, 2], FirstDifference("[1]", ABSENT, 2)),
        ({"n": 1}, {"n": 1.0}, FirstDifference("n", 1, 1.0)),
        ({"n": 1}, {"n": True}, FirstDifference("n", 1, True)),
        ([1], {"0": 1}, FirstDifference("", [1], {"0": 1})),
    ],
)
def test_the_first_place_is_named_with_both_sides(a: Any, b: Any, found: FirstDifference) -> None:
    actual = first_difference(a, b)

    assert actual == found
    assert repr(actual) == repr(found)


@given(st.text(max_size=200), st.text(max_size=200))
def test_windows_show_the_first_difference_of_two_texts(a: str, b: str) -> None:
    left, right = windows(a, b, 60)

    assert (left == right) == (a == b)
    assert max(len(left), len(right)) <= 122
