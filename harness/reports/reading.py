"""Read the history: its deploys, and the rows of their tables.

Every file is checked against the manifest before it is read. `pyarrow.dataset` is not used, because it takes the first
file's schema for all files and is slow to import. A damaged file is an error, unless the caller passes a list to
collect damaged files in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.reports.manifest import Manifest, Part, is_label, read_manifest, read_part
from harness.reports.schema import TABLES, Table, check_table, column_names, schema_of, unify
from runtime.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

IDENTITY = ("request_id", "source", "suite", "task", "repeat", "execution")
"""Columns that decide which runs replace each other."""


def list_deploys(history: Path) -> list[str]:
    """Return the deploy labels of a history, sorted; empty if nothing was ingested.

    Raises:
        DataError: If the manifest is damaged or missing.
    """
    return read_manifest(history).deploys


def load(
    history: Path,
    table: Table = "runs",
    deploys: Sequence[str] | None = None,
    *,
    superseded: bool = False,
    skip_damaged: bool = False,
) -> pd.DataFrame:
    """Return a table of the history as a DataFrame with the columns of `schema.column_names(table)`.

    Rows come deploy by deploy in the order they were ingested. Unknown values are missing (`NaN`, `NaT`,
    `None`), so nullable integers are floats once a value is missing; money is in nano-dollars, names are
    plain text and not categories, labels and segments are lists of pairs. The tables have one row for

    - `runs`: a run; `started_at` is UTC, durations are seconds;
    - `calls`: a model or tool call, in the order of `seq`;
    - `tools`, `models`, `segments`: a run and a tool, model or prompt segment.

    Args:
        history: Folder of the history.
        table: `runs`, `calls`, `tools`, `models` or `segments`.
        deploys: Labels to read; all if `None`.
        superseded: Whether to include runs that a newer execution replaced.
        skip_damaged: Leave out damaged files instead of failing.

    Raises:
        DataError: If a label is unknown or a file is damaged.
        UsageError: If there is no such table.
    """
    if table not in TABLES:
        raise UsageError(f"{table!r} is no table of the history; tables are {', '.join(TABLES)}")
    import pyarrow as pa

    manifest = read_manifest(history)
    labels = manifest.deploys if deploys is None else list(dict.fromkeys(deploys))
    columns = column_names(table)
    damaged: list[str] | None = [] if skip_damaged else None
    tables = [schema_of(table).empty_table()]
    for label in labels:
        rows = read_table(history, manifest, table, label, columns, damaged=damaged)
        if table == "runs" and not superseded:
            rows = rows.filter(pa.array(~superseded_rows(rows)))
        tables.append(rows)
    data = pa.concat_tables([t.replace_schema_metadata(None) for t in tables])
    plain = [pa.string() if pa.types.is_dictionary(kind) else kind for kind in data.schema.types]
    fields = [pa.field(name, kind) for name, kind in zip(data.schema.names, plain, strict=True)]
    return data.cast(pa.schema(fields)).to_pandas()


def require_deploy(history: Path, manifest: Manifest, deploy: str) -> None:
    """Check that the history holds a label.

    Raises:
        DataError: If it does not; the error names the labels that it holds.
    """
    known = manifest.deploys
    if deploy not in known:
        shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        raise DataError(
            f"no deploy {deploy!r} in the history; it holds {shown or 'no deploys'}",
            where=str(history),
            next_step=f"add its recordings with `goldrun ingest PATH --deploy {deploy}`"
            if is_label(deploy)
            else "name one of these",
        )


def read_table(
    history: Path,
    manifest: Manifest,
    table: Table,
    deploy: str,
    columns: tuple[str, ...],
    *,
    damaged: list[str] | None = None,
) -> pa.Table:
    """Return some columns of one deploy's table, with the unified schema.

    Args:
        history: Folder of the history.
        manifest: Its manifest.
        table: Table to read.
        deploy: Label to read.
        columns: Columns to read.
        damaged: Collects the paths of damaged files, which are left out. If `None`, a damaged file is an error.

    Raises:
        DataError: If the label is unknown or a file is damaged.
    """
    import pyarrow as pa

    require_deploy(history, manifest, deploy)
    tables = []
    for part in manifest.of(table, deploy):
        try:
            tables.append(read_columns(history, part, columns))
        except DataError:
            if damaged is None:
                raise
            damaged.append(part.path)
    if not tables:
        # `Schema.empty_table` loads pandas.
        fields = [schema_of(table).field(name) for name in columns]
        nothing = [pa.chunked_array([], type=field.type) for field in fields]
        return pa.table(nothing, schema=pa.schema(fields))
    return pa.concat_tables(tables)


def read_columns(history: Path, part: Part, columns: tuple[str, ...]) -> pa.Table:
    """Return some columns of one file.

    Raises:
        DataError: If the file is damaged or foreign.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = read_part(history, part)
    where = str(history / part.path)
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        stored = file.schema_arrow
        check_table(part.table, stored, where=where)
        found = file.read([name for name in columns if name in stored.names])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"the file is damaged: {error}", where=where) from error
    if found.num_rows != part.rows:
        raise DataError(f"the file has {found.num_rows} rows, not {part.rows}", where=where)
    return unify(part.table, found, columns)


def superseded_rows(runs: pa.Table) -> Any:
    """Return a mask of the rows of one deploy's `runs` that a newer execution replaced.

    The newest execution of a request counts. For golden tasks, a request is one repeat of one task, whatever its
    request id. So a suite that runs again replaces its earlier runs.
    """
    mask = np.zeros(runs.num_rows, dtype=np.bool_)
    executions, sources = (set(runs.column(name).unique().to_pylist()) for name in ("execution", "source"))
    if not any(executions) and not {"golden", "replay"} & sources:
        return mask
    columns = [runs.column(name).to_pylist() for name in IDENTITY]
    newest: dict[tuple[Any, ...], tuple[int, int]] = {}
    for row, (request, source, suite, task, repeat, execution) in enumerate(zip(*columns, strict=True)):
        golden = source in {"golden", "replay"} and task is not None
        key = (source, suite, task, repeat) if golden else (request, source, repeat)
        place = (0 if golden else execution or 0, row)
        before = newest.get(key)
        if before is not None:
            mask[min(before, place)[1]] = True
            place = max(before, place)
        newest[key] = place
    return mask
