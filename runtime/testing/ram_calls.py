"""All guards of one call, in memory."""

from __future__ import annotations

import msgspec

from runtime.control import breaker, ratelimit
from runtime.control.ledger import NOTHING, Reserved, check_amount, held_scopes, make_call_hold
from runtime.control.ratelimit import RateAnswer, RateState
from runtime.ports.control_values import CallAnswer, CallAsk, CallEnd, LeaseAnswer
from runtime.state.control.call_health import ask_breakers
from runtime.testing.ram_guards import RamLeases, RamLimits, RamSpend

_replace = msgspec.structs.replace


class RamCalls(RamSpend, RamLeases, RamLimits):
    """`CallStore` in memory: all guards judge before anything is stored, so a refusal leaves nothing to undo."""

    async def admit_call(self, ask: CallAsk, *, now: float) -> CallAnswer:
        """Report the calls that ended, then ask breakers, slots, ledger and rate; a refusal changes none of these."""
        check_amount(ask.amount)
        key = ask.key
        slot: LeaseAnswer | None = None
        pace: RateState | None = None
        rate: RateAnswer | None = None
        with self._lock:
            self._check_owner(ask.run)
            self._check_epoch(ask.epoch)
            for each in ask.ends:
                self._end_call(each, now)
            health = ask_breakers(ask, lambda name: self._breakers.get(name, breaker.NEW), now=now)
            verdict, above = health.own, health.above
            if health.is_refused:
                return CallAnswer(refused="breaker", breaker=verdict, upstream=above)
            if ask.slots is not None and self._count(key, now) >= ask.slots:
                return CallAnswer(refused="slot", breaker=verdict, slot=self._slot(ask, ask.slots, now))
            held = held_scopes(ask.scopes, ask.amount, self._uses)
            reserved = self._judged_call(ask, held, now)
            if reserved is not None and not reserved.granted:
                return CallAnswer(refused="spend", breaker=verdict, spend=reserved)
            if ask.rate is not None:
                pace, rate = ratelimit.take(self._rates.get(key, ratelimit.FRESH), ask.rate, now=now)
                if not rate.granted:
                    return CallAnswer(refused="rate", breaker=verdict, rate=rate)
                self._rates[key] = pace
            self._breakers |= health.changed
            if ask.slots is not None:
                slot = self._slot(ask, ask.slots, now)
            if reserved is None:
                reserved = Reserved(granted=True, held=held)
                if held is not None:
                    capped = tuple(scope for scope in ask.scopes if scope.key in held)
                    hold = make_call_hold(ask.scopes, held, ask.amount)
                    self._hold(ask.reservation, capped, hold, now + ask.hold_s)
        return CallAnswer(breaker=verdict, upstream=above, slot=slot, spend=reserved, rate=rate)

    def _judged_call(self, ask: CallAsk, held: tuple[str, ...] | None, now: float) -> Reserved | None:
        """Return the answer to a call whose amount is held or does not fit; `None` if it may be held."""
        if held is not None:
            hold = make_call_hold(ask.scopes, held, ask.amount)
            answer = self._judged(ask.reservation, ask.scopes, hold, now, ask.unknown)
            return answer if answer is None or not answer.granted else _replace(answer, held=held)
        refusal = self._refusal(ask.scopes, ask.amount, ask.unknown)
        return None if refusal is None else Reserved(granted=False, refusal=refusal, why="cap")

    def _slot(self, ask: CallAsk, cap: int, now: float) -> LeaseAnswer:
        return self._acquire(ask.key, cap=cap, owner=ask.token, now=now, ttl_s=ask.slot_s)

    async def end_calls(self, ends: tuple[CallEnd, ...], *, now: float) -> None:
        """Settle calls' holds, tell their breakers and give their slots back."""
        with self._lock:
            for end in ends:
                self._end_call(end, now)

    def _end_call(self, end: CallEnd, now: float) -> None:
        spent = NOTHING if end.actual is None else end.actual
        check_amount(spent)
        if end.reservation is not None:
            self._end(end.reservation, "released" if end.actual is None else "settled", spent, now)
            if end.reservation not in self._open:  # forgotten, unless it expired
                self._forget(end.reservation)
        elif spent != NOTHING:
            for name in end.scopes:
                use = self._use(name)
                self._uses[name] = _replace(use, spent=use.spent + spent)
        if end.breaker is not None:
            self._report(
                end.key,
                end.breaker,
                now=now,
                generation=end.generation,
                sample=end.sample,
                token=end.token,
            )
        if end.upstream is not None:
            self._report(
                end.upstream.key,
                end.upstream.rule,
                now=now,
                generation=end.upstream.generation,
                sample=end.sample,
                token=end.token,
            )
        if end.rate_at is not None and end.key in self._rates:
            self._rates[end.key] = ratelimit.give_back(self._rates[end.key], at=end.rate_at)
        if end.slot is not None:
            self._release(end.slot.name, fencing=end.slot.fencing)
