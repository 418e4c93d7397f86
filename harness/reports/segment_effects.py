"""Attribute the change of a run's cost to parts of the prompt.

Each segment's tokens are priced at the full input rate, and caching is a separate credit. The credit is
(input tokens) x (share of them cached) x (credit of a cached token), and Shapley values divide its change. The part
from the number of tokens goes to the segments that grew. The part from the cached share is `cache_break`. The rest is
`price`. The effects add up to the change of the billed mean.
"""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np

from harness.reports.aggregates import Aggregate
from harness.reports.columns import Bools, Columns
from harness.reports.segments import CACHE, OUTPUT, TOOLS, UNSPLIT

_APART = {OUTPUT: "output", TOOLS: "tool_credits", UNSPLIT: "unsplit"}
Amounts = dict[str, tuple[float, float]]


def segment_effects(columns: Columns, segments: Aggregate, rows: Bools) -> dict[str, float]:
    """Return dollars per run by segment, which add up to the billed change; empty unless all prompts are known."""
    has_segments = np.zeros(len(rows), dtype=np.bool_)
    has_segments[segments.row] = True
    if not rows.any() or not has_segments[rows].all():
        return {}
    sides = [_means(columns, segments, rows, side) for side in (0, 1)]
    effects = _effects(sides[0], sides[1])
    cost = columns.numbers["cost_nanousd"]
    bills = [float(cost[rows & (columns.side == side)].mean()) for side in (0, 1)]
    whole = {name: round(value) for name, value in effects.items()}
    rest = round(bills[1]) - round(bills[0]) - sum(whole.values())
    # One nano-dollar a segment is rounding. A larger rest is the cost of calls whose prompts are unknown.
    if abs(rest) <= len(whole) + 2:
        whole[max(whole, key=lambda name: abs(whole[name]))] += rest
    else:
        whole["unsplit"] = whole.get("unsplit", 0) + rest
    return {name: value / 1e9 for name, value in whole.items() if value}


def _means(columns: Columns, segments: Aggregate, rows: Bools, side: int) -> Amounts:
    """Return each segment's tokens and nano-dollars per run."""
    here = rows & (columns.side == side)
    runs = max(int(here.sum()), 1)
    mine = here[segments.row]
    width = len(segments.name.values)
    codes = segments.name.codes[mine]
    tokens, costs = (
        np.bincount(codes, weights=np.nan_to_num(segments.numbers[column][mine]), minlength=width) / runs
        for column in ("input_tokens", "cost_nanousd")
    )
    return {name: (float(tokens[code]), float(costs[code])) for code, name in enumerate(segments.name.values)}


def _effects(first: Amounts, second: Amounts) -> dict[str, float]:
    none = (0.0, 0.0)
    names = sorted({*first, *second})
    prompts = [name for name in names if name not in {CACHE, *_APART}]
    effects = {
        _APART[name]: second.get(name, none)[1] - first.get(name, none)[1] for name in names if name in _APART
    }
    effects["price"] = 0.0
    for name in prompts:
        (before, paid), (now, pays) = first.get(name, none), second.get(name, none)
        rates = _filled(paid, before), _filled(pays, now)
        low, high = (r if r is not None else rates[1 - i] or 0.0 for i, r in enumerate(rates))
        effects[name] = (now - before) * (low + high) / 2
        effects["price"] += (high - low) * (now + before) / 2
    grown = {name: second.get(name, none)[0] - first.get(name, none)[0] for name in prompts}
    volume, share, credit = _credit(first, second, prompts)
    total = sum(grown.values())
    for name in prompts:
        effects[name] += volume * grown[name] / total if total else 0.0
    effects["cache_break"] = share
    effects["price"] += credit
    return effects or {"unsplit": 0.0}


def _credit(first: Amounts, second: Amounts, prompts: list[str]) -> tuple[float, float, float]:
    """Return the parts of the credit's change: input tokens, cached share, credit of a cached token."""
    sides = []
    for side in (first, second):
        tokens = sum(side.get(name, (0.0, 0.0))[0] for name in prompts)
        cached, credit = side.get(CACHE, (0.0, 0.0))
        sides.append((tokens, _filled(cached, tokens), _filled(credit, cached)))
    factors = []
    for low, high in zip(*sides, strict=True):
        factors.append((low if low is not None else high or 0.0, high if high is not None else low or 0.0))
    effects = [0.0, 0.0, 0.0]
    orders = list(permutations(range(3)))
    for order in orders:
        at = [pair[0] for pair in factors]
        for index in order:
            before = math.prod(at)
            at[index] = factors[index][1]
            effects[index] += (math.prod(at) - before) / len(orders)
    return effects[0], effects[1], effects[2]


def _filled(part: float, whole: float) -> float | None:
    return part / whole if whole else None
