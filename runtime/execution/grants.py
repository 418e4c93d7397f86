"""Grants of one run: admissions by rate, breaker, slot and money, and idempotency claims.

A grant is held under the lane of the call it admits, settled when that call's outcome is made, and released when
the run ends. What is refused half way gives back what it took.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from runtime.control.breaker import Sample
from runtime.control.claims import ClaimAnswer
from runtime.control.ledger import NOTHING, Amount, Scope
from runtime.control.scopes import GLOBAL, day_scope, key_below, run_scope, scope_key
from runtime.core.effects import Admission, Admit, AnyOutcome, Failure, FailureKind, ToolResult
from runtime.core.messages import ModelReply
from runtime.core.run import Header
from runtime.execution.rules import ControlRules
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import CallAnswer, CallAsk, CallEnd, Lease

_HOLD_MARGIN_S = 120.0
"""How much longer than a call's timeout its money is held, should nobody settle it."""

_GRANTED = Admission()
_DEPENDENCY_FAILED = frozenset({FailureKind.TIMEOUT, FailureKind.ERROR, FailureKind.UNAVAILABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """What one admitted call holds; it waits for a slot of another call of its run where `waits_for` names one."""

    reservation: str | None = None
    reserved: Amount = NOTHING
    lease: Lease | None = None
    breaker: str | None = None
    generation: int = 0
    waits_for: str | None = None


class Grants:
    """What one run holds."""

    __slots__ = (
        "_day",
        "_everything",
        "_fencing",
        "_header",
        "_held",
        "_holds",
        "_keys",
        "_lingering",
        "_now",
        "_renewed_at",
        "_rules",
        "_run",
        "_scopes",
        "_store",
        "_tokens",
    )

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
        tenant, environment = header.tenant, header.environment
        self._fencing = str(fencing)
        self._store = store
        self._rules = rules
        self._now = now
        self._header = header
        self._held: dict[str, _Grant] = {}
        self._lingering: dict[str, Lease] = {}
        self._renewed_at = now()
        self._tokens = f"{header.run_id}#{fencing}/"
        self._holds = scope_key(tenant, environment, "hold", header.run_id)
        self._keys: dict[tuple[str, str], str] = {}
        self._run = Scope(run_scope(tenant, environment, header.request_id))
        self._everything = Scope(GLOBAL, rules.everything)
        self._day: int | None = None
        self._scopes: tuple[Scope, ...] = ()

    def admit(self, effect: Admit) -> tuple[Admission, float | None]:
        """Try once to admit a call.

        Returns:
            The admission, and after how many seconds it is worth trying again; `None` if waiting will not help.

        Raises:
            ControlUnavailable: If the store cannot be used; nothing is held then.
        """
        lane = call_lane(effect.lane)
        now = self._now()
        ask = self._ask(effect, lane, now)
        answer = self._store.admit_call(ask, now=now)
        waits_for = None
        if answer.refused == "slot" and self._has_slot(ask.key):
            # Another call of this very turn has it, which cannot end before this one is admitted too.
            waits_for = ask.key
            answer = self._store.admit_call(msgspec.structs.replace(ask, slots=None), now=now)
        if answer.refused is not None:
            return _refusal(effect.name, answer)
        breaker, slot = answer.breaker, answer.slot
        self._held[lane] = _Grant(
            reservation=ask.reservation,
            reserved=ask.amount,
            lease=None if slot is None else slot.lease,
            breaker=None if breaker is None else ask.key,
            generation=0 if breaker is None else breaker.generation,
            waits_for=waits_for,
        )
        return _GRANTED, 0.0

    def waits(self, lane: str) -> bool:
        """Return whether an admitted call still needs a slot."""
        grant = self._held.get(lane)
        return grant is not None and grant.waits_for is not None

    def take_slot(self, lane: str, tool: str) -> tuple[float, bool] | None:
        """Try to take the slot that an admitted call waits for.

        Returns:
            `None` if it is taken; else after how many seconds it is worth trying again, and whether another call of
            this run has one.
        """
        grant = self._held[lane]
        assert grant.waits_for is not None
        answer = self._store.acquire_lease(
            grant.waits_for,
            cap=self._rules.tool_slots[tool],
            owner=self._tokens + lane,
            now=self._now(),
            ttl_s=self._rules.lease_s,
        )
        if answer.lease is None:
            return answer.after_s, self._has_slot(grant.waits_for)
        self._held[lane] = replace(grant, lease=answer.lease, waits_for=None)
        return None

    def _has_slot(self, key: str) -> bool:
        return any(g.lease is not None and g.lease.name == key for g in self._held.values())

    @property
    def lingers(self) -> bool:
        """Whether a call that was given up keeps its slot."""
        return bool(self._lingering)

    def settle(self, lane: str, outcome: AnyOutcome, *, lingers: bool = False) -> None:
        """End a call's grant with its outcome; a call that goes on unseen keeps its slot."""
        grant = self._held.pop(lane, None)
        if grant is None:
            return
        if lingers and grant.lease is not None:
            self._lingering[lane] = grant.lease
            grant = replace(grant, lease=None)
        self._end(grant, lane, _actual(grant, outcome), _sample(outcome))

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
            owner=self._tokens + lane,
            now=self._now(),
            lease_s=lease_s,
            repeatable=repeatable,
        )

    def end_claim(self, key: str, fencing: int, outcome: AnyOutcome, *, repeatable: bool = False) -> None:
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

    def _ask(self, effect: Admit, lane: str, now: float) -> CallAsk:
        rules, of_tool = self._rules, effect.subject == "tool"
        name = effect.name
        return CallAsk(
            key=self._key(effect.subject, name),
            token=self._tokens + lane,
            breaker=rules.breaker,
            slots=rules.tool_slots.get(name) if of_tool else None,
            slot_s=rules.lease_s,
            # A lane is admitted once by each execution: a try that is refused holds nothing.
            reservation=key_below(self._holds, lane, self._fencing),
            scopes=self._scopes_at(now),
            amount=_worst(effect),
            hold_s=(effect.limits.timeout_s or 600.0) + _HOLD_MARGIN_S,
            rate=(rules.tool_rates if of_tool else rules.model_rates).get(name),
        )

    def _key(self, subject: str, name: str) -> str:
        key = self._keys.get((subject, name))
        if key is None:
            header = self._header
            key = self._keys[subject, name] = scope_key(header.tenant, header.environment, subject, name)
        return key

    def _scopes_at(self, now: float) -> tuple[Scope, ...]:
        """Return where an amount counts: the run, its tenant's day (UTC), and everything."""
        day = int(now // 86_400)
        if day != self._day:
            header, self._day = self._header, day
            today = Scope(day_scope(header.tenant, header.environment, now), self._rules.tenant_day)
            self._scopes = (self._run, today, self._everything)
        return self._scopes

    def _give_back(self, grant: _Grant, lane: str) -> None:
        """End the grant of a call that never started."""
        self._end(grant, lane, None, "neutral")

    def _end(self, grant: _Grant, lane: str, actual: Amount | None, sample: Sample) -> None:
        self._store.end_call(
            CallEnd(
                reservation=grant.reservation,
                actual=actual,
                breaker=None if grant.breaker is None else self._rules.breaker,
                key=grant.breaker or "",
                generation=grant.generation,
                sample=sample,
                token=self._tokens + lane,
                slot=grant.lease,
            ),
            now=self._now(),
        )


def call_lane(admit_lane: str) -> str:
    """Return the lane of the call that an admission lane is for."""
    step, _, rest = admit_lane.rpartition(".")
    what = "model" if rest.startswith("admit/") else "tool"
    return f"{step}.{rest.replace('admit', what, 1)}"


def _refusal(name: str, answer: CallAnswer) -> tuple[Admission, float | None]:
    """Return what a call that was refused is told, and after how many seconds it is worth trying again."""
    match answer.refused:
        case "breaker":
            return Admission(granted=False, cause="breaker", detail=f"{name} is unhealthy"), None
        case "slot":
            assert answer.slot is not None
            detail = f"{answer.slot.live} calls of {name} are under way"
            return Admission(granted=False, cause="concurrency", detail=detail), answer.slot.after_s
        case "rate":
            assert answer.rate is not None
            detail = f"{name} is called too often"
            return Admission(granted=False, cause="rate", detail=detail), answer.rate.after_s
        case _:
            full = None if answer.spend is None else answer.spend.refusal
            words = None if full is None else f"{full.unit} of {full.scope}: {full.used} of {full.cap} used"
            unit = None if full is None else full.unit
            return Admission(granted=False, cause="spend", detail=words, unit=unit), None


def _worst(effect: Admit) -> Amount:
    """Return the most that a call can use; a step is counted once, whatever it takes to make it."""
    nanos = effect.limits.reserved_nanousd or 0
    if effect.subject == "tool":
        return Amount(nanos, tool_calls=1)
    steps = 1 if effect.lane.endswith("/1") else 0
    return Amount(nanos, effect.limits.reserved_tokens or 0, steps=steps)


def never_happened(failure: Failure) -> bool:
    """Return whether a failed call surely had no effect."""
    refused = failure.kind in {FailureKind.RATE_LIMITED, FailureKind.UNAVAILABLE}
    return failure.phase == "connect" or refused


def _actual(grant: _Grant, outcome: AnyOutcome) -> Amount:
    """Return what a call used: what it reports, else what was held for it; nothing where nothing was done."""
    failure: Failure | None = outcome.failure
    counted = Amount(tool_calls=grant.reserved.tool_calls, steps=grant.reserved.steps)
    if failure is not None and failure.phase == "connect" and failure.kind is FailureKind.INTERRUPTED:
        return NOTHING
    if failure is not None and (never_happened(failure) or failure.phase == "rejected"):
        return counted
    reply = outcome.value if isinstance(outcome.value, ModelReply) else None
    cost = None if reply is None else reply.cost_nanousd
    nanos = grant.reserved.nanos if cost is None else cost
    usage = None if reply is None else reply.usage
    tokens = grant.reserved.tokens
    if usage is not None and usage.input_tokens is not None and usage.output_tokens is not None:
        tokens = usage.input_tokens + usage.output_tokens
    return counted + Amount(nanos=nanos, tokens=tokens)


def _sample(outcome: AnyOutcome) -> Sample:
    if outcome.failure is None:
        return "ok"
    if outcome.failure.phase == "rejected":  # the other side is well; what it was sent was not
        return "neutral"
    return "failed" if outcome.failure.kind in _DEPENDENCY_FAILED else "neutral"
