"""Slide the gaps of an alignment to where readers expect them, as git's indent heuristic does.

Theory of operation. A run of equal calls has several longest common subsequences of the same length: they differ only
in which of the equal calls has no partner. A gap, which is a stretch of calls without a partner, is therefore free to
slide along equal calls. It is moved by two rules:

1. Beside a gap of the other run, if it can get there: the two are then one changed call.
2. Otherwise to the end of the equal calls: the last one repeats those before, so it is the added or dropped one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from harness.diff.lcs import Pairs, common_pairs

_NO_PARTNER = -1


def settled_pairs(a: Sequence[Hashable], b: Sequence[Hashable]) -> Pairs:
    """Return index pairs of a longest common subsequence, with the gaps slid to where they belong."""
    pairs = common_pairs(a, b)
    if not pairs:
        return pairs
    of_a, of_b = [_NO_PARTNER] * len(a), [_NO_PARTNER] * len(b)
    for i, j in pairs:
        of_a[i], of_b[j] = j, i
    _slide(a, of_a, of_b)
    _slide(b, of_b, of_a)
    return [(i, j) for i, j in enumerate(of_a) if j != _NO_PARTNER]


def _slide(keys: Sequence[Hashable], mine: list[int], other: list[int]) -> None:
    """Slide each gap of one side that faces no gap of the other."""
    start = 0
    while start < len(mine):
        if mine[start] != _NO_PARTNER:
            start += 1
            continue
        end = start + 1
        while end < len(mine) and mine[end] == _NO_PARTNER:
            end += 1
        if not _faces_hole(start, end, mine, other):
            end = max(end, _slide_one(keys, start, end, mine, other))
        start = end


def _slide_one(keys: Sequence[Hashable], start: int, end: int, mine: list[int], other: list[int]) -> int:
    """Slide one gap and return its new end."""
    size = end - start
    back = start
    while back > 0 and mine[back - 1] != _NO_PARTNER and keys[back - 1] == keys[back + size - 1]:
        back -= 1
        if _hole_before(back, mine, other):
            for k in range(start - 1, back - 1, -1):
                _move(k, k + size, mine, other)
            return back + size
    ahead = end
    while ahead < len(mine) and mine[ahead] != _NO_PARTNER and keys[ahead] == keys[ahead - size]:
        _move(ahead, ahead - size, mine, other)
        ahead += 1
        if _faces_hole(ahead - size, ahead, mine, other):
            break
    return ahead


def _hole_before(at: int, mine: list[int], other: list[int]) -> bool:
    """Tell whether the other side has an unpaired key just before the partner of the key at `at`."""
    partner = mine[at]
    return partner > 0 and other[partner - 1] == _NO_PARTNER


def _faces_hole(start: int, end: int, mine: list[int], other: list[int]) -> bool:
    before = mine[start - 1] if start > 0 else -1
    after = mine[end] if end < len(mine) else len(other)
    if start > 0 and before == _NO_PARTNER:
        return False
    return after - before > 1


def _move(source: int, target: int, mine: list[int], other: list[int]) -> None:
    partner = mine[source]
    mine[source], mine[target] = _NO_PARTNER, partner
    other[partner] = target
