"""The ledger in SQLite: sums in columns, one row a scope; holds in rows of their own."""

from __future__ import annotations

import sqlite3
from functools import cache, lru_cache

import msgspec

from runtime.control.ledger import (
    NO_CAPS,
    NOTHING,
    Amount,
    Caps,
    Hold,
    HoldState,
    Refusal,
    Reserved,
    ScopeUse,
    Settled,
    SpendScope,
    Unit,
    check_amount,
    excess,
    make_hold,
    refuse,
    repeat,
)
from runtime.state.control.sqlite_file import SqliteFile, reads, writes, writes_durably

_COLUMNS = (
    "key, nanos, tokens, tool_calls, steps, held_nanos, held_tokens, held_tool_calls, held_steps, "
    "caps, override"
)
_NO_CAPS = b"{}"
_encode = msgspec.json.Encoder().encode
_decode_hold = msgspec.json.Decoder(Hold).decode
_decode_caps = lru_cache(1024)(msgspec.json.Decoder(Caps).decode)


class SqliteSpend:
    """`SpendStore` on a control file."""

    _file: SqliteFile

    @writes
    def reserve_spend(
        self,
        db: sqlite3.Connection,
        reservation: str,
        scopes: tuple[SpendScope, ...],
        amount: Amount,
        *,
        now: float,
        ttl_s: float,
        estimate: Amount | None = None,
    ) -> Reserved:
        """Hold an amount in all scopes, or in none."""
        hold = make_hold(scopes, amount, estimate)
        return reserve(db, reservation, scopes, hold, now=now, ttl_s=ttl_s)

    @writes
    def settle_spend(
        self, db: sqlite3.Connection, reservation: str, actual: Amount, *, now: float
    ) -> Settled:
        """End a hold with what was used."""
        return end(db, reservation, actual, now=now)

    @writes
    def release_spend(self, db: sqlite3.Connection, reservation: str, *, now: float) -> Settled:
        """End a hold whose call never started."""
        return end(db, reservation, None, now=now)

    @writes
    def expire_spend(self, db: sqlite3.Connection, *, now: float) -> int:
        """Turn holds that expired into their estimates."""
        return _expire(db, now)

    async def read_spend(self, keys: tuple[str, ...], *, now: float) -> tuple[ScopeUse, ...]:
        """Return the use of some scopes in their order."""
        await self._expire_if_due(now)
        found = await self._read_uses(keys)
        return tuple(found.get(key, ScopeUse(key=key)) for key in keys)

    async def list_spend(self, *, now: float, prefix: str = "", limit: int = 100) -> tuple[ScopeUse, ...]:
        """Return the scopes whose key starts with a prefix, by key."""
        await self._expire_if_due(now)
        return await self._list_uses(prefix, limit)

    @writes_durably
    def put_caps(self, db: sqlite3.Connection, key: str, caps: Caps | None) -> None:
        """Set an operator's caps of a scope."""
        body = None if caps is None else _encode(caps)
        db.execute(
            "INSERT INTO scopes (key, override) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET override = excluded.override",
            (key, body),
        )

    async def prune_spend(self, *, before: float, limit: int = 1000) -> int:
        """Forget ended holds that would have expired before a time.

        What has ended stays so; the search can be long and is made before the lock that others wait for.
        """
        old = await self._ended_before(before, limit)
        return await self._forget(old) if old else 0

    @reads
    def _read_uses(self, db: sqlite3.Connection, keys: tuple[str, ...]) -> dict[str, ScopeUse]:
        return _uses(db, keys)

    @reads
    def _list_uses(self, db: sqlite3.Connection, prefix: str, limit: int) -> tuple[ScopeUse, ...]:
        rows = db.execute(
            f"SELECT {_COLUMNS} FROM scopes WHERE substr(key, 1, ?) = ? ORDER BY key LIMIT ?",  # noqa: S608
            (len(prefix), prefix, limit),
        ).fetchall()
        return tuple(_use(row) for row in rows)

    @reads
    def _ended_before(self, db: sqlite3.Connection, before: float, limit: int) -> list[tuple[str]]:
        return db.execute(
            "SELECT id FROM holds WHERE state <> 'open' AND expires_at < ? LIMIT ?", (before, limit)
        ).fetchall()

    @writes
    def _forget(self, db: sqlite3.Connection, holds: list[tuple[str]]) -> int:
        return db.executemany("DELETE FROM holds WHERE id = ?", holds).rowcount

    @reads
    def _is_due(self, db: sqlite3.Connection, now: float) -> bool:
        due = db.execute("SELECT 1 FROM holds WHERE state = 'open' AND expires_at <= ? LIMIT 1", (now,))
        return due.fetchone() is not None

    async def _expire_if_due(self, now: float) -> None:
        if await self._is_due(now):
            await self.expire_spend(now=now)


def reserve(
    db: sqlite3.Connection,
    reservation: str,
    scopes: tuple[SpendScope, ...],
    hold: Hold,
    *,
    now: float,
    ttl_s: float,
    unknown: tuple[Unit, ...] = (),
) -> Reserved:
    """Hold an amount within a transaction.

    What mostly holds is tried first: the id is new, the scopes are known, their caps have not changed and leave room.
    """
    expires_at, amount = now + ttl_s, hold.amount
    if not _insert(db, reservation, hold, expires_at):
        found = _stored(db, reservation, now)
        assert found is not None
        return repeat(found, hold)
    if _hold_at_once(db, scopes, hold, unknown):
        return Reserved(granted=True)
    uses = _uses(db, hold.scopes)
    refusal = _refusal(uses, scopes, amount, unknown)
    if refusal is not None:
        # Its own hold is not counted in any scope yet, and must not be found among those that expired.
        db.execute("DELETE FROM holds WHERE id = ?", (reservation,))
        if _expire(db, now):  # estimates below their holds make room
            uses = _uses(db, hold.scopes)
            refusal = _refusal(uses, scopes, amount, unknown)
        if refusal is not None:
            return Reserved(granted=False, refusal=refusal, why="cap")
        _insert(db, reservation, hold, expires_at)
    _hold(db, uses, scopes, hold)
    return Reserved(granted=True)


def judged(
    db: sqlite3.Connection,
    reservation: str,
    scopes: tuple[SpendScope, ...],
    hold: Hold,
    *,
    now: float,
    unknown: tuple[Unit, ...] = (),
) -> Reserved | None:
    """Return the answer to a reservation that is known or does not fit; `None` if it may be held."""
    found = _stored(db, reservation, now)
    if found is not None:
        return repeat(found, hold)
    refusal = _refusal(_uses(db, hold.scopes), scopes, hold.amount, unknown)
    if refusal is not None and _expire(db, now):  # estimates below their holds make room
        refusal = _refusal(_uses(db, hold.scopes), scopes, hold.amount, unknown)
    return None if refusal is None else Reserved(granted=False, refusal=refusal, why="cap")


def end(db: sqlite3.Connection, reservation: str, actual: Amount | None, *, now: float) -> Settled:
    """End a hold within a transaction with what was used, or with nothing if its call never started."""
    state: HoldState = "released" if actual is None else "settled"
    spent = NOTHING if actual is None else actual
    check_amount(spent)
    hold = _stored(db, reservation, now)
    if hold is None:
        return Settled(applied=False, state=None)
    if hold.state != "open":
        return Settled(applied=False, state=hold.state)
    _finish(db, reservation, hold, state, spent)
    return Settled(applied=True, state=state, over=excess(spent, hold.amount))


def _stored(db: sqlite3.Connection, reservation: str, now: float) -> Hold | None:
    """Return a stored hold after expiring it if it is due."""
    row = db.execute("SELECT state, expires_at, body FROM holds WHERE id = ?", (reservation,)).fetchone()
    if row is None:
        return None
    state, expires_at, body = row
    hold = _decode_hold(body)
    if state == "open" and expires_at <= now:
        _finish(db, reservation, hold, "expired", hold.estimate)
        state = "expired"
    return hold if state == "open" else msgspec.structs.replace(hold, state=state)


def _finish(db: sqlite3.Connection, reservation: str, hold: Hold, state: HoldState, actual: Amount) -> None:
    held = hold.amount
    db.execute(
        _finish_sql(len(hold.scopes)),
        (
            actual.nanos,
            actual.tokens,
            actual.tool_calls,
            actual.steps,
            held.nanos,
            held.tokens,
            held.tool_calls,
            held.steps,
            *hold.scopes,
        ),
    )
    db.execute("UPDATE holds SET state = ? WHERE id = ?", (state, reservation))


def _expire(db: sqlite3.Connection, now: float) -> int:
    rows = db.execute(
        "SELECT id, body FROM holds WHERE state = 'open' AND expires_at <= ?", (now,)
    ).fetchall()
    for reservation, body in rows:
        hold = _decode_hold(body)
        _finish(db, reservation, hold, "expired", hold.estimate)
    return len(rows)


def _uses(db: sqlite3.Connection, keys: tuple[str, ...]) -> dict[str, ScopeUse]:
    return {row[0]: _use(row) for row in db.execute(_uses_sql(len(keys)), keys)}


def _use(row: tuple[str, int, int, int, int, int, int, int, int, bytes, bytes | None]) -> ScopeUse:
    caps, override = row[9], row[10]
    return ScopeUse(
        key=row[0],
        spent=Amount(row[1], row[2], row[3], row[4]),
        held=Amount(row[5], row[6], row[7], row[8]),
        caps=NO_CAPS if caps == _NO_CAPS else _decode_caps(caps),
        override=None if override is None else _decode_caps(override),
    )


def _refusal(
    uses: dict[str, ScopeUse], scopes: tuple[SpendScope, ...], amount: Amount, unknown: tuple[Unit, ...]
) -> Refusal | None:
    for scope in scopes:
        use = uses.get(scope.key)
        found = refuse(ScopeUse(key=scope.key) if use is None else use, scope.caps, amount, unknown)
        if found is not None:
            return found
    return None


def _insert(db: sqlite3.Connection, reservation: str, hold: Hold, expires_at: float) -> bool:
    """Enter a hold; false if its id is taken."""
    values = (reservation, expires_at, _encode(hold))
    return db.execute("INSERT OR IGNORE INTO holds VALUES (?, 'open', ?, ?)", values).rowcount == 1


def _hold_at_once(
    db: sqlite3.Connection, scopes: tuple[SpendScope, ...], hold: Hold, unknown: tuple[Unit, ...]
) -> bool:
    """Add a hold to its scopes if all are known, with the caps it brings, and have room; else change nothing.

    A scope without caps is not read: its row is changed if it says so itself. (RETURNING would cost four times that.)
    """
    free = tuple([scope.key for scope in scopes if scope.caps == NO_CAPS])
    capped = [scope for scope in scopes if scope.caps != NO_CAPS]
    keys = tuple([scope.key for scope in capped])
    if capped:
        uses = _uses(db, keys)
        if any(s.key not in uses or uses[s.key].caps != s.caps for s in capped):
            return False
        if _refusal(uses, tuple(capped), hold.amount, unknown) is not None:
            return False
    amount = hold.amount
    units = (amount.nanos, amount.tokens, amount.tool_calls, amount.steps)
    if free:
        changed = db.execute(_hold_free_sql(len(free)), (*units, *free)).rowcount
        if changed != len(free):
            if changed:
                db.execute(_hold_free_sql(len(free)), (*(-unit for unit in units), *free))
            return False
    if capped:
        db.execute(_hold_sql(len(keys)), (*units, *keys))
    return True


def _hold(
    db: sqlite3.Connection, uses: dict[str, ScopeUse], scopes: tuple[SpendScope, ...], hold: Hold
) -> None:
    """Add a hold to its scopes; enter new ones, and the caps it brought where they changed."""
    for scope in scopes:
        use = uses.get(scope.key)
        if use is None or use.caps != scope.caps:
            db.execute(
                "INSERT INTO scopes (key, caps) VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET caps = excluded.caps",
                (scope.key, _encode(scope.caps)),
            )
    amount = hold.amount
    values = (amount.nanos, amount.tokens, amount.tool_calls, amount.steps)
    db.execute(_hold_sql(len(hold.scopes)), (*values, *hold.scopes))


def _marks(count: int) -> str:
    return ", ".join("?" * count)


@cache
def _uses_sql(count: int) -> str:
    return f"SELECT {_COLUMNS} FROM scopes WHERE key IN ({_marks(count)})"  # noqa: S608


@cache
def _hold_sql(count: int) -> str:
    return (
        "UPDATE scopes SET held_nanos = held_nanos + ?, held_tokens = held_tokens + ?, "  # noqa: S608
        f"held_tool_calls = held_tool_calls + ?, held_steps = held_steps + ? WHERE key IN ({_marks(count)})"
    )


@cache
def _hold_free_sql(count: int) -> str:
    return f"{_hold_sql(count)} AND caps = x'{_NO_CAPS.hex()}' AND override IS NULL"


@cache
def _finish_sql(count: int) -> str:
    return (
        "UPDATE scopes SET nanos = nanos + ?, tokens = tokens + ?, "  # noqa: S608
        "tool_calls = tool_calls + ?, steps = steps + ?, held_nanos = held_nanos - ?, "
        "held_tokens = held_tokens - ?, held_tool_calls = held_tool_calls - ?, held_steps = held_steps - ? "
        f"WHERE key IN ({_marks(count)})"
    )
