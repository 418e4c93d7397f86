"""The history as DataFrames. It is a module of its own because it loads pandas, which no report needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.reports.manifest import read_manifest
from harness.reports.reading import read_table, superseded_rows
from harness.reports.schema import TABLES, Table, column_names, schema_of
from runtime.core.signatures import checks_arguments
from runtime.errors import UsageError


@checks_arguments
def load_history(
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
        superseded: Whether `runs` also holds executions that a newer one replaced.
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
