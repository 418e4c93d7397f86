"""Leases, rate limits and breakers in SQLite."""

from __future__ import annotations

import sqlite3

import msgspec

from runtime.control import breaker, ratelimit
from runtime.control.breaker import BreakerRule, BreakerState, BreakerVerdict, Phase, Sample
from runtime.control.ratelimit import RateAnswer, RateRule, RateState
from runtime.ports.control_values import BreakerView, Lease, LeaseAnswer
from runtime.state.control.sqlite_file import SqliteFile

_encode = msgspec.json.Encoder().encode
_decode_rate = msgspec.json.Decoder(RateState).decode
_decode_breaker = msgspec.json.Decoder(BreakerState).decode


class SqliteLeases:
    """`LeaseStore` on a control file."""

    _file: SqliteFile

    def acquire_lease(self, name: str, *, cap: int, owner: str, now: float, ttl_s: float) -> LeaseAnswer:
        """Take a slot if fewer than `cap` are taken."""
        with self._file.write() as db:
            return acquire(db, name, cap=cap, owner=owner, now=now, ttl_s=ttl_s)

    def renew_lease(self, name: str, *, fencing: int, now: float, ttl_s: float) -> bool:
        """Extend a lease."""
        with self._file.write() as db:
            changed = db.execute(
                "UPDATE leases SET expires_at = max(expires_at, ?) "
                "WHERE name = ? AND fencing = ? AND expires_at > ?",
                (now + ttl_s, name, fencing, now),
            ).rowcount
        return changed == 1

    def release_lease(self, name: str, *, fencing: int) -> bool:
        """Give a slot back."""
        with self._file.write() as db:
            return release(db, name, fencing=fencing)

    def count_leases(self, name: str, *, now: float) -> int:
        """Return how many slots are taken."""
        with self._file.read() as db:
            row = db.execute("SELECT count(*) FROM leases WHERE name = ? AND expires_at > ?", (name, now))
            count: int = row.fetchone()[0]
        return count


class SqliteRates:
    """`RateStore` on a control file."""

    _file: SqliteFile

    def take_rate(self, key: str, rule: RateRule, *, now: float, cost: int = 1) -> RateAnswer:
        """Take tokens, all or none."""
        with self._file.write() as db:
            return take(db, key, rule, now=now, cost=cost)


class SqliteBreakers:
    """`BreakerStore` on a control file."""

    _file: SqliteFile

    def ask_breaker(self, key: str, rule: BreakerRule, *, now: float, token: str) -> BreakerVerdict:
        """Return whether a call may start; a closed breaker costs one read."""
        with self._file.read() as db:
            state = _breaker(_load(db, "breaker", key))
        after, verdict = breaker.ask(state, rule, now=now, token=token)
        if after == state:
            return verdict
        with self._file.write() as db:
            return ask(db, key, rule, now=now, token=token)

    def report_breaker(
        self, key: str, rule: BreakerRule, *, now: float, generation: int, sample: Sample, token: str
    ) -> Phase:
        """Tell a call's result."""
        with self._file.write() as db:
            return report(db, key, rule, now=now, generation=generation, sample=sample, token=token)

    def close_breaker(self, key: str) -> bool:
        """Close a breaker by hand."""
        with self._file.write_synced() as db:
            after = breaker.closed(_breaker(_load(db, "breaker", key)))
            if after is not None:
                _save(db, "breaker", key, _encode(after))
        return after is not None

    def list_breakers(self, *, prefix: str = "") -> tuple[BreakerView, ...]:
        """Return the breakers whose key starts with a prefix, by key."""
        with self._file.read() as db:
            rows = db.execute(
                "SELECT key, body FROM cells WHERE kind = 'breaker' AND substr(key, 1, ?) = ? ORDER BY key",
                (len(prefix), prefix),
            ).fetchall()
        states = [(key, _decode_breaker(body)) for key, body in rows]
        return tuple(
            BreakerView(key=key, phase=s.phase, trips=s.trips, retry_at=s.retry_at) for key, s in states
        )


def acquire(
    db: sqlite3.Connection, name: str, *, cap: int, owner: str, now: float, ttl_s: float
) -> LeaseAnswer:
    """Take a slot within a transaction."""
    live, first = db.execute(
        "SELECT count(*), min(expires_at) FROM leases WHERE name = ? AND expires_at > ?", (name, now)
    ).fetchone()
    if live >= cap:
        return LeaseAnswer(lease=None, live=live, after_s=0.0 if first is None else first - now)
    db.execute("DELETE FROM leases WHERE name = ? AND expires_at <= ?", (name, now))
    fencing = db.execute(
        "INSERT INTO lease_numbers VALUES (?, 1) "
        "ON CONFLICT (name) DO UPDATE SET last = last + 1 RETURNING last",
        (name,),
    ).fetchone()[0]
    db.execute("INSERT INTO leases VALUES (?, ?, ?, ?)", (name, fencing, owner, now + ttl_s))
    lease = Lease(name=name, fencing=fencing, owner=owner, expires_at=now + ttl_s)
    return LeaseAnswer(lease=lease, live=live + 1)


def release(db: sqlite3.Connection, name: str, *, fencing: int) -> bool:
    """Give a slot back within a transaction."""
    return db.execute("DELETE FROM leases WHERE name = ? AND fencing = ?", (name, fencing)).rowcount == 1


def take(db: sqlite3.Connection, key: str, rule: RateRule, *, now: float, cost: int = 1) -> RateAnswer:
    """Take tokens within a transaction."""
    body = _load(db, "rate", key)
    state = ratelimit.FRESH if body is None else _decode_rate(body)
    after, answer = ratelimit.take(state, rule, now=now, cost=cost)
    if after != state:
        _save(db, "rate", key, _encode(after))
    return answer


def ask(db: sqlite3.Connection, key: str, rule: BreakerRule, *, now: float, token: str) -> BreakerVerdict:
    """Ask a breaker within a transaction."""
    state = _breaker(_load(db, "breaker", key))
    after, verdict = breaker.ask(state, rule, now=now, token=token)
    if after is not state and after != state:
        _save(db, "breaker", key, _encode(after))
    return verdict


def report(
    db: sqlite3.Connection,
    key: str,
    rule: BreakerRule,
    *,
    now: float,
    generation: int,
    sample: Sample,
    token: str,
) -> Phase:
    """Tell a breaker within a transaction."""
    state = _breaker(_load(db, "breaker", key))
    after = breaker.report(
        state, rule, now=now, generation=generation, sample=sample, token=token, stream=key
    )
    if after != state:
        _save(db, "breaker", key, _encode(after))
    return after.phase


def _breaker(body: bytes | None) -> BreakerState:
    return breaker.NEW if body is None else _decode_breaker(body)


def _load(db: sqlite3.Connection, kind: str, key: str) -> bytes | None:
    row = db.execute("SELECT body FROM cells WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    return None if row is None else row[0]


def _save(db: sqlite3.Connection, kind: str, key: str, body: bytes) -> None:
    db.execute(
        "INSERT INTO cells VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
        (kind, key, body),
    )
