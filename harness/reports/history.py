"""The Parquet history: ingest traces, list deploys, read tables.

Layout: `<history>/runs/deploy=<label>/part-*.parquet` and `<history>/calls/deploy=<label>/...`, zstd, never
partitioned by tenant. An ingest writes its files under temporary names, syncs and renames them, and then
replaces the manifest: either all of its runs are in the history or none. Reading checks each file against the
manifest first. `pyarrow.dataset` is not used: it takes the first file's schema and is slow to load.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import DataError, UsageError
from harness.reports.manifest import (
    Manifest,
    Part,
    locked,
    read_manifest,
    read_part,
    sync_folder,
    write_manifest,
)
from harness.reports.rows import Row, call_rows, execution_id, run_row
from harness.reports.schema import Table, check_table, column_names, schema_of, unify
from runtime.core.trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BATCH_RUNS = 10_000
"""Runs held in memory at most while ingesting."""

BATCH_CALLS = 200_000
"""Calls held in memory at most, but for those of one run."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestResult:
    """What an ingest did.

    Attributes:
        added: Runs that were new.
        duplicates: Runs that were in the history already, or came twice.
    """

    added: int
    duplicates: int


def check_label(deploy: str) -> str:
    """Return a deploy label that can stand in a path.

    Raises:
        UsageError: If it is empty, too long, or holds anything but letters, digits and `._+@-`.
    """
    if not _LABEL.fullmatch(deploy):
        raise UsageError(
            f"{deploy!r} is no deploy label",
            next_step="use 1 to 128 letters, digits and any of . _ + @ -, starting with a letter or digit",
        )
    return deploy


def ingest(
    traces: Iterable[Trace],
    *,
    deploy: str,
    history: Path,
    cassette_hashes: Mapping[str, str] | None = None,
    git_sha: str | None = None,
) -> IngestResult:
    """Add runs to a history under a deploy label; a run that is there already changes nothing.

    Memory stays constant but for the run ids of this deploy: traces are taken one by one and written in
    batches. If anything fails, the history is as it was before.

    Args:
        traces: Runs in any order.
        deploy: Label that reports compare.
        history: Folder of the history; made if missing.
        cassette_hashes: Hash of the recording by run id or request id.
        git_sha: Commit of the deployed code.

    Raises:
        UsageError: If the label cannot stand in a path.
        DataError: If the history is damaged or a trace cannot be stored.
    """
    check_label(deploy)
    hashes = cassette_hashes or {}
    with locked(history):
        manifest = read_manifest(history)
        writer = _Writer(history, deploy, manifest)
        seen = _stored_ids(history, manifest, deploy)
        duplicates = 0
        try:
            for trace in traces:
                run_id = execution_id(trace, deploy)
                if run_id in seen:
                    duplicates += 1
                    continue
                seen.add(run_id)
                cassette = hashes.get(trace.run_id) or hashes.get(trace.request_id)
                run = run_row(trace, run_id=run_id, deploy=deploy, git_sha=git_sha, cassette_hash=cassette)
                writer.add(run, call_rows(trace, run_id=run_id))
            writer.commit()
        except BaseException:
            writer.discard()
            raise
    return IngestResult(added=writer.added, duplicates=duplicates)


def list_deploys(history: Path) -> list[str]:
    """Return the deploy labels of a history, sorted; none where nothing was ingested.

    Raises:
        DataError: If the manifest is damaged or missing.
    """
    return read_manifest(history).deploys


def load(history: Path, table: Table = "runs", deploys: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a table of the history as a DataFrame with the columns of `schema.column_names(table)`.

    Rows come deploy by deploy in the order they were ingested. Unknown values are missing (`NaN`, `NaT`,
    `None`), so nullable integers are floats once a value is missing; money is in nano-dollars, names are
    plain text and not categories.

    Args:
        history: Folder of the history.
        table: `runs` or `calls`.
        deploys: Labels to read; all if `None`.

    Raises:
        DataError: If a label is unknown or a file is damaged.
        UsageError: If there is no such table.
    """
    if table not in ("runs", "calls"):
        raise UsageError(f"{table!r} is no table of the history; tables are 'runs' and 'calls'")
    import pyarrow as pa

    manifest = read_manifest(history)
    labels = manifest.deploys if deploys is None else list(dict.fromkeys(deploys))
    columns = column_names(table)
    tables = [read_table(history, manifest, table, label, columns) for label in labels]
    if not tables:
        tables = [schema_of(table).empty_table()]
    data = pa.concat_tables(tables)
    plain = [pa.string() if pa.types.is_dictionary(kind) else kind for kind in data.schema.types]
    fields = [pa.field(name, kind) for name, kind in zip(data.schema.names, plain, strict=True)]
    return data.cast(pa.schema(fields)).to_pandas()


def require_deploy(history: Path, manifest: Manifest, deploy: str) -> None:
    """Refuse a label the history does not hold.

    Raises:
        DataError: Naming the labels it holds.
    """
    known = manifest.deploys
    if deploy not in known:
        shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        raise DataError(
            f"no deploy {deploy!r} in the history; it holds {shown or 'no deploys'}",
            where=str(history),
            next_step=f"add its recordings with `goldrun ingest PATH --deploy {deploy}`"
            if _LABEL.fullmatch(deploy)
            else "name one of these",
        )


def read_table(
    history: Path, manifest: Manifest, table: Table, deploy: str, columns: tuple[str, ...]
) -> pa.Table:
    """Return some columns of one deploy's table, with the unified schema.

    Raises:
        DataError: If the label is unknown or a file is damaged.
    """
    import pyarrow as pa

    require_deploy(history, manifest, deploy)
    tables = [_read_columns(history, part, columns) for part in manifest.of(table, deploy)]
    if not tables:
        empty = schema_of(table).empty_table()
        return unify(table, empty, columns)
    return pa.concat_tables(tables)


def _read_columns(history: Path, part: Part, columns: tuple[str, ...]) -> pa.Table:
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


def _stored_ids(history: Path, manifest: Manifest, deploy: str) -> set[str]:
    ids: set[str] = set()
    for part in manifest.of("runs", deploy):
        ids.update(map(str, _read_columns(history, part, ("run_id",)).column("run_id").to_pylist()))
    return ids


class _Writer:
    """Collects rows, writes them in batches, and commits all of them at once."""

    def __init__(self, history: Path, deploy: str, manifest: Manifest) -> None:
        self.added = 0
        self._history = history
        self._deploy = deploy
        self._manifest = manifest
        self._rows: dict[Table, list[Row]] = {"runs": [], "calls": []}
        self._parts: list[Part] = []

    def add(self, run: Row, calls: Iterable[Row]) -> None:
        """Take one run; writes a batch when enough has come together."""
        self._rows["runs"].append(run)
        self._rows["calls"].extend(calls)
        self.added += 1
        if len(self._rows["runs"]) >= BATCH_RUNS or len(self._rows["calls"]) >= BATCH_CALLS:
            self._flush()

    def commit(self) -> None:
        """Write what is left and make everything part of the history."""
        self._flush()
        if self._parts:
            parts = (*self._manifest.parts, *self._parts)
            write_manifest(self._history, Manifest(parts=parts))

    def discard(self) -> None:
        """Remove the files of an ingest that failed, but none that became part of the history."""
        listed = {part.path for part in read_manifest(self._history).parts}
        for part in self._parts:
            if part.path not in listed:
                (self._history / part.path).unlink(missing_ok=True)

    def _flush(self) -> None:
        tables: tuple[Table, ...] = ("runs", "calls")
        for table in tables:
            rows = self._rows[table]
            if rows:
                self._parts.append(self._write(table, rows))
                self._rows[table] = []

    def _write(self, table: Table, rows: list[Row]) -> Part:
        data = _encode(table, rows)
        digest = hashlib.sha256(data).hexdigest()
        number = len(self._manifest.of(table, self._deploy)) + sum(p.table == table for p in self._parts)
        folder = self._history / table / f"deploy={self._deploy}"
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"part-{number:05d}-{digest[:12]}.parquet"
        temporary = folder / f".{target.name}.tmp"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(folder)
        return Part(
            path=target.relative_to(self._history).as_posix(),
            table=table,
            deploy=self._deploy,
            rows=len(rows),
            size_bytes=len(data),
            sha256=digest,
        )


def _encode(table: Table, rows: list[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = schema_of(table)
    columns = zip(*rows, strict=True)
    try:
        arrays = [
            pa.array(list(values), type=field.type) for values, field in zip(columns, schema, strict=True)
        ]
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        raise DataError(f"a run cannot be stored in table {table}: {error}") from error
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays, schema=schema), sink, compression="zstd", compression_level=3)
    return sink.getvalue().to_pybytes()
