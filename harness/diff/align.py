"""Align the calls of two runs: which call of B stands for which call of A.

Theory of operation.
1. Equal beginnings and ends (by stored hash) are cut off; what is left is the middle.
2. In the middle a longest common subsequence of hashes gives anchors; in each gap between anchors (after 3)
   another one, of equal tool and arguments, gives more.
3. A call left over that stands exactly once in each middle is moved: no lookalike at its old place is it.
4. Gaps that remain are aligned by Needleman-Wunsch on likeness; gaps that are too large by names in order.
5. Calls left over on both sides are moved if they are equal or nearly so.

The steps are not symmetric in their ties. So the middle is always aligned in one orientation, the smaller list
of hashes first, and turned round if need be: aligning B with A gives the same pairs.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict, deque
from collections.abc import Sequence

import msgspec

from harness.diff.document import Call
from harness.diff.lcs import Pairs, common_pairs
from harness.diff.similarity import (
    MIN_SIMILARITY,
    MOVE_SIMILARITY,
    Features,
    args_key,
    dice,
    is_surely_alike,
    likeness,
)
from harness.diff.slide import settled_pairs
from runtime.core.canonical import fingerprint
from runtime.core.trace import ToolStep

GAP_SCORE = -0.25
"""Score of a call without a partner."""
MOST_CELLS = 60_000
"""Largest table of a gap; above it names are aligned in order, which is linear."""


class Alignment(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs of two lists of calls.

    Attributes:
        prefix: Calls that are equal at the beginning.
        suffix: Calls that are equal at the end.
        pairs: Pairs between them, both indices strictly increasing.
        moves: Pairs that cross the others, by index in B.
    """

    prefix: int
    suffix: int
    pairs: tuple[tuple[int, int], ...] = ()
    moves: tuple[tuple[int, int], ...] = ()


def call_hashes(a: Sequence[Call], b: Sequence[Call]) -> tuple[list[str], list[str]]:
    """Return the hashes to align on: the stored ones, or new ones for both if a trace lacks some."""
    ours, theirs = [call.hash for call in a], [call.hash for call in b]
    if "" in ours or "" in theirs:
        return [_fresh_hash(call) for call in a], [_fresh_hash(call) for call in b]
    return ours, theirs


def align(a: Sequence[Call], b: Sequence[Call], ours: list[str], theirs: list[str]) -> Alignment:
    """Return the alignment of two lists of calls.

    Args:
        a: Calls of A.
        b: Calls of B.
        ours: Hashes of A's calls; equal hashes are equal calls.
        theirs: Hashes of B's calls.
    """
    prefix, suffix = _trim(ours, theirs)
    end_a, end_b = len(a) - suffix, len(b) - suffix
    if prefix in (end_a, end_b):
        return Alignment(prefix=prefix, suffix=suffix)
    if end_a - prefix == end_b - prefix == 1 and is_surely_alike(a[prefix], b[prefix]):
        # One changed call, the most common diff of all, needs no measuring.
        return Alignment(prefix=prefix, suffix=suffix, pairs=((prefix, prefix),))
    middle_a, middle_b = ours[prefix:end_a], theirs[prefix:end_b]
    turned = middle_a > middle_b
    if turned:
        middle = _Middle(b[prefix:end_b], a[prefix:end_a], middle_b, middle_a)
    else:
        middle = _Middle(a[prefix:end_a], b[prefix:end_b], middle_a, middle_b)
    middle.run()
    pairs = [(i + prefix, j + prefix) for i, j in middle.chain]
    moves = [(i + prefix, j + prefix) for i, j in middle.moves]
    if turned:
        pairs, moves = [(j, i) for i, j in pairs], [(j, i) for i, j in moves]
    moves.sort(key=lambda pair: pair[1])
    return Alignment(prefix=prefix, suffix=suffix, pairs=tuple(pairs), moves=tuple(moves))


def _trim(ours: list[str], theirs: list[str]) -> tuple[int, int]:
    most = min(len(ours), len(theirs))
    prefix = 0
    for mine, other in zip(ours, theirs, strict=False):
        if mine != other:
            break
        prefix += 1
    suffix = 0
    for mine, other in zip(reversed(ours), reversed(theirs), strict=False):
        if suffix == most - prefix or mine != other:
            break
        suffix += 1
    return prefix, suffix


class _Middle:
    """The part of two runs that differs, while it is aligned."""

    def __init__(self, a: Sequence[Call], b: Sequence[Call], ours: list[str], theirs: list[str]) -> None:
        self._a, self._b = a, b
        self._ours, self._theirs = ours, theirs
        self._known_a: dict[int, Features] = {}
        self._known_b: dict[int, Features] = {}
        self._moved_a: set[int] = set()
        self._moved_b: set[int] = set()
        self.chain: Pairs = []
        self.moves: Pairs = []

    def run(self) -> None:
        """Fill `chain` and `moves`."""
        self._anchor(self._ours, self._theirs)
        self._move_unique()
        self._anchor(_tool_keys(self._a, "a", self._moved_a), _tool_keys(self._b, "b", self._moved_b))
        for a0, a1, b0, b1 in self._gaps():
            self.chain += self._fill(a0, a1, b0, b1)
        self.chain.sort()
        self._move()

    def _gaps(self) -> list[tuple[int, int, int, int]]:
        gaps = []
        a0 = b0 = 0
        for i, j in [*self.chain, (len(self._a), len(self._b))]:
            if i > a0 and j > b0:
                gaps.append((a0, i, b0, j))
            a0, b0 = i + 1, j + 1
        return gaps

    def _anchor(self, keys_a: Sequence[object], keys_b: Sequence[object]) -> None:
        for a0, a1, b0, b1 in self._gaps():
            found = settled_pairs(keys_a[a0:a1], keys_b[b0:b1])
            self.chain += [(i + a0, j + b0) for i, j in found]
        self.chain.sort()

    def _fill(self, a0: int, a1: int, b0: int, b1: int) -> Pairs:
        at_a = [i for i in range(a0, a1) if i not in self._moved_a]
        at_b = [j for j in range(b0, b1) if j not in self._moved_b]
        if len(at_a) * len(at_b) <= MOST_CELLS:
            found = _needleman([self._of_a(i) for i in at_a], [self._of_b(j) for j in at_b])
            return [(at_a[i], at_b[j]) for i, j in found]
        found = common_pairs([_name(self._a[i]) for i in at_a], [_name(self._b[j]) for j in at_b])
        pairs = [(at_a[i], at_b[j]) for i, j in found]
        return [(i, j) for i, j in pairs if likeness(self._of_a(i), self._of_b(j)) >= MIN_SIMILARITY]

    def _move_unique(self) -> None:
        """Take calls without an anchor that stand once in each run for moved, before gaps find them a lookalike."""
        left_a, left_b = self._left()
        once_a = {key for key, count in Counter(self._ours).items() if count == 1}
        once_b = {key for key, count in Counter(self._theirs).items() if count == 1}
        where = {self._theirs[j]: j for j in left_b if self._theirs[j] in once_b}
        for i in left_a:
            if self._ours[i] in once_a and (j := where.get(self._ours[i])) is not None:
                self.moves.append((i, j))
                self._moved_a.add(i)
                self._moved_b.add(j)

    def _left(self) -> tuple[list[int], list[int]]:
        """Return the calls of both sides that have no partner yet."""
        paired_a, paired_b = {i for i, _ in self.chain}, {j for _, j in self.chain}
        left_a = [i for i in range(len(self._a)) if i not in paired_a and i not in self._moved_a]
        left_b = [j for j in range(len(self._b)) if j not in paired_b and j not in self._moved_b]
        return left_a, left_b

    def _move(self) -> None:
        left_a, left_b = self._left()
        if not left_a or not left_b:
            return
        equal = self._equal_moves(left_a, left_b)
        gone_a, gone_b = {i for i, _ in equal}, {j for _, j in equal}
        left_a = [i for i in left_a if i not in gone_a]
        left_b = [j for j in left_b if j not in gone_b]
        for i, j in equal + self._alike_moves(left_a, left_b):
            self._place(i, j)

    def _equal_moves(self, left_a: list[int], left_b: list[int]) -> Pairs:
        where: dict[str, deque[int]] = defaultdict(deque)
        for j in left_b:
            where[self._theirs[j]].append(j)
        return [(i, where[self._ours[i]].popleft()) for i in left_a if where.get(self._ours[i])]

    def _alike_moves(self, left_a: list[int], left_b: list[int]) -> Pairs:
        """Return nearly equal leftovers, the most alike first; too many leftovers are not looked at."""
        if len(left_a) * len(left_b) > MOST_CELLS:
            return []
        found: list[tuple[float, int, int]] = []
        for i in left_a:
            mine = self._of_a(i)
            for j in left_b:
                other = self._of_b(j)
                if mine.group == other.group and (alike := dice(mine, other)) >= MOVE_SIMILARITY:
                    found.append((-alike, i, j))
        found.sort()
        pairs: Pairs = []
        used_a: set[int] = set()
        used_b: set[int] = set()
        for _, i, j in found:
            if i not in used_a and j not in used_b:
                pairs.append((i, j))
                used_a.add(i)
                used_b.add(j)
        return pairs

    def _place(self, i: int, j: int) -> None:
        """Add a pair of leftovers: to the chain if it crosses nothing there, to the moves else."""
        at = bisect_left(self.chain, (i, j))
        fits_before = at == 0 or self.chain[at - 1][1] < j
        fits_after = at == len(self.chain) or self.chain[at][1] > j
        if fits_before and fits_after:
            insort(self.chain, (i, j))
        else:
            self.moves.append((i, j))

    def _of_a(self, i: int) -> Features:
        if i not in self._known_a:
            self._known_a[i] = Features(self._a[i])
        return self._known_a[i]

    def _of_b(self, j: int) -> Features:
        if j not in self._known_b:
            self._known_b[j] = Features(self._b[j])
        return self._known_b[j]


def _needleman(a: list[Features], b: list[Features]) -> Pairs:
    """Return the pairs of the best global alignment; likeness below the least one is no pair."""
    width = len(b) + 1
    above = [j * GAP_SCORE for j in range(width)]
    steps: list[bytearray] = []
    for i, mine in enumerate(a):
        row = [(i + 1) * GAP_SCORE]
        step = bytearray(width)
        for j, other in enumerate(b):
            best, way = above[j + 1] + GAP_SCORE, 1
            left = row[j] + GAP_SCORE
            if left > best:
                best, way = left, 2
            alike = likeness(mine, other)
            if alike >= MIN_SIMILARITY and above[j] + alike >= best:
                best, way = above[j] + alike, 3
            row.append(best)
            step[j + 1] = way
        steps.append(step)
        above = row
    pairs: Pairs = []
    i, j = len(a), len(b)
    while i and j:
        way = steps[i - 1][j]
        if way == 3:
            pairs.append((i - 1, j - 1))
        i, j = i - (way != 2), j - (way != 1)
    pairs.reverse()
    return pairs


def _name(call: Call) -> str | None:
    return call.name if isinstance(call, ToolStep) else None


def _tool_keys(calls: Sequence[Call], side: str, moved: set[int]) -> list[object]:
    """Return tool and arguments of each call; a model call or a moved one gets a key that nothing equals."""
    return [
        (call.name, args_key(call)) if isinstance(call, ToolStep) and at not in moved else (side, at, None)
        for at, call in enumerate(calls)
    ]


def _fresh_hash(call: Call) -> str:
    """Return a fingerprint without times, ids and money, for traces that came without hashes."""
    if isinstance(call, ToolStep):
        return fingerprint([call.name, call.arguments, call.status, call.result])
    return fingerprint([call.request_model, call.finish_reason, call.text, call.tool_names, call.error])
