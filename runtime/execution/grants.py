"""Grants of one run: admissions by rate, breaker, slot and money, and idempotency claims.

A grant is held under the lane of the call it admits, settled when that call's outcome is made, and released when
the run ends. What is refused half way gives back what it took.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from runtime.control.breaker import Sample
from runtime.control.claims import ClaimAnswer
from runtime.control.ledger import NOTHING, Amount, Scope
from runtime.control.scopes import GLOBAL, day_scope, run_scope, scope_key
from runtime.core.effects import Admission, Admit, Failure, FailureKind, Outcome, ToolResult
from runtime.core.run import Header
from runtime.execution.rules import ControlRules
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import Lease

_HOLD_MARGIN_S = 120.0
"""How much longer than a call's timeout its money is held, should nobody settle it."""

_DEPENDENCY_FAILED = frozenset({FailureKind.TIMEOUT, FailureKind.ERROR, FailureKind.UNAVAILABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """What one admitted call holds."""

    reservation: str | None = None
    reserved: Amount = NOTHING
    lease: Lease | None = None
    breaker: str | None = None
    generation: int = 0


@dataclass(frozen=True, slots=True)
class _Refused:
    admission: Admission
    after_s: float | None


class Grants:
    """What one run holds."""

    def __init__(
        self,
        store: ControlStore,
        rules: ControlRules,
        now: Callable[[], float],
        header: Header,
        *,
        fencing: int = 1,
    ) -> None:
        """Begin with nothing held; `fencing` is the number under which this process has the run."""
        self._fencing = fencing
        self._tries = 0
        self._store = store
        self._rules = rules
        self._now = now
        self._header = header
        self._held: dict[str, _Grant] = {}
        self._lingering: dict[str, Lease] = {}
        self._renewed_at = now()

    def admit(self, effect: Admit) -> tuple[Admission, float | None]:
        """Try once to admit a call.

        Returns:
            The admission, and after how many seconds it is worth trying again; `None` if waiting will not help.

        Raises:
            ControlUnavailable: If the store cannot be used; nothing is held then.
        """
        lane = call_lane(effect.lane)
        taken: list[_Grant] = []
        try:
            refused = self._take(effect, lane, taken)
        except BaseException:
            for grant in taken:
                self._give_back(grant, lane)
            raise
        if refused is not None:
            for grant in taken:
                self._give_back(grant, lane)
            return refused.admission, refused.after_s
        self._held[lane] = _merged(taken)
        return Admission(), 0.0

    def settle(self, lane: str, outcome: Outcome, *, lingers: bool = False) -> None:
        """End a call's grant with its outcome; a call that goes on unseen keeps its slot."""
        grant = self._held.pop(lane, None)
        if grant is None:
            return
        now = self._now()
        if grant.reservation is not None:
            self._store.settle_spend(grant.reservation, _actual(grant, outcome), now=now)
        if grant.breaker is not None and self._rules.breaker is not None:
            self._store.report_breaker(
                grant.breaker,
                self._rules.breaker,
                now=now,
                generation=grant.generation,
                sample=_sample(outcome),
                token=self._token(lane),
            )
        if grant.lease is not None and lingers:
            self._lingering[lane] = grant.lease
        elif grant.lease is not None:
            self._store.release_lease(grant.lease.name, fencing=grant.lease.fencing)

    def ended_after_all(self, lane: str) -> None:
        """Give back the slot of a call that was given up and has ended now."""
        lease = self._lingering.pop(lane, None)
        if lease is not None:
            self._store.release_lease(lease.name, fencing=lease.fencing)

    def renew(self) -> tuple[str, ...]:
        """Extend all slots that are held, at a third of their time.

        Returns:
            The lanes of calls whose slot had lapsed: somebody else may have it now.
        """
        now = self._now()
        if now - self._renewed_at < self._rules.lease_s / 3:
            return ()
        self._renewed_at = now
        for lease in self._lingering.values():
            self._renewed(lease, now)
        lost = []
        for lane, grant in list(self._held.items()):
            if grant.lease is not None and not self._renewed(grant.lease, now):
                self._held[lane] = replace(grant, lease=None)
                lost.append(lane)
        return tuple(lost)

    def _renewed(self, lease: Lease, now: float) -> bool:
        ttl_s = self._rules.lease_s
        return self._store.renew_lease(lease.name, fencing=lease.fencing, now=now, ttl_s=ttl_s)

    def release_all(self) -> None:
        """Give back what calls that never started hold; slots of calls that linger lapse by themselves."""
        for lane, grant in list(self._held.items()):
            self._give_back(grant, lane)
        self._held.clear()

    def claim(self, key: str, *, args_hash: str, lane: str, lease_s: float, repeatable: bool) -> ClaimAnswer:
        """Ask to carry out a write."""
        return self._store.claim(
            key,
            args_hash=args_hash,
            owner=self._token(lane),
            now=self._now(),
            lease_s=lease_s,
            repeatable=repeatable,
        )

    def end_claim(self, key: str, fencing: int, outcome: Outcome, *, repeatable: bool = False) -> None:
        """Say what became of a claimed write, before anybody else is told.

        An error of the tool's own domain is the tool's word that nothing was done. Any other failure leaves that
        open, unless the call never reached the other side.

        Args:
            key: The claim.
            fencing: The number under which it is held.
            outcome: What the call came to.
            repeatable: Whether a second call does no harm, so that a failure keeps nobody from it.
        """
        result, failure = outcome.value, outcome.failure
        if isinstance(result, ToolResult) and result.status != "error":
            self._store.end_claim(key, fencing=fencing, state="done", now=self._now(), result=result)
            return
        clean = failure is None or never_happened(failure)
        if repeatable and failure is not None:
            clean = clean or failure.kind not in {FailureKind.TIMEOUT, FailureKind.INTERRUPTED}
        self._store.end_claim(
            key,
            fencing=fencing,
            state="failed" if clean else "in_doubt",
            now=self._now(),
            note=None if failure is None else failure.message,
        )

    def business_key(self, tool: str, values: str) -> str:
        """Return the claim key of a tool's business key; it holds for the tenant, not for one run."""
        return scope_key(self._header.tenant, self._header.environment, "dedupe", tool, values)

    def _take(self, effect: Admit, lane: str, taken: list[_Grant]) -> _Refused | None:
        rules, now = self._rules, self._now()
        key = scope_key(self._header.tenant, self._header.environment, effect.subject, effect.name)
        token = self._token(lane)
        if rules.breaker is not None:
            verdict = self._store.ask_breaker(key, rules.breaker, now=now, token=token)
            if not verdict.allowed:
                return _Refused(
                    Admission(granted=False, cause="breaker", detail=f"{effect.name} is unhealthy"), None
                )
            taken.append(_Grant(breaker=key, generation=verdict.generation))
        slots = rules.tool_slots.get(effect.name) if effect.subject == "tool" else None
        if slots is not None:
            answer = self._store.acquire_lease(key, cap=slots, owner=token, now=now, ttl_s=rules.lease_s)
            if answer.lease is None:
                detail = f"{answer.live} calls of {effect.name} are under way"
                return _Refused(Admission(granted=False, cause="concurrency", detail=detail), answer.after_s)
            taken.append(_Grant(lease=answer.lease))
        refused = self._take_money(effect, lane, taken)
        if refused is not None:
            return refused
        rate = (rules.tool_rates if effect.subject == "tool" else rules.model_rates).get(effect.name)
        if rate is not None:
            granted = self._store.take_rate(key, rate, now=now)
            if not granted.granted:
                detail = f"{effect.name} is called too often"
                return _Refused(Admission(granted=False, cause="rate", detail=detail), granted.after_s)
        return None

    def _take_money(self, effect: Admit, lane: str, taken: list[_Grant]) -> _Refused | None:
        rules, header = self._rules, self._header
        nanos = effect.limits.reserved_nanousd or 0
        amount = Amount(nanos=nanos, tool_calls=1 if effect.subject == "tool" else 0)
        scopes = (
            Scope(run_scope(header.tenant, header.environment, header.request_id)),
            Scope(day_scope(header.tenant, header.environment, self._now()), rules.tenant_day),
            Scope(GLOBAL, rules.everything),
        )
        # A try of its own for each time it is asked: a hold that was released is over and cannot be asked for again.
        self._tries += 1
        attempt = f"{self._fencing}.{self._tries}"
        reservation = scope_key(header.tenant, header.environment, "hold", header.run_id, lane, attempt)
        ttl_s = (effect.limits.timeout_s or 600.0) + _HOLD_MARGIN_S
        answer = self._store.reserve_spend(reservation, scopes, amount, now=self._now(), ttl_s=ttl_s)
        if not answer.granted:
            limit = answer.refusal
            detail = (
                None if limit is None else f"{limit.unit} of {limit.scope}: {limit.used} of {limit.cap} used"
            )
            return _Refused(Admission(granted=False, cause="spend", detail=detail), None)
        taken.append(_Grant(reservation=reservation, reserved=amount))
        return None

    def _give_back(self, grant: _Grant, lane: str) -> None:
        now = self._now()
        if grant.reservation is not None:
            self._store.release_spend(grant.reservation, now=now)
        if grant.lease is not None:
            self._store.release_lease(grant.lease.name, fencing=grant.lease.fencing)
        if grant.breaker is not None and self._rules.breaker is not None:
            self._store.report_breaker(
                grant.breaker,
                self._rules.breaker,
                now=now,
                generation=grant.generation,
                sample="neutral",
                token=self._token(lane),
            )

    def _token(self, lane: str) -> str:
        """Name an attempt of this execution; one that took the run over makes names of its own."""
        return f"{self._header.run_id}#{self._fencing}/{lane}"


def call_lane(admit_lane: str) -> str:
    """Return the lane of the call that an admission lane is for."""
    step, _, rest = admit_lane.rpartition(".")
    what = "model" if rest.startswith("admit/") else "tool"
    return f"{step}.{rest.replace('admit', what, 1)}"


def _merged(taken: list[_Grant]) -> _Grant:
    money = next((g for g in taken if g.reservation is not None), _Grant())
    lease = next((g.lease for g in taken if g.lease is not None), None)
    breaker = next((g for g in taken if g.breaker is not None), _Grant())
    return _Grant(
        reservation=money.reservation,
        reserved=money.reserved,
        lease=lease,
        breaker=breaker.breaker,
        generation=breaker.generation,
    )


def never_happened(failure: Failure) -> bool:
    """Return whether a failed call surely had no effect."""
    refused = failure.kind in {FailureKind.RATE_LIMITED, FailureKind.UNAVAILABLE}
    return failure.phase == "connect" or refused


def _actual(grant: _Grant, outcome: Outcome) -> Amount:
    """Return what a call used: what it reports, else what was held for it; nothing where nothing was done."""
    failure: Failure | None = outcome.failure
    if failure is not None and failure.phase == "connect" and failure.kind is FailureKind.INTERRUPTED:
        return NOTHING
    if failure is not None and failure.kind in {FailureKind.RATE_LIMITED, FailureKind.UNAVAILABLE}:
        return Amount(tool_calls=grant.reserved.tool_calls)
    cost = getattr(outcome.value, "cost_nanousd", None)
    nanos = grant.reserved.nanos if cost is None else cost
    usage = getattr(outcome.value, "usage", None)
    tokens = 0 if usage is None else (usage.input_tokens or 0) + (usage.output_tokens or 0)
    return Amount(nanos=nanos, tokens=tokens, tool_calls=grant.reserved.tool_calls)


def _sample(outcome: Outcome) -> Sample:
    if outcome.failure is None:
        return "ok"
    return "failed" if outcome.failure.kind in _DEPENDENCY_FAILED else "neutral"
