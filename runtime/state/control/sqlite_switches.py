"""Switches in SQLite, fsynced before returning, and the workers that act on them."""

from __future__ import annotations

import sqlite3

import msgspec

from runtime.control.switches import Board, Switch, SwitchRef, check_ref, order
from runtime.ports.control_values import Act, Worker
from runtime.state.control.sqlite_acts import keep_act
from runtime.state.control.sqlite_file import SqliteFile, reads, writes, writes_durably
from runtime.state.control.stop_file import stopped_board

_encode = msgspec.json.Encoder().encode
_decode_switch = msgspec.json.Decoder(Switch).decode


class SqliteSwitches:
    """`SwitchStore` on a control file; a board is kept as long as its epoch is the file's."""

    _file: SqliteFile
    _board: Board | None = None

    @writes_durably
    def put_switch(self, db: sqlite3.Connection, switch: Switch, *, act: Act | None = None) -> int:
        """Pull a switch."""
        check_ref(switch.ref)
        db.execute(
            "INSERT INTO switches VALUES (?, ?) ON CONFLICT (ref) DO UPDATE SET body = excluded.body",
            (_ref(switch.ref), _encode(switch)),
        )
        keep_act(db, act)
        return _next_epoch(db)

    @writes_durably
    def clear_switch(self, db: sqlite3.Connection, ref: SwitchRef, *, act: Act | None = None) -> int:
        """Put a switch back."""
        check_ref(ref)
        if db.execute("DELETE FROM switches WHERE ref = ?", (_ref(ref),)).rowcount:
            keep_act(db, act)
            return _next_epoch(db)
        return _epoch(db)

    async def read_switches(self) -> Board:
        """Return the switches that are pulled now; a stop file beside the store is a switch on everything."""
        return await self._file.look(self._read_switches)

    def _read_switches(self) -> Board:
        stopped = stopped_board(self._file.path)
        return self._file.read_now(self._read_board) if stopped is None else stopped

    def _read_board(self, db: sqlite3.Connection) -> Board:
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


class SqliteWorkers:
    """`WorkerStore` on a control file."""

    _file: SqliteFile

    @writes
    def beat_worker(self, db: sqlite3.Connection, worker: Worker) -> None:
        """Say that a worker is alive, and which switches it acts on."""
        db.execute(
            "INSERT INTO workers VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "epoch = excluded.epoch, alive_until = excluded.alive_until",
            (worker.id, worker.epoch, worker.alive_until),
        )

    @writes
    def end_worker(self, db: sqlite3.Connection, worker: str) -> None:
        """Forget a worker that has no runs any more."""
        db.execute("DELETE FROM workers WHERE id = ?", (worker,))

    @reads
    def list_workers(self, db: sqlite3.Connection, *, now: float) -> tuple[Worker, ...]:
        """Return the workers that are alive, by id."""
        rows = db.execute(
            "SELECT id, epoch, alive_until FROM workers WHERE alive_until > ? ORDER BY id", (now,)
        )
        return tuple(Worker(id=id_, epoch=epoch, alive_until=until) for id_, epoch, until in rows)


def _ref(ref: SwitchRef) -> str:
    return _encode(order(ref)).decode()


def _epoch(db: sqlite3.Connection) -> int:
    epoch: int = db.execute("SELECT value FROM epochs WHERE name = 'switches'").fetchone()[0]
    return epoch


def _next_epoch(db: sqlite3.Connection) -> int:
    db.execute("UPDATE epochs SET value = value + 1 WHERE name = 'switches'")
    return _epoch(db)
