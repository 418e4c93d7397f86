"""Acts of operators in SQLite: insertion order; fsynced before returning."""

from __future__ import annotations

import sqlite3

import msgspec

from runtime.ports.control_values import Act
from runtime.state.control.sqlite_file import SqliteFile, reads, writes_durably

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Act).decode


class SqliteActs:
    """`ActStore` on a control file."""

    _file: SqliteFile

    @writes_durably
    def note_act(self, db: sqlite3.Connection, act: Act) -> None:
        """Keep an act."""
        keep_act(db, act)

    @reads
    def list_acts(self, db: sqlite3.Connection, *, limit: int = 100) -> tuple[Act, ...]:
        """Return acts, latest first."""
        rows = db.execute("SELECT seq, body FROM acts ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
        return tuple(_act(row) for row in rows)


def keep_act(db: sqlite3.Connection, act: Act) -> None:
    """Keep an act within a transaction."""
    db.execute("INSERT INTO acts (body) VALUES (?)", (_encode(msgspec.structs.replace(act, seq=0)),))


def _act(row: tuple[int, bytes]) -> Act:
    return msgspec.structs.replace(_decode(row[1]), seq=row[0])
