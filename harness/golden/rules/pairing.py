"""Match expected calls with actual calls: five modes, maximum bipartite matching, never greedy.

Theory. Each expected call may take between `low` and `high` actual calls. Two matchings are needed. In the first,
every expected call gets `low` actual calls. In the second, every actual call that must be expected gets an expected
call within its `high` bound. If both exist in a bipartite graph, then one matching fulfils both (Mendelsohn and
Dulmage). So the two are computed separately, and each failure is explained by its own direction.

Greedy matching would be wrong: if `a` fits calls 1 and 2 and `b` fits only call 1, giving call 1 to `a` leaves `b`
without a call. An augmenting path moves `a` to call 2 instead.

Modes (actual calls on the left of each sign):
- `exact`: actual = expected, in order, nothing else.
- `in_order`: actual ⊇ expected, expected calls in this order, other calls may come between.
- `any_order`: actual = expected, in any order, nothing else.
- `superset`: actual ⊇ expected, in any order, other calls are allowed.
- `subset`: actual ⊆ expected: each actual call is expected, expected calls may be missing.

`times` defaults to exactly once; to at least once in modes that allow other calls; to at most once in `subset`. A
stated upper bound holds in every mode: a call that fits only expectations which are used up is one too many.
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
    """One expected call: how often, and the positions of the actual calls that fit it, ascending."""

    times: Times
    fits: tuple[int, ...]


class Verdict(msgspec.Struct, frozen=True):
    """The result of matching.

    Attributes:
        missing: Indices of expected calls with too few actual calls.
        extra: Positions of actual calls that nothing expects.
        misplaced: Indices of expected calls whose actual calls exist, but out of order.
    """

    missing: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()
    misplaced: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything fits."""
        return not (self.missing or self.extra or self.misplaced)


def default_times(mode: Mode) -> Times:
    """Return the default of `times` in a mode."""
    match mode:
        case "exact" | "any_order":
            return Times(1, 1)
        case "in_order" | "superset":
            return Times(1, math.inf)
        case "subset":
            return Times(0, 1)


def match_calls(mode: Mode, slots: Sequence[ExpectedSlot], calls: int) -> Verdict:
    """Match expected calls with `calls` actual calls."""
    missing = _unfilled(slots, calls)
    # In a mode that allows other calls, only calls that fit a bounded expectation must find room.
    closed = mode not in {"in_order", "superset"}
    extra = _unexpected(slots, calls, closed=closed)
    if missing or extra or mode not in {"exact", "in_order"}:
        return Verdict(missing, extra)
    return Verdict(misplaced=_exact_order(slots, calls) if mode == "exact" else _gapped_order(slots))


def maximum_matching(edges: Sequence[Sequence[int]], room: Sequence[float]) -> list[int | None]:
    """Return for each left node its right node in a maximum matching.

    Args:
        edges: Right nodes that each left node may take.
        room: Capacity of each right node.
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
    """Find a shortest augmenting path from a free left node by breadth-first search, and flip it."""
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
    """Return the slots that do not get their minimum number of calls."""
    owners = [i for i, slot in enumerate(slots) for _ in range(min(slot.times.low, calls + 1))]
    mate = maximum_matching([slots[i].fits for i in owners], [1] * calls)
    return tuple(sorted({owner for owner, call in zip(owners, mate, strict=True) if call is None}))


def _unexpected(slots: Sequence[ExpectedSlot], calls: int, *, closed: bool) -> tuple[int, ...]:
    """Return the calls that find no room. If the mode is not `closed`, calls that fit no slot are allowed."""
    fits: list[list[int]] = [[] for _ in range(calls)]
    for index, slot in enumerate(slots):
        for call in slot.fits:
            fits[call].append(index)
    mate = maximum_matching(fits, [slot.times.high for slot in slots])
    return tuple(i for i, slot in enumerate(mate) if slot is None and (closed or fits[i]))


def _exact_order(slots: Sequence[ExpectedSlot], calls: int) -> tuple[int, ...]:
    """Return the first slot that no way of reading the calls in order can fill; empty if one way fits.

    `reached` holds every position at which the next slot may begin. It is a set, because a slot with a range of
    `times` may stop after several counts, and which one is right depends on the slots that follow.
    """
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
    """Return the first slot that finds too few calls after the calls of earlier slots.

    Taking the earliest fitting call is optimal for a subsequence: it leaves the most calls for later slots.
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
    """Return the slots of expected calls; `fits(slot, call)` is called once for each pair."""
    return [ExpectedSlot(t, tuple(c for c in range(calls) if fits(i, c))) for i, t in enumerate(times)]
