"""Spend, leases, rates and breakers in memory, behind one lock."""

from __future__ import annotations

import itertools
import threading

import msgspec

from runtime.control import breaker, ratelimit
from runtime.control.breaker import BreakerRule, BreakerState, BreakerVerdict, Phase, Sample
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
    Unit,
    check_amount,
    excess,
    make_hold,
    refuse,
    repeat,
)
from runtime.control.ratelimit import RateAnswer, RateRule, RateState
from runtime.control.switches import Board
from runtime.ports.control_values import (
    BreakerView,
    Lease,
    LeaseAnswer,
    Run,
    RunKey,
    RunOwner,
    RunTakenOver,
    SwitchesChanged,
)

_replace = msgspec.structs.replace


class RamPart:
    """What all parts of a store share: a lock, the switches and the runs."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._board = Board()
        self._runs: dict[RunKey, Run] = {}

    def _check_owner(self, owner: RunOwner | None) -> None:
        """Refuse to act for a run that another process has."""
        if owner is None:
            return
        run = self._runs.get(owner.key)
        if run is None or run.fencing != owner.fencing:
            why = "is not known to this store" if run is None else "was taken over by another process"
            raise RunTakenOver(
                f"run {owner.key.request_id} {why}", next_step="look at it with `goldrun ops runs`"
            )

    def _check_epoch(self, epoch: int | None) -> None:
        """Refuse to let something start under other switches than its caller knows."""
        if epoch is not None and epoch != self._board.epoch:
            raise SwitchesChanged("switches were changed in the meantime", next_step="read them again")


class RamSpend(RamPart):
    """`SpendStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._uses: dict[str, ScopeUse] = {}
        self._holds: dict[str, tuple[Hold, float]] = {}
        self._open: dict[str, float] = {}

    async def reserve_spend(
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

    async def settle_spend(self, reservation: str, actual: Amount, *, now: float) -> Settled:
        """End a hold with what was used."""
        check_amount(actual)
        return self._end(reservation, "settled", actual, now)

    async def release_spend(self, reservation: str, *, now: float) -> Settled:
        """End a hold whose call never started."""
        return self._end(reservation, "released", NOTHING, now)

    async def expire_spend(self, *, now: float) -> int:
        """Turn holds that expired into their estimates."""
        return self._expire(now)

    def _expire(self, now: float) -> int:
        with self._lock:
            due = [name for name, expires_at in self._open.items() if expires_at <= now]
            for name in due:
                self._finish(name, "expired", self._holds[name][0].estimate)
        return len(due)

    async def read_spend(self, keys: tuple[str, ...], *, now: float) -> tuple[ScopeUse, ...]:
        """Return the use of the given scopes, in their order."""
        with self._lock:
            self._expire(now)
            return tuple(self._use(key) for key in keys)

    async def list_spend(self, *, now: float, prefix: str = "", limit: int = 100) -> tuple[ScopeUse, ...]:
        """Return the scopes whose key starts with a prefix, by key."""
        with self._lock:
            self._expire(now)
            return tuple(self._uses[key] for key in sorted(self._uses) if key.startswith(prefix))[:limit]

    async def put_caps(self, key: str, caps: Caps | None) -> None:
        """Set an operator's caps for a scope."""
        with self._lock:
            self._uses[key] = _replace(self._use(key), override=caps)

    async def prune_spend(self, *, before: float, limit: int = 1000) -> int:
        """Delete ended reservations that would have expired before a time."""
        with self._lock:
            due = (n for n, (_, at) in self._holds.items() if at < before and n not in self._open)
            old = list(itertools.islice(due, limit))
            for name in old:
                del self._holds[name]
        return len(old)

    def _judged(
        self,
        reservation: str,
        scopes: tuple[SpendScope, ...],
        hold: Hold,
        now: float,
        unknown: tuple[Unit, ...] = (),
    ) -> Reserved | None:
        """Return the answer for a reservation that is known or exceeds a cap; `None` if it may be made."""
        found = self._stored(reservation, now)
        if found is not None:
            return repeat(found, hold)
        refusal = self._refusal(scopes, hold.amount, unknown)
        if refusal is not None and self._expire(now):
            refusal = self._refusal(scopes, hold.amount, unknown)
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

    def _refusal(
        self, scopes: tuple[SpendScope, ...], amount: Amount, unknown: tuple[Unit, ...]
    ) -> Refusal | None:
        for scope in scopes:
            refusal = refuse(self._use(scope.key), scope.caps, amount, unknown)
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


class RamLeases(RamPart):
    """`LeaseStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._leases: dict[str, dict[int, Lease]] = {}
        self._numbers: dict[str, int] = {}

    async def acquire_lease(
        self, name: str, *, cap: int, owner: str, now: float, ttl_s: float
    ) -> LeaseAnswer:
        """Take a slot if fewer than `cap` are taken."""
        return self._acquire(name, cap=cap, owner=owner, now=now, ttl_s=ttl_s)

    def _acquire(self, name: str, *, cap: int, owner: str, now: float, ttl_s: float) -> LeaseAnswer:
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

    async def renew_lease(self, name: str, *, fencing: int, now: float, ttl_s: float) -> bool:
        """Extend a lease."""
        with self._lock:
            lease = self._leases.get(name, {}).get(fencing)
            if lease is None or lease.expires_at <= now:
                return False
            self._leases[name][fencing] = _replace(lease, expires_at=max(lease.expires_at, now + ttl_s))
        return True

    async def release_lease(self, name: str, *, fencing: int) -> bool:
        """Give a slot back."""
        return self._release(name, fencing=fencing)

    def _release(self, name: str, *, fencing: int) -> bool:
        with self._lock:
            return self._leases.get(name, {}).pop(fencing, None) is not None

    async def count_leases(self, name: str, *, now: float) -> int:
        """Return how many slots are taken."""
        return self._count(name, now)

    def _count(self, name: str, now: float) -> int:
        with self._lock:
            return sum(lease.expires_at > now for lease in self._leases.get(name, {}).values())


class RamLimits(RamPart):
    """`RateStore` and `BreakerStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._rates: dict[str, RateState] = {}
        self._breakers: dict[str, BreakerState] = {}

    async def take_rate(self, key: str, rule: RateRule, *, now: float, cost: int = 1) -> RateAnswer:
        """Take tokens, all or none."""
        with self._lock:
            state = self._rates.get(key, ratelimit.FRESH)
            self._rates[key], answer = ratelimit.take(state, rule, now=now, cost=cost)
        return answer

    async def ask_breaker(self, key: str, rule: BreakerRule, *, now: float, token: str) -> BreakerVerdict:
        """Return whether a call may start."""
        with self._lock:
            state = self._breakers.get(key, breaker.NEW)
            after, verdict = breaker.ask(state, rule, now=now, token=token)
            if after != state:
                self._breakers[key] = after
        return verdict

    async def report_breaker(
        self, key: str, rule: BreakerRule, *, now: float, generation: int, sample: Sample, token: str
    ) -> Phase:
        """Tell a call's result."""
        return self._report(key, rule, now=now, generation=generation, sample=sample, token=token)

    def _report(
        self, key: str, rule: BreakerRule, *, now: float, generation: int, sample: Sample, token: str
    ) -> Phase:
        with self._lock:
            state = self._breakers.get(key, breaker.NEW)
            after = breaker.report(
                state, rule, now=now, generation=generation, sample=sample, token=token, stream=key
            )
            if after != state:
                self._breakers[key] = after
        return after.phase

    async def close_breaker(self, key: str) -> bool:
        """Close a breaker by hand."""
        with self._lock:
            after = breaker.closed(self._breakers.get(key, breaker.NEW))
            if after is not None:
                self._breakers[key] = after
        return after is not None

    async def list_breakers(self, *, prefix: str = "") -> tuple[BreakerView, ...]:
        """Return the breakers whose key starts with a prefix, by key."""
        with self._lock:
            found = [(key, self._breakers[key]) for key in sorted(self._breakers) if key.startswith(prefix)]
        return tuple(BreakerView(key=k, phase=s.phase, trips=s.trips, retry_at=s.retry_at) for k, s in found)
