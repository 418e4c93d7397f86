"""Match expected calls with actual calls: five modes, maximum bipartite matching, never greedy.

Theory. Each expected call may take between `low` and `high` actual calls. Two assignments are asked for: one in
which every expected call gets its `low` actual ones, and one in which every actual call that must be expected
gets an expected one within the `high` bounds. If both exist in a bipartite graph, one assignment does both
(Mendelsohn and Dulmage), so the two are computed apart and each failure is explained by its own direction.

Modes (actual calls on the left of each sign):
- `exact`: actual = expected, in order, nothing else.
- `in_order`: actual ⊇ expected, expected calls in this order, other calls may stand between.
- `any_order`: actual = expected, in any order, nothing else.
- `superset`: actual ⊇ expected, in any order, other calls may be there.
- `subset`: actual ⊆ expected: each actual call is expected, expected ones may be missing.

`times` defaults to once; at least once where other calls may be there; at most once in `subset`. A stated upper
bound holds in every mode: a call that fits only expectations which are used up is one too many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

Mode = Literal["exact", "in_order", "any_order", "subset", "superset"]

DIRECTIONS: dict[Mode, str] = {
    "exact": "actual = expected, in order, nothing else",
    "in_order": "actual ⊇ expected, in this order, other calls may stand between",
    "any_order": "actual = expected, in any order, nothing else",
    "superset": "actual ⊇ expected, in any order, other calls may be there",
    "subset": "actual ⊆ expected, expected calls may be missing",
}


class Times(msgspec.Struct, frozen=True):
    """How many actual calls one expected call takes; `high` may be infinite."""

    low: int
    high: float


class ExpectedSlot(msgspec.Struct, frozen=True):
    """One expected call: how often, and which actual calls fit it (positions, ascending)."""

    times: Times
    fits: tuple[int, ...]


class Verdict(msgspec.Struct, frozen=True):
    """What does not fit.

    Attributes:
        missing: Expected calls, by index, with too few actual ones.
        extra: Actual calls, by position, that nothing expects.
        misplaced: Expected calls whose actual ones exist, but not at their place.
    """

    missing: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()
    misplaced: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything fits."""
        return not (self.missing or self.extra or self.misplaced)


def default_times(mode: Mode) -> Times:
    """Return how often a call is expected that does not say so."""
    match mode:
        case "exact" | "any_order":
            return Times(1, 1)
        case "in_order" | "superset":
            return Times(1, math.inf)
        case "subset":
            return Times(0, 1)


def match_calls(mode: Mode, slots: Sequence[ExpectedSlot], calls: int) -> Verdict:
    """Return what does not fit between expected calls and `calls` actual ones."""
    missing = _unfilled(slots, calls)
    # Where other calls may be there, only calls that fit a bounded expectation must find room.
    closed = mode not in {"in_order", "superset"}
    extra = _unexpected(slots, calls, closed=closed)
    if missing or extra or mode not in {"exact", "in_order"}:
        return Verdict(missing, extra)
    return Verdict(misplaced=_exact_order(slots, calls) if mode == "exact" else _gapped_order(slots))


def maximum_matching(edges: Sequence[Sequence[int]], room: Sequence[float]) -> list[int | None]:
    """Return for each left node its right node in a matching of greatest size.

    Args:
        edges: Right nodes that each left node may take.
        room: How many left nodes each right node takes.
    """
    taken: list[list[int]] = [[] for _ in room]
    mate: list[int | None] = [None] * len(edges)
    for start in range(len(edges)):
        _augment(start, edges, room, taken, mate)
    return mate


def _augment(
    start: int,
    edges: Sequence[Sequence[int]],
    room: Sequence[float],
    taken: list[list[int]],
    mate: list[int | None],
) -> None:
    """Find a shortest augmenting path from a free left node and flip it."""
    came_from: dict[int, int] = {}  # right node -> left node that reached it
    queue = [start]
    for left in queue:
        for right in edges[left]:
            if right in came_from:
                continue
            came_from[right] = left
            if len(taken[right]) < room[right]:
                _flip(right, came_from, taken, mate)
                return
            queue += taken[right]


def _flip(right: int, came_from: dict[int, int], taken: list[list[int]], mate: list[int | None]) -> None:
    step: int | None = right
    while step is not None:
        left = came_from[step]
        before = mate[left]
        if before is not None:
            taken[before].remove(left)
        taken[step].append(left)
        mate[left] = step
        step = before


def _unfilled(slots: Sequence[ExpectedSlot], calls: int) -> tuple[int, ...]:
    """Return the slots that cannot all get their least number of calls."""
    owners = [i for i, slot in enumerate(slots) for _ in range(min(slot.times.low, calls + 1))]
    mate = maximum_matching([slots[i].fits for i in owners], [1] * calls)
    return tuple(sorted({owner for owner, call in zip(owners, mate, strict=True) if call is None}))


def _unexpected(slots: Sequence[ExpectedSlot], calls: int, *, closed: bool) -> tuple[int, ...]:
    """Return the calls that find no room; in an open mode those that fit nothing may be there."""
    fits: list[list[int]] = [[] for _ in range(calls)]
    for index, slot in enumerate(slots):
        for call in slot.fits:
            fits[call].append(index)
    mate = maximum_matching(fits, [slot.times.high for slot in slots])
    return tuple(i for i, slot in enumerate(mate) if slot is None and (closed or fits[i]))


def _exact_order(slots: Sequence[ExpectedSlot], calls: int) -> tuple[int, ...]:
    """Return the first slot at which no reading of the calls in order goes on; empty if one fits."""
    reached = {0}
    for index, slot in enumerate(slots):
        fits = frozenset(slot.fits)
        after: set[int] = set()
        for start in reached:
            position, count = start, 0
            while True:
                if count >= slot.times.low:
                    after.add(position)
                if count >= slot.times.high or position not in fits:
                    break
                position, count = position + 1, count + 1
        if not after:
            return (index,)
        reached = after
    return () if calls in reached else (len(slots) - 1,) if slots else ()


def _gapped_order(slots: Sequence[ExpectedSlot]) -> tuple[int, ...]:
    """Return the first slot that finds too few calls after those of the slots before it.

    Taking the earliest fitting call is optimal for a subsequence.
    """
    position = -1
    for index, slot in enumerate(slots):
        for _ in range(slot.times.low):
            found = next((call for call in slot.fits if call > position), None)
            if found is None:
                return (index,)
            position = found
    return ()


def slots_of(times: Sequence[Times], calls: int, fits: Callable[[int, int], bool]) -> list[ExpectedSlot]:
    """Return the slots of expected calls, asking `fits(slot, call)` once for each pair."""
    return [ExpectedSlot(t, tuple(c for c in range(calls) if fits(i, c))) for i, t in enumerate(times)]
