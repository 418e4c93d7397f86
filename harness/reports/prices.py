"""Estimate the price of each kind of token from the usage and the cost of runs.

Apart from tiers, costs are linear in tokens, so least squares recovers the prices. If all runs of a side used tokens
in the same proportion, the prices are not determined. Then the usual proportions of prices are scaled to the cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.reports.columns import Floats

KINDS = 4
"""Fresh input, cache reads, cache writes, output."""

_USUAL = np.array([1.0, 0.25, 1.25, 4.0])
_FIT = 1e-3
"""Largest relative error with which estimated prices may explain the cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidUsage:
    """Usage and cost of some runs; rows are runs.

    Attributes:
        kinds: Tokens of each kind.
        cost: Nano-dollars.
    """

    kinds: Floats
    cost: Floats


def estimate(first: PaidUsage, second: PaidUsage, *, same_table: bool) -> tuple[Floats, Floats]:
    """Return the price of each kind of token on both sides, in nano-dollars a token.

    Args:
        first: Runs of the baseline.
        second: Runs of the candidate.
        same_table: Whether both sides name the same price table. Then no price changed.
    """
    if not len(first.cost) or not len(second.cost):
        only = _side(first if len(first.cost) else second)
        return only, only
    both = PaidUsage(
        kinds=np.concatenate([first.kinds, second.kinds]), cost=np.concatenate([first.cost, second.cost])
    )
    pooled = _fit(both)
    own, other = _fit(first, full=True), _fit(second, full=True)
    if not same_table and own is not None and other is not None:
        if np.allclose(own, other, rtol=1e-6, atol=0.0):
            return own, own
        return _complete(own, other), _complete(other, own)
    if pooled is not None:
        return pooled, pooled
    if same_table:
        usual = _scaled(both)
        return usual, usual
    return _scaled(first), _scaled(second)


def _side(usage: PaidUsage) -> Floats:
    found = _fit(usage)
    return _scaled(usage) if found is None else found


def _fit(usage: PaidUsage, *, full: bool = False) -> Floats | None:
    """Return the least-squares prices if they explain the costs; with `full`, only if they are unique."""
    used = usage.kinds.any(axis=0)
    if not used.any() or np.isnan(usage.kinds).any():
        return None
    scale = usage.kinds[:, used].mean(axis=0)
    rows = usage.kinds[:, used] / scale
    if full and (len(rows) <= int(used.sum()) or np.linalg.matrix_rank(rows) < int(used.sum())):
        return None
    # If the costs do not determine the prices, take the solution nearest to the usual proportions.
    start = _scaled(usage)[used] * scale
    found = start + np.linalg.lstsq(rows, usage.cost - rows @ start, rcond=None)[0]
    error = float(np.abs(rows @ found - usage.cost).sum())
    if error > _FIT * max(float(usage.cost.sum()), 1.0) or (found < -1e-9 * np.abs(found).max()).any():
        return None
    prices = np.zeros(KINDS)
    prices[used] = np.maximum(found, 0.0) / scale
    return prices


def _complete(own: Floats, other: Floats) -> Floats:
    """Return prices, with the other side's price of each kind that this side never used."""
    return np.where(own > 0, own, other)


def _scaled(usage: PaidUsage) -> Floats:
    paid, usual = float(usage.cost.sum()), float((np.nan_to_num(usage.kinds) @ _USUAL).sum())
    return _USUAL * (paid / usual if usual else 0.0)
