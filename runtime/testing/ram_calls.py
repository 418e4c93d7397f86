"""All guards of one call, in memory."""

from __future__ import annotations

from runtime.control import breaker, ratelimit
from runtime.control.breaker import BreakerState, BreakerVerdict
from runtime.control.ledger import NOTHING, Reserved, check_amount, make_hold
from runtime.control.ratelimit import RateAnswer, RateState
from runtime.ports.control_values import CallAnswer, CallAsk, CallEnd, LeaseAnswer
from runtime.testing.ram_guards import RamLeases, RamLimits, RamSpend


class RamCalls(RamSpend, RamLeases, RamLimits):
    """`CallStore` in memory: all guards judge before anything is stored, so a refusal leaves nothing to undo."""

    async def admit_call(self, ask: CallAsk, *, now: float) -> CallAnswer:
        """Ask breaker, slots, ledger and rate limit; a refusal changes none of them."""
        hold = make_hold(ask.scopes, ask.amount, None)
        key = ask.key
        health: BreakerState | None = None
        before: BreakerState | None = None
        verdict: BreakerVerdict | None = None
        health_above: BreakerState | None = None
        above: BreakerVerdict | None = None
        slot: LeaseAnswer | None = None
        pace: RateState | None = None
        rate: RateAnswer | None = None
        with self._lock:
            self._check_owner(ask.run)
            self._check_epoch(ask.epoch)
            for each in ask.ends:
                self._end_call(each, now)
            if ask.breaker is not None:
                before = self._breakers.get(key, breaker.NEW)
                health, verdict = breaker.ask(before, ask.breaker, now=now, token=ask.token)
                if not verdict.allowed:
                    return CallAnswer(refused="breaker", breaker=verdict)
            if ask.upstream is not None:
                before_above = self._breakers.get(ask.upstream.key, breaker.NEW)
                health_above, above = breaker.ask(before_above, ask.upstream.rule, now=now, token=ask.token)
                if not above.allowed:
                    return CallAnswer(refused="breaker", breaker=verdict, upstream=above)
            if ask.slots is not None and self._count(key, now) >= ask.slots:
                return CallAnswer(refused="slot", breaker=verdict, slot=self._slot(ask, ask.slots, now))
            reserved = self._judged(ask.reservation, ask.scopes, hold, now, ask.unknown)
            if reserved is not None and not reserved.granted:
                return CallAnswer(refused="spend", breaker=verdict, spend=reserved)
            if ask.rate is not None:
                pace, rate = ratelimit.take(self._rates.get(key, ratelimit.FRESH), ask.rate, now=now)
                if not rate.granted:
                    return CallAnswer(refused="rate", breaker=verdict, rate=rate)
                self._rates[key] = pace
            if health is not None and health is not before:
                self._breakers[key] = health
            if health_above is not None and ask.upstream is not None:
                self._breakers[ask.upstream.key] = health_above
            if ask.slots is not None:
                slot = self._slot(ask, ask.slots, now)
            if reserved is None:
                reserved = Reserved(granted=True)
                self._hold(ask.reservation, ask.scopes, hold, now + ask.hold_s)
        return CallAnswer(breaker=verdict, upstream=above, slot=slot, spend=reserved, rate=rate)

    def _slot(self, ask: CallAsk, cap: int, now: float) -> LeaseAnswer:
        return self._acquire(ask.key, cap=cap, owner=ask.token, now=now, ttl_s=ask.slot_s)

    async def end_calls(self, ends: tuple[CallEnd, ...], *, now: float) -> None:
        """Settle calls' holds, tell their breakers and give their slots back."""
        with self._lock:
            for end in ends:
                self._end_call(end, now)

    def _end_call(self, end: CallEnd, now: float) -> None:
        if end.reservation is not None and end.actual is None:
            self._end(end.reservation, "released", NOTHING, now)
        elif end.reservation is not None and end.actual is not None:
            check_amount(end.actual)
            self._end(end.reservation, "settled", end.actual, now)
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
