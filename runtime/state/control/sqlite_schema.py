"""The tables of the SQLite control file.

What is searched or summed has columns; the rest of a value is its JSON in `body`, which grows by optional fields
without a new version. `VERSION` changes when a table does.
"""

from __future__ import annotations

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
