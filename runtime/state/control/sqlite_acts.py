"""Acts of operators in SQLite: insertion order; fsynced before returning."""

from __future__ import annotations

import sqlite3

import msgspec

from runtime.ports.control_values import Act
from runtime.state.control.sqlite_file import SqliteFile, reads, writes_durably

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Act).decode
_DIGITS = 16
"""Keys are text; with as many digits each they sort as numbers."""


class SqliteActs:
    """`ActStore` on a control file."""

    _file: SqliteFile

    @writes_durably
    def note_act(self, db: sqlite3.Connection, act: Act) -> None:
        """Keep an act."""
        last = db.execute("SELECT max(key) FROM cells WHERE kind = 'act'").fetchone()[0]
        key = f"{int(last or 0) + 1:0{_DIGITS}d}"
        db.execute("INSERT INTO cells VALUES ('act', ?, ?)", (key, _encode(act)))

    @reads
    def list_acts(self, db: sqlite3.Connection, *, limit: int = 100) -> tuple[Act, ...]:
        """Return acts, latest first."""
        rows = db.execute(
            "SELECT body FROM cells WHERE kind = 'act' ORDER BY key DESC LIMIT ?", (limit,)
        ).fetchall()
        return tuple(_decode(row[0]) for row in rows)
