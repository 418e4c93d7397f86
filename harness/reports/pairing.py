"""Pair the runs of two deploys by task, and average several runs of one task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.reports.columns import Bools, Columns, Floats, Ints, Names, joined

REPLAYED = "replayed"
"""Label of runs that were answered from a recording. Two such runs are compared exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The tasks that both sides have, sorted by name.

    Attributes:
        tasks: Names.
        exact: Whether a task's runs are replayed goldens on both sides.
        cell: For each row of the columns `2 * pair + side`, or -1 if the row is not paired.
        only_baseline: Number of tasks that only the baseline has.
        only_candidate: Number of tasks that only the candidate has.
        new: Rows of tasks that only the candidate has.
        mixed_sources: Pairs with replayed goldens on one side and live runs on the other.
    """

    tasks: tuple[str, ...]
    exact: Bools
    cell: Ints
    only_baseline: int
    only_candidate: int
    new: Bools
    mixed_sources: int

    @property
    def count(self) -> int:
        """Number of pairs."""
        return len(self.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedValues:
    """One quantity by pair; the value is NaN if no run knows it.

    Attributes:
        mean: Mean over the task's runs, one row for each side.
        runs: Runs that know the value.
        variance: Variance between a task's runs (n - 1), NaN for a single run.
    """

    mean: Floats
    runs: Floats
    variance: Floats

    @property
    def known(self) -> Bools:
        """Pairs whose value is known on both sides."""
        return np.asarray((self.runs > 0).all(axis=0))


def task_names(columns: Columns) -> Names:
    """Return each row's task as `suite/task`; missing if a run names no task."""
    return joined(columns.names["suite"], columns.names["task"])


def replayed_rows(columns: Columns) -> Bools:
    """Return which runs were answered from a recording.

    A label of the run says so. Its source does not, because a golden task may also run live. Rows of version 1 have no
    such label; at that time every run with the source `golden` was a replay.
    """
    sources = columns.names["source"]
    replayed = np.array([labels.get(REPLAYED) == "true" for labels in columns.labels], dtype=np.bool_)
    older = np.isnan(columns.numbers["execution"]) & (sources.codes == sources.code_of("golden"))
    return np.asarray(replayed | older | (sources.codes == sources.code_of("replay")))


def pair_tasks(columns: Columns) -> Pairs:
    """Return the pairs: tasks with equal names. The order of rows does not matter."""
    names = task_names(columns)
    named = names.codes >= 0
    width = len(names.values)
    counts = np.bincount(names.codes[named] * 2 + columns.side[named], minlength=2 * width).reshape(width, 2)
    here = (counts > 0).all(axis=1)
    order = sorted(np.flatnonzero(here).tolist(), key=names.values.__getitem__)
    position = np.full(width + 1, -1, dtype=np.int64)
    position[order] = np.arange(len(order))
    pair = position[names.codes]
    cell = np.where(named & (pair >= 0), pair * 2 + columns.side, -1)

    replayed = replayed_rows(columns)
    live = np.bincount(cell[(cell >= 0) & ~replayed], minlength=2 * len(order)).reshape(len(order), 2) > 0
    return Pairs(
        tasks=tuple(names.values[code] for code in order),
        exact=np.asarray(~live.any(axis=1)),
        cell=cell,
        only_baseline=int(((counts[:, 0] > 0) & (counts[:, 1] == 0)).sum()),
        only_candidate=int(((counts[:, 1] > 0) & (counts[:, 0] == 0)).sum()),
        new=named & ~np.append(here, True)[names.codes] & (columns.side == 1),
        mixed_sources=int((live.any(axis=1) & ~live.all(axis=1)).sum()),
    )


def paired_values(pairs: Pairs, values: Floats) -> PairedValues:
    """Return one quantity by pair.

    Args:
        pairs: The pairs of the rows.
        values: One value for each row, NaN if unknown.
    """
    rows = (pairs.cell >= 0) & ~np.isnan(values)
    cell, known = pairs.cell[rows], values[rows]
    size = 2 * pairs.count
    runs = np.bincount(cell, minlength=size).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(cell, weights=known, minlength=size) / runs
        spread = np.bincount(cell, weights=(known - mean[cell]) ** 2, minlength=size)
        variance = np.where(runs > 1, spread / (runs - 1), np.nan)
    return PairedValues(mean=_sides(mean), runs=_sides(runs), variance=_sides(variance))


def _sides(flat: Floats) -> Floats:
    return flat.reshape(-1, 2).T
