"""The tables of the SQLite control file.

What is searched or summed has columns; the rest of a value is its JSON in `body`, which grows by optional fields
without a new version. `VERSION` changes when a table does.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from runtime.errors import DataError

VERSION = 1
APPLICATION_ID = 0x676F6C64
"""The bytes `gold`; tells a control file from any other database."""

SCHEMA = (
    """CREATE TABLE scopes (
        key TEXT PRIMARY KEY,
        nanos INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0,
        tool_calls INTEGER NOT NULL DEFAULT 0, steps INTEGER NOT NULL DEFAULT 0,
        held_nanos INTEGER NOT NULL DEFAULT 0, held_tokens INTEGER NOT NULL DEFAULT 0,
        held_tool_calls INTEGER NOT NULL DEFAULT 0, held_steps INTEGER NOT NULL DEFAULT 0,
        caps BLOB NOT NULL DEFAULT x'7b7d', override BLOB
    ) WITHOUT ROWID""",
    """CREATE TABLE holds (
        id TEXT PRIMARY KEY, state TEXT NOT NULL, expires_at REAL NOT NULL, body BLOB NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX holds_open ON holds (expires_at) WHERE state = 'open'",
    """CREATE TABLE claims (
        key TEXT PRIMARY KEY, state TEXT NOT NULL, expires_at REAL NOT NULL, body BLOB NOT NULL
    )""",
    "CREATE INDEX claims_state ON claims (state, key)",
    """CREATE TABLE leases (
        name TEXT NOT NULL, fencing INTEGER NOT NULL, owner TEXT NOT NULL, expires_at REAL NOT NULL,
        PRIMARY KEY (name, fencing)
    ) WITHOUT ROWID""",
    "CREATE TABLE lease_numbers (name TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID",
    # Rates, breakers and acts: read by their key alone.
    """CREATE TABLE cells (
        kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, key)
    ) WITHOUT ROWID""",
    "CREATE TABLE switches (ref TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE epochs (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO epochs VALUES ('switches', 0)",
    """CREATE TABLE approvals (
        id TEXT PRIMARY KEY, state TEXT NOT NULL, opened_at REAL NOT NULL, expires_at REAL NOT NULL,
        tenant TEXT NOT NULL, environment TEXT NOT NULL, request_id TEXT NOT NULL, body BLOB NOT NULL
    )""",
    "CREATE INDEX approvals_state ON approvals (state, opened_at)",
    "CREATE INDEX approvals_run ON approvals (request_id)",
    """CREATE TABLE runs (
        tenant TEXT NOT NULL, environment TEXT NOT NULL, request_id TEXT NOT NULL,
        started_at REAL NOT NULL, alive_until REAL, stop_reason TEXT, body BLOB NOT NULL,
        PRIMARY KEY (tenant, environment, request_id)
    )""",
    "CREATE INDEX runs_request ON runs (request_id)",
    "CREATE INDEX runs_started ON runs (started_at)",
    "CREATE INDEX runs_alive ON runs (alive_until) WHERE stop_reason IS NULL AND alive_until IS NOT NULL",
    """CREATE TABLE checkpoints (
        chain TEXT NOT NULL, seq INTEGER NOT NULL, digest TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (chain, seq)
    ) WITHOUT ROWID""",
)

_OPEN_ATTEMPTS = 50


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or check that they are ours.

    Raises:
        DataError: If the file is something else, or of another version.
    """
    if _pragma(db, "user_version") == 0:
        _check_empty(db, path)
        db.execute("PRAGMA page_size=2048")  # rows are small; a commit writes whole pages
        _switch_to_wal(db)
        db.execute("BEGIN IMMEDIATE")
        if _pragma(db, "user_version") == 0:
            for statement in SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")
    if _pragma(db, "application_id") != APPLICATION_ID:
        raise _foreign(path)
    version = _pragma(db, "user_version")
    if version != VERSION:
        raise DataError(
            f"the control file has version {version!r}, this program reads version {VERSION}",
            where=str(path),
            next_step="use the release that wrote it, or name a new file",
        )


def _check_empty(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN")  # one snapshot: another process may be making the tables
    try:
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and _pragma(db, "user_version") == 0:
            raise _foreign(path)
    finally:
        db.execute("COMMIT")


def _foreign(path: Path) -> DataError:
    return DataError(
        "this is a database, but not one of control state", where=str(path), next_step="name another file"
    )


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """Switch to WAL; SQLite does not wait for that lock, so wait for the write lock instead."""
    for attempt in range(_OPEN_ATTEMPTS):
        try:
            if _pragma(db, "journal_mode") == "wal" or _pragma(db, "journal_mode=WAL") == "wal":
                return
        except sqlite3.OperationalError:
            if attempt == _OPEN_ATTEMPTS - 1:
                raise
        db.execute("BEGIN IMMEDIATE")
        db.execute("COMMIT")


def _pragma(db: sqlite3.Connection, name: str) -> Any:
    return db.execute(f"PRAGMA {name}").fetchone()[0]
