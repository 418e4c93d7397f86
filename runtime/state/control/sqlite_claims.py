"""Idempotency claims in SQLite: one row a key, the result in the same row; fsynced before returning."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from runtime.control import claims
from runtime.control.claims import Claim, ClaimAnswer, ClaimChange, ClaimState, EndState
from runtime.core.effects import ToolResult
from runtime.ports.control_values import RunOwner
from runtime.state.control.sqlite_file import SqliteFile, reads, writes, writes_durably
from runtime.state.control.sqlite_runs import check_owner
from runtime.state.control.sqlite_switches import check_epoch

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Claim).decode


class SqliteClaims:
    """`ClaimStore` on a control file."""

    _file: SqliteFile

    @writes_durably
    def claim(
        self,
        db: sqlite3.Connection,
        key: str,
        *,
        args_hash: str,
        owner: str,
        now: float,
        lease_s: float,
        repeatable: bool = False,
        keep_s: float | None = None,
        run: RunOwner | None = None,
        epoch: int | None = None,
    ) -> ClaimAnswer:
        """Ask to carry out a write."""
        check_owner(db, run)
        check_epoch(db, epoch)
        found = _load(db, key)
        answer = claims.take(
            found,
            key=key,
            args_hash=args_hash,
            owner=owner,
            now=now,
            lease_s=lease_s,
            repeatable=repeatable,
            keep_s=keep_s,
        )
        if answer.claim != found:
            _save(db, answer.claim)
        return answer

    @writes
    def renew_claim(
        self, db: sqlite3.Connection, key: str, *, fencing: int, now: float, lease_s: float
    ) -> bool:
        """Extend a claim; a renewal lost with the power only lets it lapse earlier, so it is not synced."""
        renewed = claims.renew(_load(db, key), fencing=fencing, now=now, lease_s=lease_s)
        if renewed is not None:
            _save(db, renewed)
        return renewed is not None

    @writes_durably
    def end_claim(
        self,
        db: sqlite3.Connection,
        key: str,
        *,
        fencing: int,
        state: EndState,
        now: float,
        result: ToolResult | None = None,
        note: str | None = None,
    ) -> ClaimChange:
        """Say what became of the call."""
        change = claims.end(_load(db, key), fencing=fencing, state=state, result=result, note=note, now=now)
        if change.applied and change.claim is not None:
            _save(db, change.claim)
        return change

    @writes_durably
    def reconcile_claim(
        self,
        db: sqlite3.Connection,
        key: str,
        *,
        happened: bool,
        by: str,
        now: float,
        result: ToolResult | None = None,
    ) -> ClaimChange:
        """Say what was found out about a call in doubt."""
        change = claims.reconcile(_load(db, key), happened=happened, by=by, result=result, now=now)
        if change.applied and change.claim is not None:
            _save(db, change.claim)
        return change

    @reads
    def lookup_claim(self, db: sqlite3.Connection, key: str, *, now: float) -> Claim | None:
        """Return what is known of a key."""
        found = _load(db, key)
        return None if found is None else claims.as_of(found, now)

    @reads
    def list_claims(
        self, db: sqlite3.Connection, *, state: ClaimState, now: float, limit: int = 100
    ) -> tuple[Claim, ...]:
        """Return the claims in a state, by key."""
        values: Sequence[str | float]
        match state:
            case "claimed":
                where, values = "state = 'claimed' AND expires_at > ?", [now]
            case "in_doubt":
                where, values = "state = 'in_doubt' OR (state = 'claimed' AND expires_at <= ?)", [now]
            case _:
                where, values = "state = ?", [state]
        rows = db.execute(
            f"SELECT body FROM claims WHERE {where} ORDER BY key LIMIT ?",  # noqa: S608
            (*values, limit),
        ).fetchall()
        return tuple(claims.as_of(_decode(row[0]), now) for row in rows)


def _load(db: sqlite3.Connection, key: str) -> Claim | None:
    row = db.execute("SELECT body FROM claims WHERE key = ?", (key,)).fetchone()
    return None if row is None else _decode(row[0])


def _save(db: sqlite3.Connection, claim: Claim) -> None:
    db.execute(
        "INSERT INTO claims VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
        "state = excluded.state, expires_at = excluded.expires_at, body = excluded.body",
        (claim.key, claim.state, claim.expires_at, _encode(claim)),
    )
