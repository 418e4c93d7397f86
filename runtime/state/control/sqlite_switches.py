"""Switches in SQLite: fsynced before returning."""

from __future__ import annotations

import sqlite3

import msgspec

from runtime.control.switches import Board, Switch, SwitchRef, check_ref, order
from runtime.ports.control_values import SwitchesChanged
from runtime.state.control.sqlite_file import SqliteFile, reads, writes_durably

_encode = msgspec.json.Encoder().encode
_decode_switch = msgspec.json.Decoder(Switch).decode


class SqliteSwitches:
    """`SwitchStore` on a control file; a board is kept as long as its epoch is the file's."""

    _file: SqliteFile
    _board: Board | None = None

    @writes_durably
    def put_switch(self, db: sqlite3.Connection, switch: Switch) -> int:
        """Pull a switch."""
        check_ref(switch.ref)
        db.execute(
            "INSERT INTO switches VALUES (?, ?) ON CONFLICT (ref) DO UPDATE SET body = excluded.body",
            (_ref(switch.ref), _encode(switch)),
        )
        return _next_epoch(db)

    @writes_durably
    def clear_switch(self, db: sqlite3.Connection, ref: SwitchRef) -> int:
        """Put a switch back."""
        check_ref(ref)
        if db.execute("DELETE FROM switches WHERE ref = ?", (_ref(ref),)).rowcount:
            return _next_epoch(db)
        return _epoch(db)

    @reads
    def read_switches(self, db: sqlite3.Connection) -> Board:
        """Return the switches that are pulled now."""
        epoch = _epoch(db)
        if self._board is not None and self._board.epoch == epoch:
            return self._board
        db.execute("BEGIN")  # epoch and switches of one moment
        epoch = _epoch(db)
        switches = [_decode_switch(row[0]) for row in db.execute("SELECT body FROM switches")]
        db.execute("COMMIT")
        board = Board(epoch=epoch, switches=tuple(sorted(switches, key=lambda s: order(s.ref))))
        self._board = board
        return board


def check_epoch(db: sqlite3.Connection, epoch: int | None) -> None:
    """Refuse to let something start under other switches than its caller knows.

    Raises:
        SwitchesChanged: If they have changed since.
    """
    if epoch is not None and _epoch(db) != epoch:
        raise SwitchesChanged("switches were changed in the meantime", next_step="read them again")


def _ref(ref: SwitchRef) -> str:
    return _encode(order(ref)).decode()


def _epoch(db: sqlite3.Connection) -> int:
    epoch: int = db.execute("SELECT value FROM epochs WHERE name = 'switches'").fetchone()[0]
    return epoch


def _next_epoch(db: sqlite3.Connection) -> int:
    db.execute("UPDATE epochs SET value = value + 1 WHERE name = 'switches'")
    return _epoch(db)
