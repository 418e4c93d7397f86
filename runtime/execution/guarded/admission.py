"""Admission: what one run holds for its calls. Breaker, lease and money, from a call's admission to its outcome.

Theory of operation. A grant is all that one admitted call holds. The store gives it whole or not at all: what a call
is refused half way, it gives back. A grant is held under the lane of the call it admits, and leaves in one of three
ways:

- `settle`: the call has its outcome. The money becomes what was used, the breaker hears how it went, the lease is free.
  It is reported with the next admission, or soon by the keeper; at once if others wait for it.
- `settle(abandoned=True)`: the call has its outcome and still runs. An abandoned call keeps its lease until it really
  ends (`end_abandoned`), because the slot is really taken.
- `release_all`: the run is over, and the call never started.

Calls of one turn are admitted together, before any of them starts. If there are fewer slots than calls, the later
ones would wait for slots that the first ones keep, which cannot start before all are admitted. So a call is admitted
without a lease if another call of its own run has one, and takes its lease just before it starts (`take_slot`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from runtime.control.breaker import Sample
from runtime.control.ledger import NOTHING, Amount, SpendScope, could_pass
from runtime.control.scopes import GLOBAL, day_scope, key_below, run_scope, scope_key
from runtime.core.effects import Admission, Admit, AnyOutcome
from runtime.core.lanes import call_lane
from runtime.core.run import Header
from runtime.execution.control_rules import ControlRules
from runtime.execution.guarded.call_facts import actual_of, sample_of, worst_of
from runtime.execution.time_limit import finish
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import (
    CallAnswer,
    CallAsk,
    CallEnd,
    ControlUnavailable,
    Lease,
    RunKey,
    RunOwner,
)

_HOLD_MARGIN_S = 120.0
"""How much longer than a call's timeout its money is held, should nobody settle it."""

_GRANTED = Admission()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """What one admitted call holds; it waits for a slot of another call of its run where `waits_for` names one."""

    reservation: str | None = None
    reserved: Amount = NOTHING
    held: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    lease: Lease | None = None
    breaker: str | None = None
    generation: int = 0
    probe: bool = False
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class SlotTaken:
    """All slots of a tool are taken.

    Attributes:
        after_s: After how many seconds it is worth trying again.
        ours: Whether another call of this run has one.
    """

    after_s: float
    ours: bool


class Grants:
    """The grants of one run."""

    __slots__ = (
        "_abandoned",
        "_day",
        "_ends",
        "_everything",
        "_fencing",
        "_header",
        "_held",
        "_holds",
        "_keys",
        "_now",
        "_owner",
        "_renewed_at",
        "_rules",
        "_run",
        "_run_owner",
        "_scopes",
        "_store",
    )

    def __init__(
        self,
        store: ControlStore,
        rules: ControlRules,
        now: Callable[[], float],
        header: Header,
        *,
        owner: str,
        fencing: int = 1,
    ) -> None:
        """Begin with nothing held.

        Args:
            store: Where the control state is.
            rules: Limits across runs.
            now: Gives epoch seconds.
            header: The run's header.
            owner: Names this execution of the run; a lane is added to it for each lease and probe.
            fencing: The number under which this process has the run.
        """
        tenant, environment = header.tenant, header.environment
        self._fencing = str(fencing)
        key = RunKey(tenant=tenant, environment=environment, request_id=header.request_id)
        self._run_owner = RunOwner(key=key, fencing=fencing)
        self._store = store
        self._rules = rules
        self._now = now
        self._header = header
        self._held: dict[str, _Grant] = {}
        self._ends: list[CallEnd] = []
        self._abandoned: dict[str, Lease] = {}
        self._renewed_at = now()
        self._owner = owner
        self._holds = scope_key(tenant, environment, "hold", header.run_id)
        self._keys: dict[tuple[str, str], str] = {}
        self._run = SpendScope(run_scope(tenant, environment, header.request_id))
        self._everything = SpendScope(GLOBAL, rules.everything)
        self._day: int | None = None
        self._scopes: tuple[SpendScope, ...] = ()

    async def admit(self, effect: Admit, *, epoch: int | None = None) -> tuple[Admission, float | None]:
        """Try once to admit a call.

        Args:
            effect: The call.
            epoch: Of the switches that were looked at.

        Returns:
            The admission, and after how many seconds it is worth trying again; `None` if waiting will not help.

        Raises:
            SwitchesChanged: If the switches are of another epoch; nothing is held then.
            ControlUnavailable: If the store cannot be used, or the run was taken over; nothing is held then.
        """
        lane = call_lane(effect.lane)
        now = self._now()
        ask = self._ask(effect, lane, now, epoch)
        answer = await self._admit(ask, now)
        waits_for = None
        if answer.refused == "slot" and self._has_slot(ask.key):
            # Another call of this very turn has it, which cannot end before this one is admitted too.
            waits_for = ask.key
            answer = await self._admit(msgspec.structs.replace(ask, slots=None, ends=()), now)
        if answer.refused is not None:
            return _refusal(effect.name, answer)
        breaker, slot = answer.breaker, answer.slot
        held = None if answer.spend is None else answer.spend.held
        self._held[lane] = _Grant(
            reservation=None if held is None else ask.reservation,
            reserved=ask.amount,
            held=held or (),
            scopes=tuple([scope.key for scope in ask.scopes]),
            lease=None if slot is None else slot.lease,
            breaker=None if breaker is None else ask.key,
            generation=0 if breaker is None else breaker.generation,
            probe=breaker is not None and breaker.probe,
            waits_for=waits_for,
        )
        return _GRANTED, 0.0

    async def _admit(self, ask: CallAsk, now: float) -> CallAnswer:
        """Ask the store; calls that ended are reported the next time if they could not be now."""
        ends = ask.ends
        try:
            if ask.slots is not None:  # a slot that nobody knows of would be taken until its lease lapses
                return await finish(self._store.admit_call(ask, now=now))
            return await self._store.admit_call(ask, now=now)
        except (ControlUnavailable, asyncio.CancelledError) as error:
            self._ends[:0] = ends
            if isinstance(error, asyncio.CancelledError):  # whether the amount is held is not known
                self._ends.append(_released(ask))
            raise

    def waits(self, lane: str) -> bool:
        """Return whether an admitted call still needs a slot."""
        grant = self._held.get(lane)
        return grant is not None and grant.waits_for is not None

    async def take_slot(self, lane: str, tool: str) -> SlotTaken | None:
        """Try to take the slot that an admitted call waits for; `None` if the call has it now."""
        grant = self._held[lane]
        assert grant.waits_for is not None
        answer = await finish(
            self._store.acquire_lease(
                grant.waits_for,
                cap=self._rules.tool_slots[tool],
                owner=self._owner + lane,
                now=self._now(),
                ttl_s=self._rules.lease_s,
            )
        )
        if answer.lease is None:
            return SlotTaken(answer.after_s, ours=self._has_slot(grant.waits_for))
        self._held[lane] = replace(grant, lease=answer.lease, waits_for=None)
        return None

    def _has_slot(self, key: str) -> bool:
        return any(g.lease is not None and g.lease.name == key for g in self._held.values())

    @property
    def has_abandoned_calls(self) -> bool:
        """Whether an abandoned call keeps its lease."""
        return bool(self._abandoned)

    def settle(self, lane: str, outcome: AnyOutcome, *, abandoned: bool = False) -> bool:
        """End a call's grant with its outcome; an abandoned call keeps its lease until it really ends.

        Returns:
            Whether others wait for it, so that it is to be reported at once (`send_ends`).
        """
        grant = self._held.pop(lane, None)
        if grant is None:
            return False
        if abandoned and grant.lease is not None:
            self._abandoned[lane] = grant.lease
            grant = replace(grant, lease=None)
        sample = sample_of(outcome)
        self._ends.append(self._end(grant, lane, actual_of(grant.reserved, outcome), sample))
        return grant.lease is not None or grant.probe or sample == "failed"

    @property
    def has_ends(self) -> bool:
        """Whether calls have ended and were not reported."""
        return bool(self._ends)

    async def send_ends(self) -> None:
        """Report the calls that have ended.

        Raises:
            ControlUnavailable: If they cannot be reported; they are later.
        """
        if not self._ends:
            return
        ends, self._ends = tuple(self._ends), []
        try:
            await self._store.end_calls(ends, now=self._now())
        except (ControlUnavailable, asyncio.CancelledError):
            self._ends[:0] = ends
            raise

    def end_abandoned(self, lane: str) -> Lease | None:
        """Return the lease of an abandoned call that has ended; it is to be given back."""
        return self._abandoned.pop(lane, None)

    async def give_back(self, lease: Lease) -> None:
        """Give back the lease of an abandoned call that has ended."""
        await self._store.release_lease(lease.name, fencing=lease.fencing)

    def is_renewal_due(self, now: float) -> bool:
        """Return whether slots that are held must be renewed: at a third of their time."""
        return now - self._renewed_at >= self._rules.lease_s / 3

    async def renew(self) -> tuple[str, ...]:
        """Extend all slots that are held, if that is due.

        Returns:
            The lanes of calls whose slot had lapsed: somebody else may have it now.
        """
        now = self._now()
        if not self.is_renewal_due(now):
            return ()
        self._renewed_at = now
        for lease in tuple(self._abandoned.values()):
            await self._renewed(lease, now)
        lost = []
        for lane, grant in list(self._held.items()):
            if grant.lease is None or await self._renewed(grant.lease, now):
                continue
            if lane in self._held:  # it may have ended while the store was asked
                self._held[lane] = replace(self._held[lane], lease=None)
                lost.append(lane)
        return tuple(lost)

    async def _renewed(self, lease: Lease, now: float) -> bool:
        ttl_s = self._rules.lease_s
        return await self._store.renew_lease(lease.name, fencing=lease.fencing, now=now, ttl_s=ttl_s)

    async def release_all(self) -> None:
        """Give back what calls that never started hold; leases of abandoned calls lapse by themselves.

        Raises:
            ControlUnavailable: If it cannot be reported; it is later.
        """
        self._ends += [self._end(grant, lane, None, "neutral") for lane, grant in self._held.items()]
        self._held.clear()
        await self.send_ends()

    def _ask(self, effect: Admit, lane: str, now: float, epoch: int | None) -> CallAsk:
        rules, of_tool = self._rules, effect.subject == "tool"
        name = effect.name
        ask = CallAsk(
            key=self._key(effect.subject, name),
            token=self._owner + lane,
            breaker=rules.breaker,
            slots=rules.tool_slots.get(name) if of_tool else None,
            slot_s=rules.lease_s,
            # A lane is admitted once by each execution: a try that is refused holds nothing.
            reservation=key_below(self._holds, lane, self._fencing),
            scopes=self._scopes_at(now),
            amount=worst_of(effect),
            hold_s=(effect.limits.timeout_s or 600.0) + _HOLD_MARGIN_S,
            rate=(rules.tool_rates if of_tool else rules.model_rates).get(name),
            run=self._run_owner,
            epoch=epoch,
        )
        if not self._ends or ask.may_be_free:
            return ask
        ends, self._ends = tuple(self._ends), []
        return msgspec.structs.replace(ask, ends=ends)

    def _key(self, subject: str, name: str) -> str:
        key = self._keys.get((subject, name))
        if key is None:
            header = self._header
            key = self._keys[subject, name] = scope_key(header.tenant, header.environment, subject, name)
        return key

    def _scopes_at(self, now: float) -> tuple[SpendScope, ...]:
        """Return where an amount counts: the run, its tenant's day (UTC), and everything."""
        day = int(now // 86_400)
        if day != self._day:
            header, self._day = self._header, day
            today = SpendScope(day_scope(header.tenant, header.environment, now), self._rules.tenant_day)
            self._scopes = (self._run, today, self._everything)
        return self._scopes

    def _end(self, grant: _Grant, lane: str, actual: Amount | None, sample: Sample) -> CallEnd:
        return CallEnd(
            reservation=grant.reservation,
            actual=actual,
            breaker=None if grant.breaker is None else self._rules.breaker,
            key=grant.breaker or "",
            generation=grant.generation,
            sample=sample,
            token=self._owner + lane,
            slot=grant.lease,
            scopes=grant.scopes,
            held=grant.held,
            reserved=grant.reserved,
        )


def _released(ask: CallAsk) -> CallEnd:
    """Return the end of a call that may have been admitted, and never starts."""
    return CallEnd(
        reservation=ask.reservation,
        actual=None,
        breaker=None,
        key=ask.key,
        generation=0,
        sample="neutral",
        token=ask.token,
        slot=None,
        scopes=tuple(scope.key for scope in ask.scopes),
        held=tuple(scope.key for scope in ask.scopes if could_pass(scope.caps, ask.amount)),
        reserved=ask.amount,
    )


def _refusal(name: str, answer: CallAnswer) -> tuple[Admission, float | None]:
    """Return the refusal of a call, and after how many seconds it is worth trying again."""
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
