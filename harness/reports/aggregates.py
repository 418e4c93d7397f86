"""The aggregates of two deploys, joined to their runs: one row for each run and tool, model or prompt segment.

Files of version 1 hold no aggregates. For them, aggregates are computed from the calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.reports.columns import Bools, Columns, Floats, Ints, Names, floats_of, names_of
from harness.reports.manifest import Manifest
from harness.reports.reading import read_table
from harness.reports.schema import Table, column_names

if TYPE_CHECKING:
    import pyarrow as pa

_FAILED = ("error", "timeout", "in_doubt")
_KEYS: dict[Table, str] = {"tools": "name", "models": "model", "segments": "segment"}
_CALLS = (
    *("run_id", "kind", "name", "status", "attempt", "write", "model", "duration_s", "input_tokens"),
    *("output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost_nanousd"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """Rows of one aggregate table for both sides.

    Attributes:
        row: The run's row in `Columns`.
        name: Tool, model or segment.
        numbers: The table's other columns.
    """

    row: Ints
    name: Names
    numbers: dict[str, Floats]

    def take(self, rows: Bools) -> Aggregate:
        """Return some of the rows."""
        return Aggregate(
            row=self.row[rows],
            name=self.name.take(rows),
            numbers={name: values[rows] for name, values in self.numbers.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """The tools that each run used.

    Attributes:
        tools: Rows of the table `tools`.
        runs: Number of runs.
    """

    tools: Aggregate
    runs: int

    def each(self) -> Iterator[tuple[str, Floats, bool]]:
        """Yield each tool's name, 1 or 0 for each run that used it or not, and whether the tool writes."""
        for code, name in enumerate(self.tools.name.values):
            rows = self.tools.name.codes == code
            used = np.zeros(self.runs)
            used[self.tools.row[rows & (self.tools.numbers["calls"] > 0)]] = 1.0
            yield name, used, bool((self.tools.numbers["write"][rows] > 0).any())


def read_aggregate(
    history: Path,
    manifest: Manifest,
    table: Table,
    columns: Columns,
    labels: tuple[str, str],
    damaged: list[str] | None = None,
) -> Aggregate:
    """Return a table of aggregates for the runs of two deploys.

    Raises:
        DataError: If a file is damaged and `damaged` is `None`.
    """
    import pyarrow as pa

    numbers = [name for name in column_names(table) if name not in {"run_id", _KEYS[table]}]
    parts: list[pa.Table] = []
    rows: list[Ints] = []
    rows_by_id = columns.rows_by_id
    for side, label in enumerate(labels):
        place = rows_by_id[side]
        found = read_table(history, manifest, table, label, column_names(table), damaged=damaged)
        found = found.unify_dictionaries()
        row = _rows(found, place)
        older = _without_aggregates(table, columns, side, row)
        if older:
            made = _from_calls(history, manifest, table, label, older, damaged)
            row = np.concatenate([row, _rows(made, place)])
            found = pa.concat_tables([found, made])
        parts.append(found)
        rows.append(row)
    both = pa.concat_tables(parts).unify_dictionaries()
    row = np.concatenate(rows)
    joined = Aggregate(
        row=row,
        name=names_of(both.column(_KEYS[table])),
        numbers={name: floats_of(both.column(name)) for name in numbers},
    )
    joined = joined.take(row >= 0)
    order = np.lexsort((joined.name.codes, joined.row))
    return Aggregate(
        row=joined.row[order],
        name=Names(codes=joined.name.codes[order], values=joined.name.values),
        numbers={name: values[order] for name, values in joined.numbers.items()},
    )


def _rows(found: pa.Table, place: dict[str, int]) -> Ints:
    """Return each row's run, or -1 if it is not compared; ids are dictionary-encoded, so each is looked up once."""
    if not found.num_rows:
        return np.zeros(0, dtype=np.int64)
    ids = names_of(found.column("run_id"))
    index = np.array([place.get(name, -1) for name in (*ids.values, "")], dtype=np.int64)
    return np.asarray(index[ids.codes])


def _without_aggregates(table: Table, columns: Columns, side: int, row: Ints) -> set[str]:
    """Return the ids of runs that made calls but have no rows in the table."""
    if table == "segments":
        return set()
    made = columns.numbers["tool_calls" if table == "tools" else "model_calls"] > 0
    bare = made & (columns.side == side)
    bare[row[row >= 0]] = False
    return {columns.run_ids[i] for i in np.flatnonzero(bare).tolist()}


def _from_calls(
    history: Path, manifest: Manifest, table: Table, label: str, ids: set[str], damaged: list[str] | None
) -> pa.Table:
    import pyarrow as pa

    from harness.reports.schema import schema_of

    calls = read_table(history, manifest, "calls", label, _CALLS, damaged=damaged).to_pylist()
    groups: dict[tuple[str, Any, bool], list[dict[str, Any]]] = {}
    for call in calls:
        if call["run_id"] in ids and call["kind"] == ("tool" if table == "tools" else "model"):
            name = call["name"] if table == "tools" else call["model"]
            groups.setdefault((call["run_id"], name, bool(call["write"])), []).append(call)
    build = _tool_row if table == "tools" else _model_row
    made = [build(key, some) for key, some in groups.items()]
    schema = schema_of(table)
    return pa.Table.from_pylist(made, schema=schema).replace_schema_metadata(None)


def _tool_row(key: tuple[str, Any, bool], calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
    run_id, name, write = key
    return {
        "run_id": run_id,
        "name": name,
        "write": write,
        "calls": len(calls),
        "executions": sum(c["attempt"] or 0 for c in calls),
        "errors": sum(c["status"] in _FAILED for c in calls),
        "retries": sum(max((c["attempt"] or 0) - 1, 0) for c in calls),
        "duration_s": _total(calls, "duration_s"),
        "cost_nanousd": _total(calls, "cost_nanousd"),
    }


def _model_row(key: tuple[str, Any, bool], calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
    run_id, name, _ = key
    tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    sums = {column: _total(calls, column) for column in (*tokens, "cost_nanousd")}
    return {"run_id": run_id, "model": name, "calls": len(calls), **sums}


def _total(calls: Sequence[dict[str, Any]], column: str) -> Any:
    known = [c[column] for c in calls if c[column] is not None]
    return sum(known) if known else None
