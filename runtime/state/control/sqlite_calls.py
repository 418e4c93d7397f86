"""All that guards one call, in one SQLite transaction and few statements.

Theory of operation. One SELECT reads all that the guards of a call look at: the switches' epoch, the run's owner, the
cells of breakers and rates, and the scopes of the ledger. The guards judge what was read. Only then is anything
written, each table in one statement: so a refusal leaves nothing to undo.

A call that takes nothing another could miss (no slot, no rate, no cap that it could pass, a closed breaker) is admitted
by reading alone. What it used is added when it ends, with the next call that needs a transaction anyway.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec

from runtime.control import breaker, ratelimit
from runtime.control.breaker import BreakerState
from runtime.control.ledger import (
    NOTHING,
    Amount,
    Hold,
    Refusal,
    Reserved,
    ScopeUse,
    SpendScope,
    check_amount,
    held_scopes,
    make_call_hold,
    refuse,
    repeat,
)
from runtime.control.ratelimit import RateAnswer, RateState
from runtime.ports.control_values import CallAnswer, CallAsk, CallEnd, LeaseAnswer
from runtime.state.control import sqlite_limits as limits
from runtime.state.control import sqlite_spend as spend
from runtime.state.control.call_health import ask_breakers
from runtime.state.control.sqlite_facts import CallFacts, read_facts, save_cells
from runtime.state.control.sqlite_file import SqliteFile, reads, writes


class SqliteCalls:
    """`CallStore` on a control file."""

    _file: SqliteFile

    async def admit_call(self, ask: CallAsk, *, now: float) -> CallAnswer:
        """End what ended, then ask breaker, slots, ledger and rate; a refusal leaves all as they were."""
        check_amount(ask.amount)
        if ask.may_be_free and not ask.ends:
            answer = await self._admit_free(ask, now)
            if answer is not None:
                return answer
        return await self._admit(ask, now)

    @writes
    def end_calls(self, db: sqlite3.Connection, ends: tuple[CallEnd, ...], *, now: float) -> None:
        """Settle calls' holds, tell their breakers and give their slots back."""
        facts = read_facts(db, None, breakers=_breakers(ends), rates=_given_back(ends), scopes=_counted(ends))
        changes = _Changes(facts)
        for end in ends:
            changes.end(db, end, now)
        changes.write(db)

    @reads
    def _admit_free(self, db: sqlite3.Connection, ask: CallAsk, now: float) -> CallAnswer | None:
        """Admit a call that takes nothing; `None` if it has to take something after all."""
        keys = [ask.key] if ask.breaker is not None else []
        if ask.upstream is not None:
            keys.append(ask.upstream.key)
        facts = read_facts(db, ask.run, breakers=keys, scopes=[scope.key for scope in ask.scopes])
        facts.check(ask.run, ask.epoch)
        if held_scopes(ask.scopes, ask.amount, facts.uses) is not None:
            return None
        if ask.unknown and _full(ask, facts.uses) is not None:
            return None
        health = ask_breakers(ask, facts.breaker, now=now)
        if health.is_refused:
            return CallAnswer(refused="breaker", breaker=health.own, upstream=health.above)
        if health.changed:
            return None
        return CallAnswer(breaker=health.own, upstream=health.above, spend=Reserved(granted=True))

    @writes
    def _admit(self, db: sqlite3.Connection, ask: CallAsk, now: float) -> CallAnswer:
        keys = _breakers(ask.ends)
        if ask.breaker is not None:
            keys.add(ask.key)
        if ask.upstream is not None:
            keys.add(ask.upstream.key)
        scopes = {*(scope.key for scope in ask.scopes), *_counted(ask.ends)}
        rates = _given_back(ask.ends) | (set() if ask.rate is None else {ask.key})
        facts = read_facts(db, ask.run, breakers=keys, rates=rates, scopes=scopes)
        facts.check(ask.run, ask.epoch)
        changes = _Changes(facts)
        for end in ask.ends:
            changes.end(db, end, now)
        answer = _judged(db, changes, ask, now)
        changes.write(db)
        return answer


class _Changes:
    """What an operation changes; written at its end, each table in one statement."""

    __slots__ = ("_breakers", "_facts", "_rates", "_uses")

    def __init__(self, facts: CallFacts) -> None:
        self._facts = facts
        self._breakers: dict[str, BreakerState] = {}
        self._rates: dict[str, RateState] = {}
        self._uses: dict[str, ScopeUse] = {}

    def breaker(self, key: str) -> BreakerState:
        """Return a breaker as it stands."""
        state = self._breakers.get(key)
        return self._facts.breaker(key) if state is None else state

    def keep_breaker(self, key: str, state: BreakerState) -> None:
        """Change a breaker."""
        if state != self.breaker(key):
            self._breakers[key] = state

    def rate(self, key: str) -> RateState:
        """Return a limiter as it stands."""
        state = self._rates.get(key)
        return self._facts.rate(key) if state is None else state

    def keep_rate(self, key: str, state: RateState) -> None:
        """Change a limiter."""
        if state != self.rate(key):
            self._rates[key] = state

    def use(self, key: str) -> ScopeUse:
        """Return the use of a scope as it stands."""
        use = self._uses.get(key) or self._facts.uses.get(key)
        return ScopeUse(key=key) if use is None else use

    def add(self, key: str, *, spent: Amount = NOTHING, held: Amount = NOTHING) -> None:
        """Change the use of a scope by what is spent and held in addition."""
        use = self.use(key)
        self._uses[key] = msgspec.structs.replace(use, spent=use.spent + spent, held=use.held + held)

    def brings(self, scope: SpendScope) -> None:
        """Keep the caps that a caller brings for a scope."""
        use = self.use(scope.key)
        if use.caps != scope.caps:
            self._uses[scope.key] = msgspec.structs.replace(use, caps=scope.caps)

    def reread(self, db: sqlite3.Connection) -> None:
        """Read scopes again, whose expired holds became estimates; what was changed here is written before."""
        self.write(db)
        self._uses = {}
        self._facts.uses = spend.uses_of(db, tuple(self._facts.uses))

    def end(self, db: sqlite3.Connection, end: CallEnd, now: float) -> None:
        """End a call: settle its hold, tell its breaker, give its slot back."""
        spent = NOTHING if end.actual is None else end.actual
        check_amount(spent)
        if end.reservation is not None:
            if not spend.forget(db, end.reservation, now):
                self.write(db)  # it has ended before, or expires now
                self._uses = {}
                spend.end(db, end.reservation, end.actual, now=now)
                self._facts.uses = spend.uses_of(db, tuple({*self._facts.uses, *end.scopes, *end.held}))
            else:
                for key in end.scopes:
                    self.add(key, spent=spent)
                for key in end.held:
                    self.add(key, held=NOTHING - end.reserved)
        elif spent != NOTHING:
            for key in end.scopes:
                self.add(key, spent=spent)
        if end.breaker is not None:
            after = breaker.report(
                self.breaker(end.key),
                end.breaker,
                now=now,
                generation=end.generation,
                sample=end.sample,
                token=end.token,
                stream=end.key,
            )
            self.keep_breaker(end.key, after)
        if end.upstream is not None:
            key = end.upstream.key
            after = breaker.report(
                self.breaker(key),
                end.upstream.rule,
                now=now,
                generation=end.upstream.generation,
                sample=end.sample,
                token=end.token,
                stream=key,
            )
            self.keep_breaker(key, after)
        if end.rate_at is not None:
            self.keep_rate(end.key, ratelimit.give_back(self.rate(end.key), at=end.rate_at))
        if end.slot is not None:
            limits.release(db, end.slot.name, fencing=end.slot.fencing)

    def write(self, db: sqlite3.Connection) -> None:
        """Write all changes."""
        if self._uses:
            spend.save_uses(db, self._facts.uses, self._uses.values())
            self._facts.uses |= self._uses
            self._uses = {}
        if self._breakers or self._rates:
            save_cells(db, self._breakers, self._rates)
            self._breakers, self._rates = {}, {}


def _judged(db: sqlite3.Connection, changes: _Changes, ask: CallAsk, now: float) -> CallAnswer:
    """Judge a call, and take what it needs if no guard refuses it."""
    rate: RateAnswer | None = None
    slot: LeaseAnswer | None = None
    pace = None
    health = ask_breakers(ask, changes.breaker, now=now)
    verdict, above = health.own, health.above
    if health.is_refused:
        return CallAnswer(refused="breaker", breaker=verdict, upstream=above)
    if ask.slots is not None:
        full = limits.taken(db, ask.key, cap=ask.slots, now=now)
        if full is not None:
            return CallAnswer(refused="slot", breaker=verdict, slot=full)
    held = held_scopes(ask.scopes, ask.amount, {s.key: changes.use(s.key) for s in ask.scopes})
    hold = None if held is None else make_call_hold(ask.scopes, held, ask.amount)
    refused = _refused(db, changes, ask, now)
    if refused is not None:
        found = None if hold is None else spend.stored(db, ask.reservation, now)
        if found is None or hold is None:
            return CallAnswer(refused="spend", breaker=verdict, spend=refused)
        refused = repeat(found, hold)  # its own hold may be what fills the scope
        if not refused.granted:
            return CallAnswer(refused="spend", breaker=verdict, spend=refused)
    if ask.rate is not None:
        pace, rate = ratelimit.take(changes.rate(ask.key), ask.rate, now=now)
        if not rate.granted:
            return CallAnswer(refused="rate", breaker=verdict, rate=rate)
    reserved = Reserved(granted=True, held=held)
    if hold is not None:
        reserved = _keep_hold(db, changes, ask, hold, now)
        if not reserved.granted:
            return CallAnswer(refused="spend", breaker=verdict, spend=reserved)
    for key, state in health.changed.items():
        changes.keep_breaker(key, state)
    if pace is not None:
        changes.keep_rate(ask.key, pace)
    if ask.slots is not None:
        slot = limits.acquire(db, ask.key, cap=ask.slots, owner=ask.token, now=now, ttl_s=ask.slot_s)
    return CallAnswer(breaker=verdict, upstream=above, slot=slot, spend=reserved, rate=rate)


def _refused(db: sqlite3.Connection, changes: _Changes, ask: CallAsk, now: float) -> Reserved | None:
    """Return the first cap that a call would pass; `None` if it fits."""
    for again in (False, True):
        full = _full(ask, {scope.key: changes.use(scope.key) for scope in ask.scopes})
        if full is None:
            return None
        if again or not spend.expire(db, now):  # estimates below their holds make room
            return Reserved(granted=False, refusal=full, why="cap")
        changes.reread(db)
    return None


def _full(ask: CallAsk, uses: Mapping[str, ScopeUse]) -> Refusal | None:
    for scope in ask.scopes:
        use = uses.get(scope.key) or ScopeUse(key=scope.key)
        full = refuse(use, scope.caps, ask.amount, ask.unknown)
        if full is not None:
            return full
    return None


def _keep_hold(db: sqlite3.Connection, changes: _Changes, ask: CallAsk, hold: Hold, now: float) -> Reserved:
    """Hold the amount of a call; the same call holds it once."""
    held = tuple(scope.key for scope in ask.scopes if scope.key in hold.scopes)
    if not spend.insert(db, ask.reservation, hold, now + ask.hold_s):
        found = spend.stored(db, ask.reservation, now)
        assert found is not None
        return msgspec.structs.replace(repeat(found, hold), held=held)
    for scope in ask.scopes:
        if scope.key in hold.scopes:
            changes.brings(scope)
            changes.add(scope.key, held=ask.amount)
    return Reserved(granted=True, held=held)


def _breakers(ends: Iterable[CallEnd]) -> set[str]:
    own = {end.key for end in ends if end.breaker is not None}
    return own | {end.upstream.key for end in ends if end.upstream is not None}


def _given_back(ends: Iterable[CallEnd]) -> set[str]:
    return {end.key for end in ends if end.rate_at is not None}


def _counted(ends: Iterable[CallEnd]) -> set[str]:
    return {key for end in ends for key in (*end.scopes, *end.held)}
