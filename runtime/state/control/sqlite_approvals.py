"""Approvals in SQLite: what people decided; fsynced before returning."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from runtime.control import approvals
from runtime.control.approvals import Approval, ApprovalChange, ApprovalState, Binding
from runtime.ports.control_values import RunKey, RunOwner
from runtime.state.control.sqlite_file import SqliteFile, reads, writes_durably
from runtime.state.control.sqlite_runs import check_owner

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Approval).decode


class SqliteApprovals:
    """`ApprovalStore` on a control file."""

    _file: SqliteFile

    @writes_durably
    def open_approval(
        self,
        db: sqlite3.Connection,
        binding: Binding,
        *,
        arguments: Any,
        now: float,
        ttl_s: float,
        usable_s: float = 3600.0,
        run: RunOwner | None = None,
    ) -> Approval:
        """Ask about a call."""
        check_owner(db, run)
        opened = approvals.opened(binding, arguments=arguments, now=now, ttl_s=ttl_s, usable_s=usable_s)
        found = _load(db, opened.id)
        if found is None:
            _save(db, opened)
        return opened if found is None else approvals.as_of(found, now)

    @writes_durably
    def decide_approval(
        self,
        db: sqlite3.Connection,
        approval: str,
        *,
        decision: Literal["granted", "denied"],
        by: str,
        args_hash: str,
        now: float,
        reason: str | None = None,
    ) -> ApprovalChange:
        """Answer."""
        found = _load(db, approval)
        change = approvals.decide(
            found, decision=decision, by=by, args_hash=args_hash, now=now, reason=reason
        )
        _save_if_changed(db, found, change.approval)
        return change

    @writes_durably
    def use_approval(
        self,
        db: sqlite3.Connection,
        approval: str,
        *,
        binding: Binding,
        now: float,
        run: RunOwner | None = None,
    ) -> ApprovalChange:
        """Use up a grant to start its call."""
        check_owner(db, run)
        found = _load(db, approval)
        change = approvals.use(found, binding=binding, now=now)
        _save_if_changed(db, found, change.approval)
        return change

    @reads
    def read_approval(self, db: sqlite3.Connection, approval: str, *, now: float) -> Approval | None:
        """Return an approval as it stands."""
        found = _load(db, approval)
        return None if found is None else approvals.as_of(found, now)

    @writes_durably
    def expire_approvals(self, db: sqlite3.Connection, *, now: float) -> int:
        """Store as expired what was not decided or used in time."""
        rows = db.execute(
            "SELECT body FROM approvals WHERE state IN ('pending', 'granted') AND expires_at <= ?", (now,)
        ).fetchall()
        for row in rows:
            _save(db, approvals.as_of(_decode(row[0]), now))
        return len(rows)

    @writes_durably
    def void_approvals(self, db: sqlite3.Connection, run: RunKey, *, now: float) -> int:
        """Void what a run that is over still waits for."""
        rows = db.execute(
            "SELECT body FROM approvals WHERE request_id = ? AND tenant = ? AND environment = ?",
            (run.request_id, run.tenant, run.environment),
        ).fetchall()
        void = [v for v in (approvals.voided(_decode(row[0]), now) for row in rows) if v is not None]
        for each in void:
            _save(db, each)
        return len(void)

    @reads
    def list_approvals(
        self,
        db: sqlite3.Connection,
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
        rows = db.execute(
            f"SELECT body FROM approvals WHERE {where} AND (? IS NULL OR tenant = ?) "  # noqa: S608
            "ORDER BY opened_at, id LIMIT ?",
            (*values, tenant, tenant, limit),
        ).fetchall()
        return tuple(approvals.as_of(_decode(row[0]), now) for row in rows)


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
