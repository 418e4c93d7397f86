"""Spend, claims, leases, rates and breakers in memory, behind one lock."""

from __future__ import annotations

import itertools
import threading

import msgspec

from runtime.control import breaker, claims, ratelimit
from runtime.control.breaker import BreakerRule, BreakerState, BreakerVerdict, Phase, Sample
from runtime.control.claims import Claim, ClaimAnswer, ClaimChange, ClaimState, EndState
from runtime.control.ledger import (
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
    check_amount,
    excess,
    make_hold,
    refuse,
    repeat,
)
from runtime.control.ratelimit import RateAnswer, RateRule, RateState
from runtime.core.effects import ToolResult
from runtime.ports.control_values import BreakerView, Lease, LeaseAnswer

_replace = msgspec.structs.replace


class RamPart:
    """The lock that all parts of a store share."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()


class RamSpend(RamPart):
    """`SpendStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._uses: dict[str, ScopeUse] = {}
        self._holds: dict[str, tuple[Hold, float]] = {}
        self._open: dict[str, float] = {}

    def reserve_spend(
        self,
        reservation: str,
        scopes: tuple[SpendScope, ...],
        amount: Amount,
        *,
        now: float,
        ttl_s: float,
        estimate: Amount | None = None,
    ) -> Reserved:
        """Reserve an amount in all scopes, or in none."""
        hold = make_hold(scopes, amount, estimate)
        with self._lock:
            answer = self._judged(reservation, scopes, hold, now)
            if answer is not None:
                return answer
            self._hold(reservation, scopes, hold, now + ttl_s)
        return Reserved(granted=True)

    def settle_spend(self, reservation: str, actual: Amount, *, now: float) -> Settled:
        """End a reservation with the used amount."""
        check_amount(actual)
        return self._end(reservation, "settled", actual, now)

    def release_spend(self, reservation: str, *, now: float) -> Settled:
        """End a reservation whose call never started."""
        return self._end(reservation, "released", NOTHING, now)

    def expire_spend(self, *, now: float) -> int:
        """Settle expired reservations at their estimates."""
        with self._lock:
            due = [name for name, expires_at in self._open.items() if expires_at <= now]
            for name in due:
                self._finish(name, "expired", self._holds[name][0].estimate)
        return len(due)

    def read_spend(self, keys: tuple[str, ...], *, now: float) -> tuple[ScopeUse, ...]:
        """Return the use of the given scopes, in their order."""
        with self._lock:
            self.expire_spend(now=now)
            return tuple(self._use(key) for key in keys)

    def list_spend(self, *, now: float, prefix: str = "", limit: int = 100) -> tuple[ScopeUse, ...]:
        """Return the scopes whose key starts with a prefix, by key."""
        with self._lock:
            self.expire_spend(now=now)
            return tuple(self._uses[key] for key in sorted(self._uses) if key.startswith(prefix))[:limit]

    def put_caps(self, key: str, caps: Caps | None) -> None:
        """Set an operator's caps for a scope."""
        with self._lock:
            self._uses[key] = _replace(self._use(key), override=caps)

    def prune_spend(self, *, before: float, limit: int = 1000) -> int:
        """Delete ended reservations that would have expired before a time."""
        with self._lock:
            due = (n for n, (_, at) in self._holds.items() if at < before and n not in self._open)
            old = list(itertools.islice(due, limit))
            for name in old:
                del self._holds[name]
        return len(old)

    def _judged(
        self, reservation: str, scopes: tuple[SpendScope, ...], hold: Hold, now: float
    ) -> Reserved | None:
        """Return the answer for a reservation that is known or exceeds a cap; `None` if it may be made."""
        found = self._stored(reservation, now)
        if found is not None:
            return repeat(found, hold)
        refusal = self._refusal(scopes, hold.amount)
        if refusal is not None and self.expire_spend(now=now):
            refusal = self._refusal(scopes, hold.amount)
        return None if refusal is None else Reserved(granted=False, refusal=refusal, why="cap")

    def _hold(self, reservation: str, scopes: tuple[SpendScope, ...], hold: Hold, expires_at: float) -> None:
        for scope in scopes:
            use = self._use(scope.key)
            self._uses[scope.key] = ScopeUse(
                key=use.key,
                spent=use.spent,
                held=use.held + hold.amount,
                caps=scope.caps,
                override=use.override,
            )
        self._holds[reservation] = (hold, expires_at)
        self._open[reservation] = expires_at

    def _use(self, key: str) -> ScopeUse:
        return self._uses.get(key) or ScopeUse(key=key)

    def _refusal(self, scopes: tuple[SpendScope, ...], amount: Amount) -> Refusal | None:
        for scope in scopes:
            refusal = refuse(self._use(scope.key), scope.caps, amount)
            if refusal is not None:
                return refusal
        return None

    def _stored(self, reservation: str, now: float) -> Hold | None:
        if self._open.get(reservation, now + 1.0) <= now:
            self._finish(reservation, "expired", self._holds[reservation][0].estimate)
        found = self._holds.get(reservation)
        return None if found is None else found[0]

    def _end(self, reservation: str, state: HoldState, actual: Amount, now: float) -> Settled:
        with self._lock:
            hold = self._stored(reservation, now)
            if hold is None or hold.state != "open":
                return Settled(applied=False, state=None if hold is None else hold.state)
            self._finish(reservation, state, actual)
        return Settled(applied=True, state=state, over=excess(actual, hold.amount))

    def _finish(self, reservation: str, state: HoldState, actual: Amount) -> None:
        hold, expires_at = self._holds[reservation]
        for key in hold.scopes:
            use = self._uses[key]
            self._uses[key] = ScopeUse(
                key=use.key,
                spent=use.spent + actual,
                held=use.held - hold.amount,
                caps=use.caps,
                override=use.override,
            )
        self._holds[reservation] = (_replace(hold, state=state), expires_at)
        del self._open[reservation]


class RamClaims(RamPart):
    """`ClaimStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._claims: dict[str, Claim] = {}

    def claim(
        self, key: str, *, args_hash: str, owner: str, now: float, lease_s: float, repeatable: bool = False
    ) -> ClaimAnswer:
        """Claim the right to carry out a write."""
        with self._lock:
            answer = claims.take(
                self._claims.get(key),
                key=key,
                args_hash=args_hash,
                owner=owner,
                now=now,
                lease_s=lease_s,
                repeatable=repeatable,
            )
            self._claims[key] = answer.claim
        return answer

    def renew_claim(self, key: str, *, fencing: int, now: float, lease_s: float) -> bool:
        """Extend a claim."""
        with self._lock:
            renewed = claims.renew(self._claims.get(key), fencing=fencing, now=now, lease_s=lease_s)
            if renewed is not None:
                self._claims[key] = renewed
        return renewed is not None

    def end_claim(
        self,
        key: str,
        *,
        fencing: int,
        state: EndState,
        now: float,
        result: ToolResult | None = None,
        note: str | None = None,
    ) -> ClaimChange:
        """Record the outcome of the call."""
        with self._lock:
            change = claims.end(
                self._claims.get(key), fencing=fencing, state=state, result=result, note=note, now=now
            )
            return self._changed_claim(key, change)

    def reconcile_claim(
        self, key: str, *, happened: bool, by: str, now: float, result: ToolResult | None = None
    ) -> ClaimChange:
        """Record what was found out about a call in doubt."""
        with self._lock:
            change = claims.reconcile(self._claims.get(key), happened=happened, by=by, result=result, now=now)
            return self._changed_claim(key, change)

    def lookup_claim(self, key: str, *, now: float) -> Claim | None:
        """Return the claim of a key."""
        found = self._claims.get(key)
        return None if found is None else claims.as_of(found, now)

    def list_claims(self, *, state: ClaimState, now: float, limit: int = 100) -> tuple[Claim, ...]:
        """Return the claims in a state, by key."""
        with self._lock:
            current = [claims.as_of(self._claims[key], now) for key in sorted(self._claims)]
        return tuple(claim for claim in current if claim.state == state)[:limit]

    def _changed_claim(self, key: str, change: ClaimChange) -> ClaimChange:
        if change.applied and change.claim is not None:
            self._claims[key] = change.claim
        return change


class RamLeases(RamPart):
    """`LeaseStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._leases: dict[str, dict[int, Lease]] = {}
        self._numbers: dict[str, int] = {}

    def acquire_lease(self, name: str, *, cap: int, owner: str, now: float, ttl_s: float) -> LeaseAnswer:
        """Take a slot if fewer than `cap` are taken."""
        with self._lock:
            held = {f: lease for f, lease in self._leases.get(name, {}).items() if lease.expires_at > now}
            if len(held) >= cap:
                first = min((lease.expires_at for lease in held.values()), default=now)
                return LeaseAnswer(lease=None, live=len(held), after_s=first - now)
            fencing = self._numbers[name] = self._numbers.get(name, 0) + 1
            lease = Lease(name=name, fencing=fencing, owner=owner, expires_at=now + ttl_s)
            held[fencing] = lease
            self._leases[name] = held
        return LeaseAnswer(lease=lease, live=len(held))

    def renew_lease(self, name: str, *, fencing: int, now: float, ttl_s: float) -> bool:
        """Extend a lease."""
        with self._lock:
            lease = self._leases.get(name, {}).get(fencing)
            if lease is None or lease.expires_at <= now:
                return False
            self._leases[name][fencing] = _replace(lease, expires_at=max(lease.expires_at, now + ttl_s))
        return True

    def release_lease(self, name: str, *, fencing: int) -> bool:
        """Release a slot."""
        with self._lock:
            return self._leases.get(name, {}).pop(fencing, None) is not None

    def count_leases(self, name: str, *, now: float) -> int:
        """Return how many slots are taken."""
        with self._lock:
            return sum(lease.expires_at > now for lease in self._leases.get(name, {}).values())


class RamLimits(RamPart):
    """`RateStore` and `BreakerStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._rates: dict[str, RateState] = {}
        self._breakers: dict[str, BreakerState] = {}

    def take_rate(self, key: str, rule: RateRule, *, now: float, cost: int = 1) -> RateAnswer:
        """Take tokens, all or none."""
        with self._lock:
            state = self._rates.get(key, ratelimit.FRESH)
            self._rates[key], answer = ratelimit.take(state, rule, now=now, cost=cost)
        return answer

    def ask_breaker(self, key: str, rule: BreakerRule, *, now: float, token: str) -> BreakerVerdict:
        """Return whether a call may start."""
        with self._lock:
            state = self._breakers.get(key, breaker.NEW)
            after, verdict = breaker.ask(state, rule, now=now, token=token)
            if after != state:
                self._breakers[key] = after
        return verdict

    def report_breaker(
        self, key: str, rule: BreakerRule, *, now: float, generation: int, sample: Sample, token: str
    ) -> Phase:
        """Report a call's result."""
        with self._lock:
            state = self._breakers.get(key, breaker.NEW)
            after = breaker.report(
                state, rule, now=now, generation=generation, sample=sample, token=token, stream=key
            )
            if after != state:
                self._breakers[key] = after
        return after.phase

    def close_breaker(self, key: str) -> bool:
        """Close a breaker by hand."""
        with self._lock:
            after = breaker.closed(self._breakers.get(key, breaker.NEW))
            if after is not None:
                self._breakers[key] = after
        return after is not None

    def list_breakers(self, *, prefix: str = "") -> tuple[BreakerView, ...]:
        """Return the breakers whose key starts with a prefix, by key."""
        with self._lock:
            found = [(key, self._breakers[key]) for key in sorted(self._breakers) if key.startswith(prefix)]
        return tuple(BreakerView(key=k, phase=s.phase, trips=s.trips, retry_at=s.retry_at) for k, s in found)
