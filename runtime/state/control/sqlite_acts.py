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
        """Keep an act that changes nothing in the store."""
        keep_act(db, act)

    @reads
    def unread_acts(self, db: sqlite3.Connection, reader: str, *, limit: int = 100) -> tuple[Act, ...]:
        """Return the acts that a reader has not marked, in order."""
        rows = db.execute(
            "SELECT seq, body FROM acts WHERE seq > coalesce((SELECT CAST(CAST(body AS TEXT) AS INTEGER) "
            "FROM cells WHERE kind = 'acts' AND key = ?), 0) ORDER BY seq LIMIT ?",
            (reader, limit),
        ).fetchall()
        return tuple(_act(row) for row in rows)

    @writes_durably
    def mark_acts(self, db: sqlite3.Connection, reader: str, *, seq: int) -> None:
        """Mark the acts up to a number as read by a reader."""
        db.execute(
            "INSERT INTO cells VALUES ('acts', ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body "
            "WHERE CAST(CAST(excluded.body AS TEXT) AS INTEGER) > CAST(CAST(body AS TEXT) AS INTEGER)",
            (reader, str(seq).encode()),
        )

    @reads
    def list_acts(self, db: sqlite3.Connection, *, limit: int = 100) -> tuple[Act, ...]:
        """Return acts, latest first."""
        rows = db.execute("SELECT seq, body FROM acts ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
        return tuple(_act(row) for row in rows)


def keep_act(db: sqlite3.Connection, act: Act | None) -> None:
    """Keep an act, if there is one, within the transaction of its change."""
    if act is None:
        return
    db.execute("INSERT INTO acts (body) VALUES (?)", (_encode(msgspec.structs.replace(act, seq=0)),))


def _act(row: tuple[int, bytes]) -> Act:
    return msgspec.structs.replace(_decode(row[1]), seq=row[0])
