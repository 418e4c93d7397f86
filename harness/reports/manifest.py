"""The manifest of a history: the list of its files with their SHA-256.

Replacing the manifest is the commit point of every change. A file that it does not list was left by an interrupted
ingest and is never read. A file that it lists must exist with exactly these bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from harness.reports.schema import Table
from runtime.errors import DataError, UsageError

SCHEMA = "goldrun.history/1"
FILE_NAME = "manifest.json"
LABEL_CHARS = 128
_FOLDER = "deploy="


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a history.

    Attributes:
        path: Relative to the history, with forward slashes.
        table: Table of the rows.
        deploy: Label of the deploy.
        rows: Number of rows.
        size_bytes: Size of the file.
        sha256: Of the whole file, in hex.
    """

    path: str
    table: Table
    deploy: str
    rows: int
    size_bytes: int
    sha256: str

    @property
    def number(self) -> int:
        """Number among the files of its table and deploy; later ingests have higher numbers."""
        digits = self.path.rpartition("/")[2].split("-")[1]
        return int(digits) if digits.isdigit() else 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The committed files of a history, sorted by path."""

    schema: str = SCHEMA
    parts: tuple[Part, ...] = ()

    def of(self, table: Table, deploy: str) -> list[Part]:
        """Return the files of one table and deploy in the order of ingesting."""
        parts = [p for p in self.parts if p.table == table and p.deploy == deploy]
        return sorted(parts, key=lambda p: (p.number, p.path))

    @property
    def deploys(self) -> list[str]:
        """Labels that have runs, sorted."""
        return sorted({p.deploy for p in self.parts if p.table == "runs"})


def is_label(deploy: str) -> bool:
    """Return whether a text can be a deploy label: printable, no blanks at its ends, and not `.` or `..`."""
    return (
        0 < len(deploy) <= LABEL_CHARS
        and deploy not in {".", ".."}
        and deploy.isprintable()
        and deploy == deploy.strip()
    )


def check_label(deploy: str) -> str:
    """Check and return a deploy label; branch names with `/` are valid.

    Raises:
        UsageError: If it is empty, too long, `.` or `..`, or holds control characters or outer blanks.
    """
    if not is_label(deploy):
        raise UsageError(
            f"{deploy!r} is no deploy label",
            next_step=f"use 1 to {LABEL_CHARS} printable characters, but not '.' or '..'",
        )
    return deploy


def folder_of(table: Table, deploy: str) -> str:
    """Return the folder of a table's files of one deploy, its label percent-encoded."""
    return f"{table}/{_FOLDER}{quote(deploy, safe='+@').replace('~', '%7E')}"


def label_of(folder: str) -> str:
    """Return the label of a folder's name."""
    return unquote(folder.removeprefix(_FOLDER))


def read_manifest(history: Path) -> Manifest:
    """Return the manifest of a history; an empty one if nothing was ever ingested.

    Raises:
        DataError: If the manifest is damaged, or missing although there are Parquet files.
    """
    path = history / FILE_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if next(history.glob("runs/deploy=*/part-*.parquet"), None) is not None:
            raise DataError(
                "the manifest is missing, so no file can be trusted",
                where=str(path),
                next_step="make it anew with `goldrun history rebuild`",
            ) from None
        return Manifest()
    except OSError as error:
        raise DataError(
            f"the history cannot be read: {error.strerror}",
            where=str(path),
            next_step="name the folder of a history",
        ) from error
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise DataError(
            f"the manifest is damaged: {error}",
            where=str(path),
            next_step="make it anew with `goldrun history rebuild`",
        ) from error
    if manifest.schema != SCHEMA:
        raise DataError(f"the manifest has schema {manifest.schema!r}, not {SCHEMA!r}", where=str(path))
    return manifest


def write_manifest(history: Path, manifest: Manifest) -> None:
    """Replace the manifest atomically, and sync it."""
    parts = tuple(sorted(manifest.parts, key=lambda p: p.path))
    data = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(manifest, parts=parts)), indent=1)
    target = history / FILE_NAME
    temporary = target.with_suffix(".json.tmp")
    with temporary.open("wb") as file:
        file.write(data + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_folder(history)


def read_part(history: Path, part: Part) -> bytes:
    """Return the bytes of a listed file.

    Raises:
        DataError: If the file is missing, or its bytes differ from the manifest.
    """
    path = history / part.path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the manifest lists this file, but it cannot be read: {error.strerror}",
            where=str(path),
            next_step="restore the file, leave it out with --skip-damaged, or drop it with `goldrun history rebuild`",
        ) from error
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise DataError(
            f"the file is damaged: {len(data)} bytes whose SHA-256 differs from the manifest"
            f" ({part.size_bytes} bytes were written)",
            where=str(path),
            next_step="restore the file, leave it out with --skip-damaged, or drop it with `goldrun history rebuild`",
        )
    return data


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(history: Path) -> Iterator[None]:
    """Hold the lock of the history's single writer; the lock ends with the process that holds it.

    Raises:
        DataError: If the folder cannot be made or written to.
    """
    import fcntl

    try:
        history.mkdir(parents=True, exist_ok=True)
        lock = (history / ".lock").open("ab")
    except OSError as error:
        raise DataError(
            f"the history cannot be written: {error.strerror}",
            where=str(history),
            next_step="name a folder that you may write to",
        ) from error
    with lock as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
