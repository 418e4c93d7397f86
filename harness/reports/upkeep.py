"""Maintain a history: list, remove, rename, compact and rebuild."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.reports.manifest import (
    FILE_NAME,
    Manifest,
    Part,
    check_label,
    label_of,
    locked,
    read_manifest,
    read_part,
    write_manifest,
)
from harness.reports.reading import read_columns, read_table, require_deploy, superseded_rows
from harness.reports.schema import METADATA_KEY, TABLES, Table, check_table, column_names, schema_of
from harness.reports.writing import write_rows
from runtime.errors import DataError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = "goldrun.history/1"
SMALL_ROWS = 2_000
SMALL_FILES = 16
"""If there are this many files below `SMALL_ROWS` rows, the next ingest merges them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The result of a rebuild.

    Attributes:
        parts: Number of files in the new manifest.
        damaged: Files that cannot be read and were left out.
    """

    parts: int
    damaged: tuple[str, ...]


def history_json(history: Path) -> dict[str, Any]:
    """Return the `goldrun.history/1` document. It names damaged files and does not count their rows."""
    manifest = read_manifest(history)
    return {"schema": SCHEMA, "deploys": [_deploy_json(history, manifest, d) for d in manifest.deploys]}


def show_deploy(history: Path, deploy: str) -> dict[str, Any]:
    """Return the document of one deploy with its superseded runs and its files.

    Raises:
        DataError: If the label is unknown.
    """
    manifest = read_manifest(history)
    require_deploy(history, manifest, deploy)
    columns = ("run_id", "request_id", "source", "suite", "task", "repeat", "execution")
    runs = read_table(history, manifest, "runs", deploy, columns, damaged=[])
    old = superseded_rows(runs)
    superseded = [
        {name: row[name] for name in ("run_id", "request_id", "suite", "task", "repeat", "execution")}
        for row, gone in zip(runs.to_pylist(), old.tolist(), strict=True)
        if gone
    ]
    files = [
        {"path": p.path, "table": p.table, "rows": p.rows, "bytes": p.size_bytes}
        for p in manifest.parts
        if p.deploy == deploy
    ]
    found = {**_deploy_json(history, manifest, deploy), "superseded": superseded, "files": files}
    return {"schema": SCHEMA, "deploys": [found]}


def remove(history: Path, deploy: str) -> int:
    """Remove a deploy; return how many runs it had.

    Raises:
        DataError: If the label is unknown.
    """
    with locked(history):
        manifest = read_manifest(history)
        require_deploy(history, manifest, deploy)
        gone = [part for part in manifest.parts if part.deploy == deploy]
        _replace(history, manifest, gone, [])
    return sum(part.rows for part in gone if part.table == "runs")


def rename(history: Path, old: str, new: str) -> None:
    """Give a deploy another label; run ids stay the same.

    Raises:
        UsageError: If the new label is not valid, or already in the history.
        DataError: If the old label is unknown or a file is damaged.
    """
    check_label(new)
    with locked(history):
        manifest = read_manifest(history)
        require_deploy(history, manifest, old)
        if new in manifest.deploys:
            raise UsageError(f"the history holds a deploy {new!r} already", next_step="remove it first")
        gone = [part for part in manifest.parts if part.deploy == old]
        made = []
        for part in gone:
            data = _relabelled(read_columns(history, part, column_names(part.table)), part.table, new)
            made.append(write_rows(history, part.table, new, data, (), part.number))
        _replace(history, manifest, gone, made)


def compact(history: Path, deploy: str | None = None) -> int:
    """Merge the files of each deploy and table into one; return by how many files the history shrank.

    Raises:
        DataError: If the label is unknown or a file is damaged.
    """
    with locked(history):
        manifest = read_manifest(history)
        if deploy is not None:
            require_deploy(history, manifest, deploy)
        before = len(manifest.parts)
        for label in manifest.deploys if deploy is None else [deploy]:
            for table in TABLES:
                manifest = _merge(history, manifest, table, label, manifest.of(table, label))
    return before - len(manifest.parts)


def compact_small(history: Path, manifest: Manifest, deploy: str) -> None:
    """Merge the newest small files of a deploy if there are many; the caller holds the lock."""
    for table in TABLES:
        tail: list[Part] = []
        for part in reversed(manifest.of(table, deploy)):
            if part.rows >= SMALL_ROWS:
                break
            tail.insert(0, part)
        if len(tail) > SMALL_FILES:
            manifest = _merge(history, manifest, table, deploy, tail)


def rebuild(history: Path) -> Rebuilt:
    """Rebuild the manifest from the existing files; damaged files are left out and named.

    Files that an interrupted ingest left become part of the history. If several files hold the same runs, only one is
    taken, so that no run is counted twice.
    """
    parts: list[Part] = []
    damaged: list[str] = []
    with locked(history):
        for table in TABLES:
            seen: set[tuple[str, frozenset[str]]] = set()
            for path in sorted((history / table).glob("deploy=*/part-*.parquet")):
                try:
                    part, ids = _part_of(history, table, path)
                except DataError:
                    damaged.append(path.relative_to(history).as_posix())
                    continue
                if (part.deploy, ids) not in seen:
                    seen.add((part.deploy, ids))
                    parts.append(part)
        if not parts and not damaged and not (history / FILE_NAME).exists():
            raise DataError("there is no Parquet file to rebuild the manifest from", where=str(history))
        write_manifest(history, Manifest(parts=tuple(parts)))
    return Rebuilt(parts=len(parts), damaged=tuple(damaged))


def _part_of(history: Path, table: Table, path: Path) -> tuple[Part, frozenset[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        raw = path.read_bytes()
        file = pq.ParquetFile(pa.BufferReader(raw))
        check_table(table, file.schema_arrow, where=str(path))
        ids = frozenset(map(str, file.read(["run_id"]).column("run_id").to_pylist()))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"the file is damaged: {error}", where=str(path)) from error
    part = Part(
        path=path.relative_to(history).as_posix(),
        table=table,
        deploy=label_of(path.parent.name),
        rows=file.metadata.num_rows,
        size_bytes=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
    )
    return part, ids


def _merge(history: Path, manifest: Manifest, table: Table, deploy: str, some: list[Part]) -> Manifest:
    if len(some) < 2:
        return manifest
    import pyarrow as pa

    data = pa.concat_tables([read_columns(history, part, column_names(table)) for part in some])
    data = data.unify_dictionaries().replace_schema_metadata(schema_of(table).metadata).combine_chunks()
    made = write_rows(history, table, deploy, data, (), some[-1].number)
    return _replace(history, manifest, some, [made])


def _replace(history: Path, manifest: Manifest, gone: Iterable[Part], made: list[Part]) -> Manifest:
    """Replace files in the manifest, then remove the old ones, which nothing names any more."""
    names = {part.path for part in gone}
    kept = [part for part in manifest.parts if part.path not in names]
    found = Manifest(parts=(*kept, *made))
    write_manifest(history, found)
    for path in names - {part.path for part in made}:
        (history / path).unlink(missing_ok=True)
    return found


def _relabelled(data: pa.Table, table: Table, deploy: str) -> pa.Table:
    import pyarrow as pa

    schema = schema_of(table)
    if "deploy" in schema.names:
        field = schema.field("deploy")
        data = data.set_column(
            schema.get_field_index("deploy"), field, pa.array([deploy] * data.num_rows, field.type)
        )
    return data.replace_schema_metadata(schema.metadata)


def _deploy_json(history: Path, manifest: Manifest, deploy: str) -> dict[str, Any]:
    parts = [part for part in manifest.parts if part.deploy == deploy]
    damaged: list[str] = []
    versions: set[str] = set()
    first: datetime | None = None
    last: datetime | None = None
    for part in parts:
        try:
            read_part(history, part)
        except DataError:
            damaged.append(part.path)
    counted = [part for part in parts if part.path not in damaged]
    for part in (p for p in counted if p.table == "runs"):
        times = read_columns(history, part, ("started_at",)).column("started_at").to_pylist()
        known: list[datetime] = [t for t in times if t is not None]
        first = min([*known, *([first] if first else [])], default=None)
        last = max([*known, *([last] if last else [])], default=None)
        versions.add(_version(history / part.path))
    return {
        "label": deploy,
        "runs": sum(part.rows for part in counted if part.table == "runs"),
        "calls": sum(part.rows for part in counted if part.table == "calls"),
        "first": None if first is None else first.isoformat(),
        "last": None if last is None else last.isoformat(),
        "bytes": sum(part.size_bytes for part in parts),
        "schema_version": min((int(v) for v in versions if v.isdigit()), default=None),
        "damaged": damaged,
    }


def _version(path: Path) -> str:
    import pyarrow.parquet as pq

    mark = (pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"")
    return str(mark.decode("ascii", "replace")).partition("/")[2]
