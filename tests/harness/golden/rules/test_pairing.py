"""Matching of expected and actual calls against brute force."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.golden.rules.pairing import (
    ExpectedSlot,
    Mode,
    Times,
    default_times,
    match_calls,
    maximum_matching,
)

EDGES = st.lists(st.frozensets(st.integers(0, 4)), max_size=5)


def brute_matching_size(edges: list[frozenset[int]], room: list[int]) -> int:
    best = 0
    for choice in itertools.product(*[[*sorted(e), None] for e in edges]):
        used = Counter(c for c in choice if c is not None)
        if all(n <= room[c] for c, n in used.items()):
            best = max(best, sum(used.values()))
    return best


@given(EDGES, st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_a_matching_is_valid_and_of_greatest_size(edges: list[frozenset[int]], room: list[int]) -> None:
    mate = maximum_matching([sorted(e) for e in edges], room)

    used = Counter(right for right in mate if right is not None)
    assert all(right is None or right in edges[left] for left, right in enumerate(mate))
    assert all(count <= room[right] for right, count in used.items())
    assert sum(used.values()) == brute_matching_size(edges, room)


def brute_ok(mode: Mode, slots: list[ExpectedSlot], calls: int) -> bool:
    """Try every assignment of calls to slots (or to none)."""
    fits: list[list[int | None]] = [[i for i, s in enumerate(slots) if c in s.fits] for c in range(calls)]
    closed = mode not in {"in_order", "superset"}
    for choice in itertools.product(*[[*f, None] for f in fits]):
        used = Counter(c for c in choice if c is not None)
        enough = all(s.times.low <= used[i] <= s.times.high for i, s in enumerate(slots))
        loose = [c for c, slot in enumerate(choice) if slot is None]
        covered = not loose if closed else not any(fits[c] for c in loose)
        taken = [c for c in choice if c is not None]
        ordered = mode != "exact" or taken == sorted(taken)
        if enough and covered and ordered and (mode != "in_order" or brute_order(slots, calls)):
            return True
    return False


def brute_order(slots: list[ExpectedSlot], calls: int) -> bool:
    wanted = [i for i, s in enumerate(slots) for _ in range(s.times.low)]
    chosen = itertools.combinations(range(calls), len(wanted))
    return any(all(c in slots[i].fits for i, c in zip(wanted, pick, strict=True)) for pick in chosen)


TIMES = st.tuples(st.integers(0, 2), st.integers(0, 2) | st.just(math.inf)).filter(lambda t: t[0] <= t[1])


@given(
    st.sampled_from(["exact", "in_order", "any_order", "subset", "superset"]),
    st.lists(st.tuples(TIMES, st.frozensets(st.integers(0, 3))), max_size=3),
    st.integers(0, 4),
)
def test_every_mode_agrees_with_brute_force(
    mode: Mode, expected: list[tuple[tuple[int, float], frozenset[int]]], calls: int
) -> None:
    slots = [ExpectedSlot(Times(*t), tuple(sorted(c for c in fits if c < calls))) for t, fits in expected]

    assert match_calls(mode, slots, calls).ok == brute_ok(mode, slots, calls)


def slots_for(mode: Mode, expected: str, actual: str) -> list[ExpectedSlot]:
    return [
        ExpectedSlot(default_times(mode), tuple(i for i, a in enumerate(actual) if a == e)) for e in expected
    ]


@pytest.mark.parametrize(
    ("mode", "expected", "actual", "ok"),
    [
        ("exact", "abc", "abc", True),
        ("exact", "abc", "acb", False),
        ("exact", "", "a", False),
        ("in_order", "ac", "abc", True),
        ("in_order", "ca", "abc", False),
        ("in_order", "a", "aa", True),
        ("any_order", "abc", "cab", True),
        ("any_order", "ab", "aab", False),
        ("any_order", "aab", "ab", False),
        ("superset", "ba", "axb", True),
        ("superset", "bb", "ab", False),
        ("subset", "abc", "ca", True),
        ("subset", "abc", "aa", False),
        ("subset", "abc", "", True),
        ("subset", "", "a", False),
    ],
)
def test_modes_have_their_stated_direction(mode: Mode, expected: str, actual: str, ok: bool) -> None:
    assert match_calls(mode, slots_for(mode, expected, actual), len(actual)).ok == ok


def test_five_hundred_equal_calls_are_matched_quickly() -> None:
    slots = [ExpectedSlot(Times(1, 1), tuple(range(500)))] * 500

    assert match_calls("any_order", slots, 500).ok
