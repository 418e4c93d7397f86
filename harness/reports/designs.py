"""Designs of a comparison: task by task, or stratum by stratum for runs that name no task.

A design turns one value of each run into estimates of its change. `TaskDesign` pairs runs by task, because tasks
differ far more than deploys. `StrataDesign` compares runs of one kind of request. It weights each stratum as in the
baseline, so that a shifted mix of requests is not a change. It treats the runs of one tenant as one cluster, because
they are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.reports.columns import Bools, Columns, Floats, Ints, Names
from harness.reports.pairing import PairedValues, Pairs, paired_values
from harness.reports.stats import (
    Estimate,
    clustered_estimate,
    mcnemar_p,
    newcombe_paired,
    paired_estimate,
    seed_for,
    total_estimate,
)

MIN_STRATUM_RUNS = 5
"""Strata with fewer runs on a side are merged by agent, and the report says how much traffic that is."""

REST = "rest"


class Design(Protocol):
    """Estimates of change over the units of a comparison; values are one for each row, NaN where unknown."""

    @property
    def rows(self) -> Bools:
        """Rows that are compared."""
        ...

    @property
    def units(self) -> tuple[str, ...]:
        """Tasks or strata."""
        ...

    def typical(self, logs: Floats, name: str) -> Estimate | None:
        """Return the mean change of logarithms over the live units."""
        ...

    def total(self, values: Floats, name: str) -> Estimate | None:
        """Return the logarithm of the ratio of totals over the live units."""
        ...

    def share(self, values: Floats, name: str) -> Estimate | None:
        """Return the change of a share over the live units."""
        ...

    def sides(self, values: Floats) -> Floats:
        """Return both sides' value of each unit in the totals, `(2, units)`, NaN if one side is unknown."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDesign:
    """Runs paired by task. Replayed tasks are not estimated here, because they are compared exactly.

    Attributes:
        pairs: The pairs.
        labels: Baseline and candidate; they are the seed of the resampling.
    """

    pairs: Pairs
    labels: tuple[str, str]

    @property
    def rows(self) -> Bools:
        """Rows that are compared."""
        return np.asarray(self.pairs.cell >= 0)

    @property
    def units(self) -> tuple[str, ...]:
        """Tasks."""
        return self.pairs.tasks

    def typical(self, logs: Floats, name: str) -> Estimate | None:
        """Return the mean change of logarithms over the live tasks."""
        means, live = self._live(logs)
        if not live.any():
            return None
        return paired_estimate(means[1, live] - means[0, live], seed=seed_for(*self.labels, name))

    def total(self, values: Floats, name: str) -> Estimate | None:
        """Return the logarithm of the ratio of sums over the live tasks."""
        means, live = self._live(values)
        if not live.any() or min(means[0, live].sum(), means[1, live].sum()) <= 0:
            return None
        return total_estimate(means[0, live], means[1, live], seed=seed_for(*self.labels, name, "total"))

    def share(self, values: Floats, name: str) -> Estimate | None:
        """Return the change of a share over the live tasks.

        One run a side uses McNemar's exact test with Newcombe's interval. With repeats, the interval is the wider of
        the bootstrap interval and Newcombe's over the tasks' majorities: if all values are equal, the bootstrap
        interval has no width.
        """
        found = paired_values(self.pairs, values)
        live = found.known & ~self.pairs.exact
        if not live.any():
            return None
        first, second = found.mean[:, live]
        most = first >= 0.5, second >= 0.5
        lost, gained = int((most[0] & ~most[1]).sum()), int((~most[0] & most[1]).sum())
        both = int((most[0] & most[1]).sum())
        low, high = newcombe_paired(both, lost, gained, len(first) - both - lost - gained)
        gap = float((second - first).mean())
        if bool((found.runs[:, live] == 1).all()):
            return Estimate(
                value=gap,
                low=low,
                high=high,
                p_up=mcnemar_p(gained, lost),
                p_down=mcnemar_p(lost, gained),
                error=(high - low) / 3.92,
                units=len(first),
            )
        one = paired_estimate(second - first, seed=seed_for(*self.labels, name))
        middle = gap - (gained - lost) / len(first)
        return Estimate(
            value=gap,
            low=min(one.low, low + middle),
            high=max(one.high, high + middle),
            p_up=one.p_up,
            p_down=one.p_down,
            error=one.error,
            units=len(first),
        )

    def sides(self, values: Floats) -> Floats:
        """Return the mean of each task's runs."""
        return paired_values(self.pairs, values).mean

    def _live(self, values: Floats) -> tuple[Floats, Bools]:
        found: PairedValues = paired_values(self.pairs, values)
        return found.mean, found.known & ~self.pairs.exact


@dataclass(frozen=True, slots=True, kw_only=True)
class StrataDesign:
    """Runs without a task, by stratum.

    Attributes:
        names: Strata that have runs on both sides.
        cell: For each row `2 * stratum + side`, or -1 if it is not compared.
        counts: Runs of each stratum, `(2, strata)`.
        clusters: Cluster of each row: its tenant, or the row itself if all runs share one tenant.
        covered: Share of the baseline's runs whose stratum the candidate has too.
        rest: Share of the covered runs whose stratum was too small and was merged.
    """

    names: tuple[str, ...]
    cell: Ints
    counts: Floats
    clusters: Ints
    covered: float
    rest: float

    @property
    def rows(self) -> Bools:
        """Rows that are compared."""
        return np.asarray(self.cell >= 0)

    @property
    def units(self) -> tuple[str, ...]:
        """Strata."""
        return self.names

    @property
    def weights(self) -> Floats:
        """Each stratum's share of the baseline's runs."""
        return np.asarray(self.counts[0] / max(self.counts[0].sum(), 1.0))

    def typical(self, logs: Floats, name: str) -> Estimate | None:
        """Return the standardised mean change of logarithms."""
        return self._estimate(logs, ratio=False)

    def total(self, values: Floats, name: str) -> Estimate | None:
        """Return the logarithm of the ratio of standardised means."""
        return self._estimate(values, ratio=True)

    def share(self, values: Floats, name: str) -> Estimate | None:
        """Return the standardised change of a share."""
        return self._estimate(values, ratio=False)

    def sides(self, values: Floats) -> Floats:
        """Return each stratum's mean times the baseline's runs: the bill of the baseline's traffic."""
        means, _ = self._means(values)
        return np.asarray(means * self.counts[0])

    def _means(self, values: Floats) -> tuple[Floats, Floats]:
        rows = self.rows & ~np.isnan(values)
        size = 2 * len(self.names)
        counts = np.bincount(self.cell[rows], minlength=size)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.bincount(self.cell[rows], weights=values[rows], minlength=size) / counts
        return means.reshape(-1, 2).T, counts.reshape(-1, 2).T.astype(np.float64)

    def _estimate(self, values: Floats, *, ratio: bool) -> Estimate | None:
        means, counts = self._means(values)
        known = np.asarray((counts > 0).all(axis=0))
        weights = np.where(known, self.weights, 0.0)
        if weights.sum() <= 0:
            return None
        weights = weights / weights.sum()
        sums = (weights * np.where(known, means, 0.0)).sum(axis=1)
        if ratio and (sums <= 0).any():
            return None
        rows = np.flatnonzero(self.rows & ~np.isnan(values) & known[self.cell // 2])
        stratum, side = self.cell[rows] // 2, self.cell[rows] % 2
        count = counts[side, stratum]
        scale = (
            weights[stratum] / count * np.sqrt(count / np.maximum(count - 1, 1)) * np.where(side, 1.0, -1.0)
        )
        influence = scale * (values[rows] - means[side, stratum])
        if ratio:
            influence = influence / sums[side]
        value = float(np.log(sums[1] / sums[0])) if ratio else float(sums[1] - sums[0])
        fewer = int(np.bincount(side, minlength=2).min())
        return clustered_estimate(influence, value, self.clusters[rows], units=fewer)


def strata_design(columns: Columns, key: Names, rows: Bools) -> StrataDesign | None:
    """Return the design over some rows; `None` if no stratum has runs on both sides.

    Args:
        columns: Runs of both sides.
        key: Stratum of each row.
        rows: Rows to compare.
    """
    names, codes = _standing(columns, key, rows)
    width = len(names)
    if not width:
        return None
    counts = np.bincount(codes[codes >= 0] * 2 + columns.side[codes >= 0], minlength=2 * width).reshape(
        width, 2
    )
    shared = (counts > 0).all(axis=1)
    kept = np.flatnonzero(shared)
    if not len(kept):
        return None
    position = np.full(width + 1, -1, dtype=np.int64)
    position[kept] = np.arange(len(kept))
    place = position[codes]
    tenants = columns.names["tenant"].codes
    many = len(np.unique(tenants[place >= 0])) > 1
    all_runs = max(int((rows & (columns.side == 0)).sum()), 1)
    rest = sum(int(counts[i, 0]) for i in kept.tolist() if names[i].startswith(f"{REST}:"))
    return StrataDesign(
        names=tuple(names[i] for i in kept.tolist()),
        cell=np.where(place >= 0, place * 2 + columns.side, -1),
        counts=counts[kept].T.astype(np.float64),
        clusters=tenants + 1 if many else np.arange(len(tenants)),
        covered=float(counts[kept, 0].sum()) / all_runs,
        rest=rest / max(int(counts[kept, 0].sum()), 1),
    )


def _standing(columns: Columns, key: Names, rows: Bools) -> tuple[list[str], Ints]:
    """Return the strata, with those too small on a side merged by agent, and each row's stratum."""
    codes = np.where(rows, key.codes, -1)
    width = len(key.values)
    used = codes >= 0
    counts = np.bincount(codes[used] * 2 + columns.side[used], minlength=2 * width).reshape(width, 2)
    alone = (counts >= MIN_STRATUM_RUNS).all(axis=1)
    agents = columns.names["agent"]
    small = rows & ~(used & np.append(alone, False)[codes])
    names = [*key.values, *(f"{REST}:{agent}" for agent in agents.values), f"{REST}:unknown"]
    other = np.where(agents.codes >= 0, agents.codes, len(agents.values)) + width
    return names, np.where(small, other, codes)
