"""Leases, rate limits and breakers in SQLite."""

from __future__ import annotations

import sqlite3

import msgspec

from runtime.control import breaker, ratelimit
from runtime.control.breaker import BreakerRule, BreakerState, BreakerVerdict, Phase, Sample
from runtime.control.ratelimit import RateAnswer, RateRule, RateState
from runtime.ports.control_values import BreakerView, Lease, LeaseAnswer
from runtime.state.control.sqlite_file import SqliteFile, reads, writes, writes_durably

_encode = msgspec.json.Encoder().encode
_decode_rate = msgspec.json.Decoder(RateState).decode
_decode_breaker = msgspec.json.Decoder(BreakerState).decode


class SqliteLeases:
    """`LeaseStore` on a control file."""

    _file: SqliteFile

    @writes
    def acquire_lease(
        self, db: sqlite3.Connection, name: str, *, cap: int, owner: str, now: float, ttl_s: float
    ) -> LeaseAnswer:
        """Take a slot if fewer than `cap` are taken."""
        return acquire(db, name, cap=cap, owner=owner, now=now, ttl_s=ttl_s)

    @writes
    def renew_lease(
        self, db: sqlite3.Connection, name: str, *, fencing: int, now: float, ttl_s: float
    ) -> bool:
        """Extend a lease."""
        changed = db.execute(
            "UPDATE leases SET expires_at = max(expires_at, ?) "
            "WHERE name = ? AND fencing = ? AND expires_at > ?",
            (now + ttl_s, name, fencing, now),
        ).rowcount
        return changed == 1

    @writes
    def release_lease(self, db: sqlite3.Connection, name: str, *, fencing: int) -> bool:
        """Give a slot back."""
        return release(db, name, fencing=fencing)

    @reads
    def count_leases(self, db: sqlite3.Connection, name: str, *, now: float) -> int:
        """Return how many slots are taken."""
        row = db.execute("SELECT count(*) FROM leases WHERE name = ? AND expires_at > ?", (name, now))
        count: int = row.fetchone()[0]
        return count


class SqliteRates:
    """`RateStore` on a control file."""

    _file: SqliteFile

    @writes
    def take_rate(
        self, db: sqlite3.Connection, key: str, rule: RateRule, *, now: float, cost: int = 1
    ) -> RateAnswer:
        """Take tokens, all or none."""
        state, answer = judged_rate(db, key, rule, now=now, cost=cost)
        keep_rate(db, key, state)
        return answer


class SqliteBreakers:
    """`BreakerStore` on a control file."""

    _file: SqliteFile

    @writes
    def ask_breaker(
        self, db: sqlite3.Connection, key: str, rule: BreakerRule, *, now: float, token: str
    ) -> BreakerVerdict:
        """Return whether a call may start."""
        state, verdict = judged_breaker(db, key, rule, now=now, token=token)
        keep_breaker(db, key, state)
        return verdict

    @writes
    def report_breaker(
        self,
        db: sqlite3.Connection,
        key: str,
        rule: BreakerRule,
        *,
        now: float,
        generation: int,
        sample: Sample,
        token: str,
    ) -> Phase:
        """Tell a call's result."""
        return report(db, key, rule, now=now, generation=generation, sample=sample, token=token)

    @writes_durably
    def close_breaker(self, db: sqlite3.Connection, key: str) -> bool:
        """Close a breaker by hand."""
        after = breaker.closed(_breaker(_load(db, "breaker", key)))
        if after is not None:
            _save(db, "breaker", key, _encode(after))
        return after is not None

    @reads
    def list_breakers(self, db: sqlite3.Connection, *, prefix: str = "") -> tuple[BreakerView, ...]:
        """Return the breakers whose key starts with a prefix, by key."""
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
    """Take a slot within a transaction, if fewer than `cap` are taken."""
    full = taken(db, name, cap=cap, now=now)
    if full is not None:
        return full
    db.execute("DELETE FROM leases WHERE name = ? AND expires_at <= ?", (name, now))
    fencing = db.execute(
        "INSERT INTO lease_numbers VALUES (?, 1) "
        "ON CONFLICT (name) DO UPDATE SET last = last + 1 RETURNING last",
        (name,),
    ).fetchone()[0]
    db.execute("INSERT INTO leases VALUES (?, ?, ?, ?)", (name, fencing, owner, now + ttl_s))
    lease = Lease(name=name, fencing=fencing, owner=owner, expires_at=now + ttl_s)
    live = db.execute("SELECT count(*) FROM leases WHERE name = ?", (name,)).fetchone()[0]
    return LeaseAnswer(lease=lease, live=live)


def release(db: sqlite3.Connection, name: str, *, fencing: int) -> bool:
    """Give a slot back within a transaction."""
    return db.execute("DELETE FROM leases WHERE name = ? AND fencing = ?", (name, fencing)).rowcount == 1


def taken(db: sqlite3.Connection, name: str, *, cap: int, now: float) -> LeaseAnswer | None:
    """Return the answer where all slots are taken; `None` where one is free."""
    live, first = db.execute(
        "SELECT count(*), min(expires_at) FROM leases WHERE name = ? AND expires_at > ?", (name, now)
    ).fetchone()
    if live < cap:
        return None
    return LeaseAnswer(lease=None, live=live, after_s=0.0 if first is None else first - now)


def judged_rate(
    db: sqlite3.Connection, key: str, rule: RateRule, *, now: float, cost: int = 1
) -> tuple[RateState | None, RateAnswer]:
    """Return the answer to taking tokens, and the state to keep if they are taken; `None` if it stays."""
    body = _load(db, "rate", key)
    state = ratelimit.FRESH if body is None else _decode_rate(body)
    after, answer = ratelimit.take(state, rule, now=now, cost=cost)
    return (None if after == state else after), answer


def judged_breaker(
    db: sqlite3.Connection, key: str, rule: BreakerRule, *, now: float, token: str
) -> tuple[BreakerState | None, BreakerVerdict]:
    """Return a breaker's verdict, and the state to keep if the call starts; `None` if it stays."""
    state = _breaker(_load(db, "breaker", key))
    after, verdict = breaker.ask(state, rule, now=now, token=token)
    return (None if after is state or after == state else after), verdict


def keep_rate(db: sqlite3.Connection, key: str, state: RateState | None) -> None:
    """Store the state of a rate, if it changed."""
    if state is not None:
        _save(db, "rate", key, _encode(state))


def keep_breaker(db: sqlite3.Connection, key: str, state: BreakerState | None) -> None:
    """Store the state of a breaker, if it changed."""
    if state is not None:
        _save(db, "breaker", key, _encode(state))


def give_back_rate(db: sqlite3.Connection, key: str, *, at: float) -> None:
    """Give a token back within a transaction."""
    body = _load(db, "rate", key)
    if body is not None:
        _save(db, "rate", key, _encode(ratelimit.give_back(_decode_rate(body), at=at)))


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
