"""Write Parquet files of the history: rows in batches, committed together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.reports.manifest import Manifest, Part, folder_of, read_manifest, sync_folder, write_manifest
from harness.reports.rows import Row
from harness.reports.schema import TABLES, Table, schema_of
from runtime.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_RUNS = 10_000
"""Maximum number of runs in memory while ingesting."""

BATCH_CALLS = 200_000
"""Maximum number of calls in memory, apart from those of a single run."""


class Writer:
    """Collects rows of one deploy, writes them in batches, and commits all batches together."""

    def __init__(self, history: Path, deploy: str, manifest: Manifest) -> None:
        self.added: int = 0
        self._history = history
        self._deploy = deploy
        self._manifest = manifest
        self._rows: dict[Table, list[Row]] = {table: [] for table in TABLES}
        self._parts: list[Part] = []

    def add(self, rows: dict[Table, Iterable[Row]]) -> None:
        """Take the rows of one run, and write a batch when it is large enough."""
        for table, some in rows.items():
            self._rows[table].extend(some)
        self.added += 1
        if len(self._rows["runs"]) >= BATCH_RUNS or len(self._rows["calls"]) >= BATCH_CALLS:
            self._flush()

    def commit(self) -> Manifest:
        """Write the last batch, commit all files to the history, and return its manifest."""
        self._flush()
        if self._parts:
            self._manifest = Manifest(parts=(*self._manifest.parts, *self._parts))
            write_manifest(self._history, self._manifest)
        return self._manifest

    def discard(self) -> None:
        """Remove the files of a failed ingest, except those that became part of the history."""
        listed = {part.path for part in read_manifest(self._history).parts}
        for part in self._parts:
            if part.path not in listed:
                (self._history / part.path).unlink(missing_ok=True)

    def _flush(self) -> None:
        for table in TABLES:
            rows = self._rows[table]
            if rows:
                known = (*self._manifest.parts, *self._parts)
                self._parts.append(write_rows(self._history, table, self._deploy, _table(table, rows), known))
                self._rows[table] = []


def write_rows(
    history: Path, table: Table, deploy: str, data: pa.Table, known: Iterable[Part], number: int | None = None
) -> Part:
    """Write rows as one new file and return its entry for the manifest.

    Args:
        history: Folder of the history.
        table: Table of the rows.
        deploy: Label of the rows.
        data: The rows, with the table's schema.
        known: Entries so far. The file gets the next number, so that files keep the order of ingesting.
        number: A number for the file, instead of the next one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(data, sink, compression="zstd", compression_level=3)
    raw = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(raw).hexdigest()
    numbers = [p.number for p in known if p.table == table and p.deploy == deploy]
    place = max(numbers, default=-1) + 1 if number is None else number
    folder = history / folder_of(table, deploy)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"part-{place:05d}-{digest[:12]}.parquet"
    temporary = folder / f".{target.name}.tmp"
    with temporary.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_folder(folder)
    return Part(
        path=target.relative_to(history).as_posix(),
        table=table,
        deploy=deploy,
        rows=data.num_rows,
        size_bytes=len(raw),
        sha256=digest,
    )


def _table(table: Table, rows: list[Row]) -> pa.Table:
    import pyarrow as pa

    schema = schema_of(table)
    columns = zip(*rows, strict=True)
    try:
        arrays = [
            pa.array(list(values), type=field.type) for values, field in zip(columns, schema, strict=True)
        ]
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        raise DataError(f"a run cannot be stored in table {table}: {error}") from error
    return pa.table(arrays, schema=schema)
