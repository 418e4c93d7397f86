"""All that guards one call, in one SQLite transaction.

Each guard is asked before any of them takes something, so a refusal leaves nothing to undo.
"""

from __future__ import annotations

import sqlite3

from runtime.control.ledger import make_hold
from runtime.ports.control_values import CallAnswer, CallAsk, CallEnd
from runtime.state.control import sqlite_limits as limits
from runtime.state.control import sqlite_spend as spend
from runtime.state.control.sqlite_file import SqliteFile, writes
from runtime.state.control.sqlite_runs import check_owner
from runtime.state.control.sqlite_switches import check_epoch


class SqliteCalls:
    """`CallStore` on a control file."""

    _file: SqliteFile

    @writes
    def admit_call(self, db: sqlite3.Connection, ask: CallAsk, *, now: float) -> CallAnswer:
        """End what ended, then ask breaker, slots, ledger and rate; a refusal leaves all as they were."""
        hold = make_hold(ask.scopes, ask.amount, None)
        check_owner(db, ask.run)
        check_epoch(db, ask.epoch)
        for each in ask.ends:
            _end(db, each, now)
        verdict = above = rate = slot = health = health_above = pace = None
        if ask.breaker is not None:
            health, verdict = limits.judged_breaker(db, ask.key, ask.breaker, now=now, token=ask.token)
            if not verdict.allowed:
                return CallAnswer(refused="breaker", breaker=verdict)
        if ask.upstream is not None:
            health_above, above = limits.judged_breaker(
                db, ask.upstream.key, ask.upstream.rule, now=now, token=ask.token
            )
            if not above.allowed:
                return CallAnswer(refused="breaker", breaker=verdict, upstream=above)
        if ask.slots is not None:
            full = limits.taken(db, ask.key, cap=ask.slots, now=now)
            if full is not None:
                return CallAnswer(refused="slot", breaker=verdict, slot=full)
        if ask.rate is not None:
            pace, rate = limits.judged_rate(db, ask.key, ask.rate, now=now)
            if not rate.granted:
                # The ledger comes first: what both refuse is refused by the ledger.
                spent = spend.judged(db, ask.reservation, ask.scopes, hold, now=now, unknown=ask.unknown)
                if spent is not None and not spent.granted:
                    return CallAnswer(refused="spend", breaker=verdict, spend=spent)
                return CallAnswer(refused="rate", breaker=verdict, rate=rate)
        reserved = spend.reserve(
            db, ask.reservation, ask.scopes, hold, now=now, ttl_s=ask.hold_s, unknown=ask.unknown
        )
        if not reserved.granted:
            return CallAnswer(refused="spend", breaker=verdict, spend=reserved)
        limits.keep_breaker(db, ask.key, health)
        if ask.upstream is not None:
            limits.keep_breaker(db, ask.upstream.key, health_above)
        limits.keep_rate(db, ask.key, pace)
        if ask.slots is not None:
            slot = limits.acquire(db, ask.key, cap=ask.slots, owner=ask.token, now=now, ttl_s=ask.slot_s)
        return CallAnswer(breaker=verdict, upstream=above, slot=slot, spend=reserved, rate=rate)

    @writes
    def end_calls(self, db: sqlite3.Connection, ends: tuple[CallEnd, ...], *, now: float) -> None:
        """Settle calls' holds, tell their breakers and give their slots back."""
        for each in ends:
            _end(db, each, now)


def _end(db: sqlite3.Connection, end: CallEnd, now: float) -> None:
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
    if end.upstream is not None:
        limits.report(
            db,
            end.upstream.key,
            end.upstream.rule,
            now=now,
            generation=end.upstream.generation,
            sample=end.sample,
            token=end.token,
        )
    if end.rate_at is not None:
        limits.give_back_rate(db, end.key, at=end.rate_at)
    if end.slot is not None:
        limits.release(db, end.slot.name, fencing=end.slot.fencing)
