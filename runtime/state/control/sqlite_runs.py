"""The index of runs and the audit checkpoints in SQLite."""

from __future__ import annotations

import sqlite3

import msgspec

from runtime.ports.control_values import (
    Checkpoint,
    Run,
    RunKey,
    RunOpened,
    RunOwner,
    RunStopped,
    RunTakenOver,
)
from runtime.state.control import run_changes
from runtime.state.control.sqlite_file import SqliteFile, reads, writes, writes_durably

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Run).decode
_WHERE = "WHERE tenant = ? AND environment = ? AND request_id = ?"


class SqliteRuns:
    """`RunStore` on a control file."""

    _file: SqliteFile

    @writes
    def open_run(self, db: sqlite3.Connection, run: Run) -> RunOpened:
        """Enter a run."""
        found = _load(db, run.key)
        if found is None:
            _insert(db, run)
            return RunOpened(first=True, conflict=False, run=run)
        return RunOpened(first=False, conflict=found.payload_hash != run.payload_hash, run=found)

    @writes
    def beat_run(
        self, db: sqlite3.Connection, key: RunKey, *, fencing: int, alive_until: float | None
    ) -> bool:
        """Say that a run is alive until a time, or parked."""
        after = run_changes.beaten(_load(db, key), fencing=fencing, alive_until=alive_until)
        if after is not None:
            _update(db, after)
        return after is not None

    @writes
    def resume_run(
        self, db: sqlite3.Connection, key: RunKey, *, now: float, alive_until: float | None
    ) -> Run | None:
        """Take over a run."""
        after = run_changes.resumed(_load(db, key), now=now, alive_until=alive_until)
        if after is not None:
            _update(db, after)
        return after

    @writes
    def stop_run(
        self, db: sqlite3.Connection, key: RunKey, *, fencing: int, stop_reason: str, now: float
    ) -> RunStopped:
        """Set the stop reason if there is none and nobody took the run over."""
        found = _load(db, key)
        after = run_changes.stopped(found, fencing=fencing, stop_reason=stop_reason, now=now)
        if after is not None:
            _update(db, after)
        return RunStopped(applied=after is not None, run=found if after is None else after)

    @writes
    def sweep_runs(self, db: sqlite3.Connection, *, now: float) -> tuple[Run, ...]:
        """Set `crashed` on runs that missed their heartbeat."""
        rows = db.execute(
            "SELECT body FROM runs WHERE stop_reason IS NULL AND alive_until IS NOT NULL "
            "AND alive_until <= ? ORDER BY started_at, tenant, environment, request_id",
            (now,),
        ).fetchall()
        after = [run_changes.swept(_decode(row[0]), now) for row in rows]
        crashed = tuple(run for run in after if run is not None)
        for run in crashed:
            _update(db, run)
        return crashed

    @reads
    def find_runs(self, db: sqlite3.Connection, request_id: str) -> tuple[Run, ...]:
        """Return the runs of a request id, of any tenant."""
        rows = db.execute(
            "SELECT body FROM runs WHERE request_id = ? ORDER BY tenant, environment", (request_id,)
        ).fetchall()
        return tuple(_decode(row[0]) for row in rows)

    @reads
    def list_runs(
        self, db: sqlite3.Connection, *, tenant: str | None = None, open_only: bool = False, limit: int = 100
    ) -> tuple[Run, ...]:
        """Return runs, latest first."""
        rows = db.execute(
            "SELECT body FROM runs WHERE (? IS NULL OR tenant = ?) AND (NOT ? OR stop_reason IS NULL) "
            "ORDER BY started_at DESC, tenant, environment, request_id LIMIT ?",
            (tenant, tenant, open_only, limit),
        ).fetchall()
        return tuple(_decode(row[0]) for row in rows)

    @writes_durably
    def append_checkpoint(self, db: sqlite3.Connection, checkpoint: Checkpoint) -> bool:
        """Append to its chain."""
        last = db.execute("SELECT max(seq) FROM checkpoints WHERE chain = ?", (checkpoint.chain,)).fetchone()[
            0
        ]
        if last is not None and last >= checkpoint.seq:
            return False
        db.execute(
            "INSERT INTO checkpoints VALUES (?, ?, ?, ?)",
            (checkpoint.chain, checkpoint.seq, checkpoint.digest, checkpoint.at),
        )
        return True

    @reads
    def list_checkpoints(self, db: sqlite3.Connection, chain: str) -> tuple[Checkpoint, ...]:
        """Return the checkpoints of a chain in order."""
        rows = db.execute(
            "SELECT seq, digest, at FROM checkpoints WHERE chain = ? ORDER BY seq", (chain,)
        ).fetchall()
        return tuple(Checkpoint(chain=chain, seq=seq, digest=digest, at=at) for seq, digest, at in rows)


def check_owner(db: sqlite3.Connection, owner: RunOwner | None) -> None:
    """Refuse to act for a run that another process has.

    Raises:
        RunTakenOver: If it was taken over, or is not known here.
    """
    if owner is None:
        return
    run = _load(db, owner.key)
    if run is None or run.fencing != owner.fencing:
        why = "is not known to this store" if run is None else "was taken over by another process"
        raise RunTakenOver(
            f"run {owner.key.request_id} {why}", next_step="look at it with `goldrun ops runs`"
        )


def _load(db: sqlite3.Connection, key: RunKey) -> Run | None:
    row = db.execute(
        f"SELECT body FROM runs {_WHERE}",  # noqa: S608
        (key.tenant, key.environment, key.request_id),
    ).fetchone()
    return None if row is None else _decode(row[0])


def _insert(db: sqlite3.Connection, run: Run) -> None:
    key = run.key
    db.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            key.tenant,
            key.environment,
            key.request_id,
            run.started_at,
            run.alive_until,
            run.stop_reason,
            _encode(run),
        ),
    )


def _update(db: sqlite3.Connection, run: Run) -> None:
    key = run.key
    db.execute(
        f"UPDATE runs SET alive_until = ?, stop_reason = ?, body = ? {_WHERE}",  # noqa: S608
        (run.alive_until, run.stop_reason, _encode(run), key.tenant, key.environment, key.request_id),
    )
