"""Rows of two deploys as numpy arrays, with text as codes into a shared list of names.

A missing number is NaN and a missing name has code -1. A missing value is never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import compress, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from harness.reports.manifest import Manifest
from harness.reports.reading import IDENTITY, read_table, superseded_rows

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """A column of names.

    Attributes:
        codes: Index into `values`, -1 where missing.
        values: The distinct names.
    """

    codes: Ints
    values: tuple[str, ...]

    def code_of(self, name: str) -> int:
        """Return the code of a name, -2 if the column does not hold it."""
        return self.values.index(name) if name in self.values else -2

    def take(self, rows: Bools) -> Names:
        """Return some rows of the column."""
        return Names(codes=self.codes[rows], values=self.values)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Rows of a baseline, then rows of a candidate.

    Attributes:
        side: 0 for the baseline, 1 for the candidate.
        numbers: Numeric columns; flags are 0 and 1.
        names: Text columns.
        run_ids: Run ids.
        labels: Labels of each run; empty if the caller did not request them.
    """

    side: Ints
    numbers: dict[str, Floats]
    names: dict[str, Names]
    run_ids: tuple[str, ...] = ()
    labels: tuple[dict[str, str], ...] = ()

    @cached_property
    def rows_by_id(self) -> tuple[dict[str, int], dict[str, int]]:
        """The row of each run id, by side; a deploy may be compared with itself."""
        first = int((self.side == 0).sum())
        ids = self.run_ids
        return dict(zip(ids[:first], range(first), strict=True)), dict(
            zip(ids[first:], range(first, len(ids)), strict=True)
        )

    def take(self, rows: Bools) -> Columns:
        """Return some of the rows."""
        return Columns(
            side=self.side[rows],
            numbers={name: values[rows] for name, values in self.numbers.items()},
            names={name: values.take(rows) for name, values in self.names.items()},
            run_ids=tuple(compress(self.run_ids, rows)),
            labels=tuple(compress(self.labels, rows)),
        )


def read_sides(
    history: Path,
    manifest: Manifest,
    *,
    baseline: str,
    candidate: str,
    numbers: tuple[str, ...],
    names: tuple[str, ...],
    damaged: list[str] | None = None,
) -> Columns:
    """Return columns of the runs of two deploys, without runs that a newer execution replaced.

    Rows are sorted by their numbers and names alphabetically. So sums of floats, and reports with them, do not depend
    on the order in which runs were ingested.

    Raises:
        DataError: If a label is unknown or a file is damaged.
    """
    import pyarrow as pa

    wanted = tuple(dict.fromkeys((*numbers, *names, *IDENTITY, "run_id", "labels")))
    sides = []
    for label in (baseline, candidate):
        rows = read_table(history, manifest, "runs", label, wanted, damaged=damaged)
        old = superseded_rows(rows)
        sides.append(rows.filter(pa.array(~old)) if old.any() else rows)
    both = pa.concat_tables(sides).unify_dictionaries()
    side = np.zeros(both.num_rows, dtype=np.int64)
    side[sides[0].num_rows :] = 1
    amounts = {name: floats_of(both.column(name)) for name in numbers}
    order = np.lexsort((*amounts.values(), side))
    ids = both.column("run_id").to_pylist()
    return Columns(
        side=side[order],
        numbers={name: values[order] for name, values in amounts.items()},
        names={name: names_of(both.column(name), order) for name in names},
        run_ids=tuple(ids[i] for i in order.tolist()),
        labels=_labels(both.column("labels"), order),
    )


def _labels(column: pa.ChunkedArray[Any], order: Ints) -> tuple[dict[str, str], ...]:
    """Return the labels of each run, read from the Arrow buffers, because scalars of a map load pandas."""
    plain: list[dict[str, str]] = []
    for chunk in cast("list[Any]", column.chunks):
        keys, items = chunk.keys.to_pylist(), chunk.items.to_pylist()
        offsets = chunk.buffers()[1]
        if not keys or offsets is None:
            plain.extend({} for _ in range(len(chunk)))
            continue
        edges = np.frombuffer(offsets, np.int32, len(chunk) + 1 + chunk.offset)[chunk.offset :].tolist()
        plain.extend(
            dict(zip(keys[start:stop], items[start:stop], strict=True)) if stop > start else {}
            for start, stop in pairwise(edges)
        )
    return tuple(plain[i] for i in order.tolist())


def joined(first: Names, second: Names) -> Names:
    """Return the pairs of two columns as one column of `first/second`; missing where `second` is missing.

    A name that already begins with the first name is not prefixed again.
    """
    width = len(second.values) + 1
    pair = (first.codes + 1) * width + (second.codes + 1)
    distinct, codes = np.unique(pair, return_inverse=True)
    values = []
    for code in distinct.tolist():
        group, name = divmod(int(code), width)
        text = second.values[name - 1] if name else ""
        prefix = f"{first.values[group - 1]}/" if group else ""
        values.append(text if text.startswith(prefix) else prefix + text)
    return Names(codes=np.where(second.codes < 0, -1, codes.reshape(-1)), values=tuple(values))


def floats_of(column: pa.ChunkedArray[Any]) -> Floats:
    """Return a numeric column; NaN where unknown."""
    import pyarrow as pa

    if not column.num_chunks:
        return np.zeros(0)
    dtypes = {pa.int32(): np.int32, pa.int64(): np.int64, pa.float64(): np.float64, pa.bool_(): np.bool_}
    values, known = _buffers(pa.concat_arrays(column.chunks), np.dtype(dtypes[column.type]))
    return np.where(known, values.astype(np.float64), np.nan)


def names_of(column: pa.ChunkedArray[Any], order: Ints | None = None) -> Names:
    """Return a column of names, sorted alphabetically; `order` reorders the rows."""
    import pyarrow as pa

    if not column.num_chunks:
        return Names(codes=np.zeros(0, dtype=np.int64), values=())
    array: Any = pa.concat_arrays(column.chunks)
    codes, known = _buffers(array.indices, np.dtype(np.int32))
    values = array.dictionary.to_pylist()
    alphabet = sorted(range(len(values)), key=values.__getitem__)
    # The last rank belongs to code -1, a missing name.
    ranks = np.full(len(values) + 1, -1, dtype=np.int64)
    ranks[alphabet] = np.arange(len(values))
    place = ranks[np.where(known, codes, -1)]
    return Names(
        codes=place if order is None else place[order], values=tuple(values[index] for index in alphabet)
    )


def _buffers(array: Any, dtype: np.dtype[Any]) -> tuple[npt.NDArray[Any], Bools]:
    """Return the values of an Arrow array and a mask of the known ones, from its buffers.

    `to_numpy` with nulls, `fill_null` and scalars all load pandas, and casts load `pyarrow.compute`. Loading either
    takes as long as a whole report.
    """
    if not len(array):
        return np.zeros(0, dtype), np.ones(0, dtype=np.bool_)
    bits, data = array.buffers()
    stop = array.offset + len(array)
    if dtype == np.bool_:
        values: npt.NDArray[Any] = _flags(data, stop)
    else:
        values = np.frombuffer(data, dtype=dtype, count=stop)
    known = np.ones(stop, dtype=np.bool_) if bits is None else _flags(bits, stop)
    return values[array.offset :], known[array.offset :]


def _flags(bits: Any, count: int) -> Bools:
    packed = np.frombuffer(bits, dtype=np.uint8)
    return np.unpackbits(packed, count=count, bitorder="little").astype(np.bool_)
