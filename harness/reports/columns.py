"""Rows of two deploys side by side as numpy arrays, text as codes into a shared list of names.

Missing numbers are NaN and missing names have code -1; nothing missing is ever 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.reports.reading import IDENTITY, read_table, superseded_rows
from harness.reports.manifest import Manifest
from harness.reports.schema import Table

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Rows of a baseline, then rows of a candidate.

    Attributes:
        side: 0 for the baseline, 1 for the candidate.
        numbers: Numeric columns; flags are 0 and 1.
        names: Text columns.
    """

    side: Ints
    numbers: dict[str, Floats]
    names: dict[str, Names]

    def take(self, rows: Bools) -> Columns:
        """Return some of the rows."""
        return Columns(
            side=self.side[rows],
            numbers={name: values[rows] for name, values in self.numbers.items()},
            names={name: values.take(rows) for name, values in self.names.items()},
        )


def read_sides(
    history: Path,
    manifest: Manifest,
    table: Table,
    *,
    baseline: str,
    candidate: str,
    numbers: tuple[str, ...],
    names: tuple[str, ...],
    damaged: list[str] | None = None,
) -> Columns:
    """Return columns of two deploys.

    Rows are sorted by their numbers and names by the alphabet, so that sums of floats, and with them reports,
    do not depend on the order in which runs were ingested.

    Raises:
        DataError: If a label is unknown or a file is damaged.
    """
    import pyarrow as pa

    wanted = (*numbers, *names)
    first = _read(history, manifest, table, baseline, wanted, damaged)
    second = _read(history, manifest, table, candidate, wanted, damaged)
    both = pa.concat_tables([first, second]).unify_dictionaries()
    side = np.zeros(both.num_rows, dtype=np.int64)
    side[first.num_rows :] = 1
    amounts = {name: _floats(both.column(name)) for name in numbers}
    order = np.lexsort((*amounts.values(), side))
    return Columns(
        side=side[order],
        numbers={name: values[order] for name, values in amounts.items()},
        names={name: _names(both.column(name), order) for name in names},
    )


def _read(
    history: Path,
    manifest: Manifest,
    table: Table,
    deploy: str,
    wanted: tuple[str, ...],
    damaged: list[str] | None,
) -> pa.Table:
    """Return a table's rows; of `runs` those that no newer execution replaced."""
    if table != "runs":
        return read_table(history, manifest, table, deploy, wanted, damaged=damaged)
    import pyarrow as pa

    columns = tuple(dict.fromkeys((*wanted, *IDENTITY)))
    rows = read_table(history, manifest, table, deploy, columns, damaged=damaged)
    old = superseded_rows(rows)
    return rows.filter(pa.array(~old)) if old.any() else rows


def joined(first: Names, second: Names) -> Names:
    """Return the pairs of two columns as one column of `first/second`; missing where `second` is missing.

    A name that begins with the other name already is not given it twice.
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


def _floats(column: pa.ChunkedArray[Any]) -> Floats:
    import pyarrow as pa

    if not column.num_chunks:
        return np.zeros(0)
    dtypes = {pa.int32(): np.int32, pa.int64(): np.int64, pa.float64(): np.float64, pa.bool_(): np.bool_}
    values, known = _buffers(pa.concat_arrays(column.chunks), np.dtype(dtypes[column.type]))
    return np.where(known, values.astype(np.float64), np.nan)


def _names(column: pa.ChunkedArray[Any], order: Ints) -> Names:
    import pyarrow as pa

    if not column.num_chunks:
        return Names(codes=np.zeros(0, dtype=np.int64), values=())
    array: Any = pa.concat_arrays(column.chunks)
    codes, known = _buffers(array.indices, np.dtype(np.int32))
    values = array.dictionary.to_pylist()
    alphabet = sorted(range(len(values)), key=values.__getitem__)
    # The last rank is that of code -1, which stands for a missing name.
    ranks = np.full(len(values) + 1, -1, dtype=np.int64)
    ranks[alphabet] = np.arange(len(values))
    return Names(
        codes=ranks[np.where(known, codes, -1)[order]], values=tuple(values[index] for index in alphabet)
    )


def _buffers(array: Any, dtype: np.dtype[Any]) -> tuple[npt.NDArray[Any], Bools]:
    """Return the values of an Arrow array and which are known, from its buffers.

    `to_numpy` with nulls, `fill_null` and scalars all load pandas, and casts load `pyarrow.compute`: both take
    as long as a report.
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
