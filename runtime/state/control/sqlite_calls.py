"""All that guards one call, in one SQLite transaction."""

from __future__ import annotations

import sqlite3

from runtime.control.ledger import make_hold
from runtime.ports.control_values import CallAnswer, CallAsk, CallEnd
from runtime.state.control import sqlite_limits as limits
from runtime.state.control import sqlite_spend as spend
from runtime.state.control.sqlite_file import SqliteFile


class SqliteCalls:
    """`CallStore` on a control file."""

    _file: SqliteFile

    def admit_call(self, ask: CallAsk, *, now: float) -> CallAnswer:
        """Ask breaker, slots, ledger and rate; a refusal leaves all as they were."""
        with self._file.write() as db:
            answer = _admitted(db, ask, now)
            if answer.refused is not None:
                _leave(db)
        return answer

    def end_call(self, end: CallEnd, *, now: float) -> None:
        """Settle a call's hold, tell its breaker and give its slot back."""
        with self._file.write() as db:
            if end.reservation is not None:
                spend.end(db, end.reservation, end.actual, now=now)
            if end.breaker is not None:
                limits.report(
                    db,
                    end.key,
                    end.breaker,
                    now=now,
                    generation=end.generation,
                    sample=end.sample,
                    token=end.token,
                )
            if end.slot is not None:
                limits.release(db, end.slot.name, fencing=end.slot.fencing)


def _admitted(db: sqlite3.Connection, ask: CallAsk, now: float) -> CallAnswer:
    """Take what a call needs, up to the first guard that refuses it."""
    verdict = slot = rate = None
    if ask.breaker is not None:
        verdict = limits.ask(db, ask.key, ask.breaker, now=now, token=ask.token)
        if not verdict.allowed:
            return CallAnswer(refused="breaker", breaker=verdict)
    if ask.slots is not None:
        slot = limits.acquire(db, ask.key, cap=ask.slots, owner=ask.token, now=now, ttl_s=ask.slot_s)
        if slot.lease is None:
            return CallAnswer(refused="slot", breaker=verdict, slot=slot)
    hold = make_hold(ask.scopes, ask.amount, None)
    reserved = spend.reserve(db, ask.reservation, ask.scopes, hold, now=now, ttl_s=ask.hold_s)
    if not reserved.granted:
        return CallAnswer(refused="spend", breaker=verdict, spend=reserved)
    if ask.rate is not None:
        rate = limits.take(db, ask.key, ask.rate, now=now)
        if not rate.granted:
            return CallAnswer(refused="rate", breaker=verdict, rate=rate)
    return CallAnswer(breaker=verdict, slot=slot, spend=reserved, rate=rate)


def _leave(db: sqlite3.Connection) -> None:
    """Undo what a refused call had taken; the transaction that ends after it is an empty one."""
    db.execute("ROLLBACK")
    db.execute("BEGIN")
