"""The longest common subsequence of two lists of keys.

Two algorithms, one answer in length. Where equal keys are rare the matching pairs are few and Hunt-Szymanski
(1977) is near linear, whatever the order. Where few keys repeat often (hundreds of calls of two tools) there
are very many matching pairs, but the lists then differ little and Myers' O(ND) greedy search (1986) is short.
`difflib` finds long blocks instead, is cubic on repeated keys, and drops popular ones by default.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence

Pairs = list[tuple[int, int]]
_Link = tuple["_Link | None", int, int]

_PAIRS_PER_KEY = 16
"""Matching pairs for each key up to which Hunt-Szymanski is taken."""


def common_pairs(a: Sequence[Hashable], b: Sequence[Hashable]) -> Pairs:
    """Return index pairs of a longest common subsequence, both indices strictly increasing.

    Deterministic, but not symmetric: of several longest ones, another may be found when the lists are swapped.
    """
    count_a, count_b = Counter(a), Counter(b)
    # A key that the other list lacks can match nothing; without it the search space is much smaller.
    at_a = [i for i, key in enumerate(a) if key in count_b]
    at_b = [j for j, key in enumerate(b) if key in count_a]
    if not at_a:
        return []
    kept_a, kept_b = [a[i] for i in at_a], [b[j] for j in at_b]
    matches = sum(n * count_b[key] for key, n in count_a.items())
    search = _hunt if matches <= _PAIRS_PER_KEY * (len(at_a) + len(at_b)) else _myers
    return [(at_a[i], at_b[j]) for i, j in search(kept_a, kept_b)]


def _hunt(a: Sequence[Hashable], b: Sequence[Hashable]) -> Pairs:
    where: dict[Hashable, list[int]] = {}
    for j in range(len(b) - 1, -1, -1):
        where.setdefault(b[j], []).append(j)
    tails: list[int] = []
    chains: list[_Link] = []
    for i, key in enumerate(a):
        for j in where.get(key, ()):
            k = bisect_left(tails, j)
            link: _Link = (chains[k - 1] if k else None, i, j)
            if k == len(tails):
                tails.append(j)
                chains.append(link)
            elif j < tails[k]:
                tails[k], chains[k] = j, link
    pairs: Pairs = []
    at: _Link | None = chains[-1] if chains else None
    while at is not None:
        pairs.append((at[1], at[2]))
        at = at[0]
    pairs.reverse()
    return pairs


def _myers(a: Sequence[Hashable], b: Sequence[Hashable]) -> Pairs:
    """Search the edit graph; `rows[d][i]` is the furthest x on diagonal `2 * i - d` after d edits."""
    size_a, size_b = len(a), len(b)
    rows: list[list[int]] = []
    for d in range(size_a + size_b + 1):
        before = rows[-1] if rows else [0]
        row = []
        for i in range(d + 1):
            x = before[0] if d == 0 else before[i] if _from_above(before, i, d) else before[i - 1] + 1
            y = x - (2 * i - d)
            while x < size_a and y < size_b and a[x] == b[y]:
                x, y = x + 1, y + 1
            row.append(x)
            if x >= size_a and y >= size_b:
                rows.append(row)
                return _walk_back(rows, i, size_a, size_b)
        rows.append(row)
    raise AssertionError("the edit graph always has a path")


def _from_above(before: list[int], i: int, d: int) -> bool:
    return i == 0 or (i < d and before[i - 1] < before[i])


def _walk_back(rows: list[list[int]], i: int, x: int, y: int) -> Pairs:
    pairs: Pairs = []
    for d in range(len(rows) - 1, 0, -1):
        above = _from_above(rows[d - 1], i, d)
        i = i if above else i - 1
        start_x = rows[d - 1][i] + (0 if above else 1)
        while x > start_x:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        x, y = (x, y - 1) if above else (x - 1, y)
    pairs += [(k, k) for k in range(x - 1, -1, -1)]
    pairs.reverse()
    return pairs
