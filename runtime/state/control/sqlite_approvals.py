"""Approvals and switches in SQLite: what people decided; fsynced before returning."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from runtime.control import approvals
from runtime.control.approvals import Approval, ApprovalChange, ApprovalState, Binding
from runtime.control.switches import Board, Switch, SwitchRef, check_ref, order
from runtime.ports.control_values import RunKey
from runtime.state.control.sqlite_file import SqliteFile

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Approval).decode
_decode_switch = msgspec.json.Decoder(Switch).decode


class SqliteApprovals:
    """`ApprovalStore` on a control file."""

    _file: SqliteFile

    def open_approval(
        self, binding: Binding, *, arguments: Any, now: float, ttl_s: float, usable_s: float = 3600.0
    ) -> Approval:
        """Ask about a call."""
        opened = approvals.opened(binding, arguments=arguments, now=now, ttl_s=ttl_s, usable_s=usable_s)
        with self._file.write_synced() as db:
            found = _load(db, opened.id)
            if found is None:
                _save(db, opened)
        return opened if found is None else approvals.as_of(found, now)

    def decide_approval(
        self,
        approval: str,
        *,
        decision: Literal["granted", "denied"],
        by: str,
        args_hash: str,
        now: float,
        reason: str | None = None,
    ) -> ApprovalChange:
        """Answer."""
        with self._file.write_synced() as db:
            found = _load(db, approval)
            change = approvals.decide(
                found, decision=decision, by=by, args_hash=args_hash, now=now, reason=reason
            )
            _save_if_changed(db, found, change.approval)
        return change

    def use_approval(self, approval: str, *, binding: Binding, now: float) -> ApprovalChange:
        """Use up a grant to start its call."""
        with self._file.write_synced() as db:
            found = _load(db, approval)
            change = approvals.use(found, binding=binding, now=now)
            _save_if_changed(db, found, change.approval)
        return change

    def read_approval(self, approval: str, *, now: float) -> Approval | None:
        """Return an approval as it stands."""
        with self._file.read() as db:
            found = _load(db, approval)
        return None if found is None else approvals.as_of(found, now)

    def expire_approvals(self, *, now: float) -> int:
        """Store as expired what was not decided or used in time."""
        with self._file.write_synced() as db:
            rows = db.execute(
                "SELECT body FROM approvals WHERE state IN ('pending', 'granted') AND expires_at <= ?", (now,)
            ).fetchall()
            for row in rows:
                _save(db, approvals.as_of(_decode(row[0]), now))
        return len(rows)

    def void_approvals(self, run: RunKey, *, now: float) -> int:
        """Void what a run that is over still waits for."""
        with self._file.write_synced() as db:
            rows = db.execute(
                "SELECT body FROM approvals WHERE request_id = ? AND tenant = ? AND environment = ?",
                (run.request_id, run.tenant, run.environment),
            ).fetchall()
            void = [v for v in (approvals.voided(_decode(row[0]), now) for row in rows) if v is not None]
            for each in void:
                _save(db, each)
        return len(void)

    def list_approvals(
        self,
        *,
        now: float,
        state: ApprovalState | None = "pending",
        tenant: str | None = None,
        limit: int = 100,
    ) -> tuple[Approval, ...]:
        """Return approvals as they stand, oldest first."""
        values: Sequence[str | float]
        match state:
            case "pending" | "granted":
                where, values = "state = ? AND expires_at > ?", [state, now]
            case "expired":
                where = "(state = 'expired' OR (state IN ('pending', 'granted') AND expires_at <= ?))"
                values = [now]
            case None:
                where, values = "1", []
            case _:
                where, values = "state = ?", [state]
        with self._file.read() as db:
            rows = db.execute(
                f"SELECT body FROM approvals WHERE {where} AND (? IS NULL OR tenant = ?) "  # noqa: S608
                "ORDER BY opened_at, id LIMIT ?",
                (*values, tenant, tenant, limit),
            ).fetchall()
        return tuple(approvals.as_of(_decode(row[0]), now) for row in rows)


class SqliteSwitches:
    """`SwitchStore` on a control file; a board is kept as long as its epoch is the file's."""

    _file: SqliteFile
    _board: Board | None = None

    def put_switch(self, switch: Switch) -> int:
        """Pull a switch."""
        check_ref(switch.ref)
        with self._file.write_synced() as db:
            db.execute(
                "INSERT INTO switches VALUES (?, ?) ON CONFLICT (ref) DO UPDATE SET body = excluded.body",
                (_ref(switch.ref), _encode(switch)),
            )
            return _next_epoch(db)

    def clear_switch(self, ref: SwitchRef) -> int:
        """Put a switch back."""
        check_ref(ref)
        with self._file.write_synced() as db:
            if db.execute("DELETE FROM switches WHERE ref = ?", (_ref(ref),)).rowcount:
                return _next_epoch(db)
            return _epoch(db)

    def read_switches(self) -> Board:
        """Return the switches that are pulled now."""
        with self._file.read() as db:
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


def _ref(ref: SwitchRef) -> str:
    return _encode(order(ref)).decode()


def _epoch(db: sqlite3.Connection) -> int:
    epoch: int = db.execute("SELECT value FROM epochs WHERE name = 'switches'").fetchone()[0]
    return epoch


def _next_epoch(db: sqlite3.Connection) -> int:
    db.execute("UPDATE epochs SET value = value + 1 WHERE name = 'switches'")
    return _epoch(db)


def _load(db: sqlite3.Connection, approval: str) -> Approval | None:
    row = db.execute("SELECT body FROM approvals WHERE id = ?", (approval,)).fetchone()
    return None if row is None else _decode(row[0])


def _save_if_changed(db: sqlite3.Connection, found: Approval | None, after: Approval | None) -> None:
    if after is not None and after != found:
        _save(db, after)


def _save(db: sqlite3.Connection, approval: Approval) -> None:
    bound = approval.binding
    db.execute(
        "INSERT INTO approvals VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "state = excluded.state, expires_at = excluded.expires_at, body = excluded.body",
        (
            approval.id,
            approval.state,
            approval.opened_at,
            approval.expires_at,
            bound.tenant,
            bound.environment,
            bound.request_id,
            _encode(approval),
        ),
    )
