"""The columns of the history: explicit, versioned Arrow schemas of its tables.

`runs` has one row for each run and `calls` one row for each call. `tools`, `models` and `segments` are aggregates with
one row for each run and name. Attribution reads the aggregates and not the calls, which are many more.

Columns are only ever added, at the end, and each addition raises the version. Readers pass every stored file through
`unify`: columns that an older file does not have are null, and columns of a newer version are dropped. Types are never
inferred from data, because a batch of nulls would get the type null, and integers with nulls would become floats. Text
with few distinct values is dictionary-encoded. This also lets readers that take `deploy` from the folder name merge it
with the column.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from runtime.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Table = Literal["runs", "calls", "tools", "models", "segments"]
TABLES: tuple[Table, ...] = ("runs", "calls", "tools", "models", "segments")

VERSIONS: dict[Table, int] = {"runs": 2, "calls": 2, "tools": 1, "models": 1, "segments": 1}
"""Version of each table's columns, stored in the file's metadata."""

METADATA_KEY = b"goldrun.schema"

_RUNS = """
run_id:text request_id:text source:name deploy:name git_sha:name environment:name tenant:name agent:name
agent_version:name suite:name task:name repeat:count model:name prompt_hash:name tools_hash:name
policy_hash:name cassette_hash:text started_at:time duration_s:real model_s:real tool_s:real steps:count
model_calls:count tool_calls:count retries:count denials:count approvals:count errors:count loops:count
stop_reason:name stop_class:name passed:flag input_tokens:big output_tokens:big cache_read_tokens:big
cache_write_tokens:big reasoning_tokens:big total_tokens:big cost_nanousd:big price_table:name
trace_hash:text tool_executions:count in_doubt:count parent:text recording:text execution:count
failed_rules:names labels:labels stratum:name
"""

_CALLS = """
run_id:text seq:count step:count lane:text kind:name name:name status:name attempt:count write:flag
effect_key:text args_hash:text result_hash:text idempotency_key:text model:name started_offset_s:real
duration_s:real input_tokens:big output_tokens:big cache_read_tokens:big cache_write_tokens:big
reasoning_tokens:big cost_nanousd:big error_type:name step_hash:text segments:amounts
"""

# In the aggregates the run id is dictionary-encoded: a run has several rows, and a join looks each id up once.
_TOOLS = """
run_id:name name:name write:flag calls:count executions:count errors:count retries:count duration_s:real
cost_nanousd:big
"""

_MODELS = """
run_id:name model:name calls:count input_tokens:big output_tokens:big cache_read_tokens:big
cache_write_tokens:big reasoning_tokens:big cost_nanousd:big
"""

_SEGMENTS = """
run_id:name segment:name input_tokens:big cost_nanousd:big
"""

_COLUMNS: dict[Table, str] = {
    "runs": _RUNS,
    "calls": _CALLS,
    "tools": _TOOLS,
    "models": _MODELS,
    "segments": _SEGMENTS,
}


def column_names(table: Table) -> tuple[str, ...]:
    """Return the columns of a table in stored order."""
    return tuple(entry.partition(":")[0] for entry in _COLUMNS[table].split())


@cache
def schema_of(table: Table) -> pa.Schema:
    """Return the Arrow schema of a table, its version in the metadata."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "text": pa.string(),
        "name": pa.dictionary(pa.int32(), pa.string()),
        "count": pa.int32(),
        "big": pa.int64(),
        "real": pa.float64(),
        "flag": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
        "names": pa.list_(pa.string()),
        "labels": pa.map_(pa.string(), pa.string()),
        "amounts": pa.map_(pa.string(), pa.int64()),
    }
    fields = [pa.field(name, types[kind]) for name, _, kind in (e.partition(":") for e in _entries(table))]
    return pa.schema(fields, metadata={METADATA_KEY: f"{table}/{VERSIONS[table]}".encode()})


def _entries(table: Table) -> list[str]:
    return _COLUMNS[table].split()


def check_table(table: Table, stored: pa.Schema, *, where: str) -> None:
    """Check that a file belongs to a table.

    Raises:
        DataError: If its metadata name another table or none, or a known column has another type.
    """
    mark = (stored.metadata or {}).get(METADATA_KEY, b"").decode("ascii", "replace")
    if mark.partition("/")[0] != table:
        raise DataError(
            f"the file is marked {mark!r}, not {table}/<version>",
            where=where,
            next_step="move foreign files out of the history",
        )
    known = schema_of(table)
    for name in stored.names:
        if name in known.names and not _same(stored.field(name).type, known.field(name).type):
            raise DataError(
                f"column {name!r} has type {stored.field(name).type}, not {known.field(name).type}",
                where=where,
                next_step="ingest the recordings again into a new history",
            )


def _same(stored: pa.DataType, known: pa.DataType) -> bool:
    """Return whether two types are equivalent. Names of inner fields may differ, as they do between writers."""
    return bool(stored.equals(known)) or (str(known).startswith(("list", "map")) and stored.id == known.id)


def unify(table: Table, data: pa.Table, columns: tuple[str, ...]) -> pa.Table:
    """Return the given columns in their order; columns that the file does not have are null."""
    import pyarrow as pa

    schema = schema_of(table)
    arrays = [
        _cast(data.column(name), schema.field(name).type)
        if name in data.column_names
        else pa.chunked_array([pa.nulls(data.num_rows, schema.field(name).type)])
        for name in columns
    ]
    return pa.table(arrays, schema=pa.schema([schema.field(name) for name in columns]))


def _cast(column: pa.ChunkedArray[Any], kind: pa.DataType) -> pa.ChunkedArray[Any]:
    return column if column.type.equals(kind) else column.cast(kind)
