"""Both searches find a longest common subsequence; sliding keeps it one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.diff.lcs import Pairs, _hunt, _myers, common_pairs
from harness.diff.slide import settled_pairs

keys = st.lists(st.sampled_from("abcd"), max_size=25)
Search = Callable[[Sequence[str], Sequence[str]], Pairs]
searches = pytest.mark.parametrize("search", [_hunt, _myers, common_pairs, settled_pairs])


def longest(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of a longest common subsequence by the textbook table."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = row
        row = [0]
        for j, y in enumerate(b):
            row.append(before[j] + 1 if x == y else max(before[j + 1], row[j]))
    return row[-1]


@searches
@given(keys, keys)
def test_pairs_are_equal_ordered_and_as_many_as_can_be(search: Search, a: list[str], b: list[str]) -> None:
    pairs = search(a, b)

    assert all(a[i] == b[j] for i, j in pairs)
    assert all(x[0] < y[0] and x[1] < y[1] for x, y in pairwise(pairs))
    assert len(pairs) == longest(a, b)


def test_the_last_of_a_row_has_no_partner() -> None:
    assert settled_pairs("xaaay", "xaay") == [(0, 0), (1, 1), (2, 2), (4, 3)]
    assert settled_pairs("xaay", "xaaay") == [(0, 0), (1, 1), (2, 2), (3, 4)]


def test_an_unpaired_key_slides_to_the_one_it_was_changed_to() -> None:
    assert settled_pairs("aaaa", "abaa") == [(0, 0), (2, 2), (3, 3)]
    assert settled_pairs("abaa", "aaaa") == [(0, 0), (2, 2), (3, 3)]
    assert settled_pairs("xaaaaz", "xaabaz") == [(0, 0), (1, 1), (2, 2), (4, 4), (5, 5)]


def test_thousands_of_two_keys_with_a_few_edits_take_few_steps() -> None:
    a = ["kb", "http"] * 2000
    b = [*a[:777], "new", *a[777:3001], *a[3003:]]

    pairs = common_pairs(a, b)

    assert len(pairs) == len(a) - 2
