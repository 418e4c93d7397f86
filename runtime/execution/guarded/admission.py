"""Admission: what one run holds for its calls. Breaker, lease and money, from a call's admission to its outcome.

Theory of operation. A grant is all that one admitted call holds. The store gives it whole or not at all: what a call
is refused half way, it gives back. A grant is held under the lane of the call it admits, and leaves in one of three
ways:

- `settle`: the call has its outcome. The money becomes what was used, the breaker hears how it went, the lease is free.
- `settle(abandoned=True)`: the call has its outcome and still runs. An abandoned call keeps its lease until it really
  ends (`end_abandoned`), because the slot is really taken.
- `release_all`: the run is over, and the call never started.

Calls of one turn are admitted together, before any of them starts. If there are fewer slots than calls, the later
ones would wait for slots that the first ones keep, which cannot start before all are admitted. So a call is admitted
without a lease if another call of its own run has one, and takes its lease just before it starts (`take_slot`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from runtime.control.amounts import actual_of, sample_of, worst_of
from runtime.control.breaker import Sample
from runtime.control.ledger import NO_CAPS, NOTHING, Amount, Caps, SpendScope
from runtime.control.scopes import GLOBAL, day_scope, key_below, run_scope, scope_key
from runtime.core.effects import Admission, Admit, AnyOutcome
from runtime.core.lanes import call_lane
from runtime.core.run import Header
from runtime.execution.control_rules import ControlRules
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import CallAnswer, CallAsk, CallEnd, Lease

_HOLD_MARGIN_S = 120.0
"""How much longer than a call's timeout its money is held, should nobody settle it."""

_GRANTED = Admission()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """What one admitted call holds; it waits for a slot of another call of its run where `waits_for` names one."""

    reservation: str | None = None
    reserved: Amount = NOTHING
    lease: Lease | None = None
    breaker: str | None = None
    generation: int = 0
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
        "_scopes",
        "_store",
        "_tree",
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
        tree: SpendScope | None = None,
    ) -> None:
        """Begin with nothing held.

        Args:
            store: Where the control state is.
            rules: Limits across runs.
            now: Gives epoch seconds.
            header: The run's header.
            owner: Names this execution of the run; a lane is added to it for each lease and probe.
            fencing: The number under which this process has the run.
            tree: The scope of the outermost run, for a run that another one started.
        """
        tenant, environment = header.tenant, header.environment
        self._fencing = str(fencing)
        self._store = store
        self._rules = rules
        self._now = now
        self._header = header
        self._held: dict[str, _Grant] = {}
        self._abandoned: dict[str, Lease] = {}
        self._renewed_at = now()
        self._owner = owner
        self._holds = scope_key(tenant, environment, "hold", header.run_id)
        self._keys: dict[tuple[str, str], str] = {}
        self._tree = tree or tree_scope(header)
        # Nobody can cap it but the rules, and a row that all runs change is the first to be waited for.
        self._everything = () if rules.everything == NO_CAPS else (SpendScope(GLOBAL, rules.everything),)
        self._day: int | None = None
        self._scopes: tuple[SpendScope, ...] = ()

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

    def take_slot(self, lane: str, tool: str) -> SlotTaken | None:
        """Try to take the slot that an admitted call waits for; `None` if the call has it now."""
        grant = self._held[lane]
        assert grant.waits_for is not None
        answer = self._store.acquire_lease(
            grant.waits_for,
            cap=self._rules.tool_slots[tool],
            owner=self._owner + lane,
            now=self._now(),
            ttl_s=self._rules.lease_s,
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

    def settle(self, lane: str, outcome: AnyOutcome, *, abandoned: bool = False) -> None:
        """End a call's grant with its outcome; an abandoned call keeps its lease until it really ends."""
        grant = self._held.pop(lane, None)
        if grant is None:
            return
        if abandoned and grant.lease is not None:
            self._abandoned[lane] = grant.lease
            grant = replace(grant, lease=None)
        self._end(grant, lane, actual_of(grant.reserved, outcome), sample_of(outcome))

    def end_abandoned(self, lane: str) -> None:
        """Release the lease of an abandoned call that has ended."""
        lease = self._abandoned.pop(lane, None)
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
        for lease in self._abandoned.values():
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
        """Give back what calls that never started hold; leases of abandoned calls lapse by themselves."""
        for lane, grant in list(self._held.items()):
            self._give_back(grant, lane)
        self._held.clear()

    def _ask(self, effect: Admit, lane: str, now: float) -> CallAsk:
        rules, of_tool = self._rules, effect.subject == "tool"
        name = effect.name
        return CallAsk(
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
        )

    def _key(self, subject: str, name: str) -> str:
        key = self._keys.get((subject, name))
        if key is None:
            header = self._header
            key = self._keys[subject, name] = scope_key(header.tenant, header.environment, subject, name)
        return key

    def _scopes_at(self, now: float) -> tuple[SpendScope, ...]:
        """Return where an amount counts: the run tree, its tenant's day (UTC), and everything if that has a cap."""
        day = int(now // 86_400)
        if day != self._day:
            header, self._day = self._header, day
            today = SpendScope(day_scope(header.tenant, header.environment, now), self._rules.tenant_day)
            self._scopes = (self._tree, today, *self._everything)
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
                token=self._owner + lane,
                slot=grant.lease,
            ),
            now=self._now(),
        )


def tree_scope(header: Header) -> SpendScope:
    """Return where all that a run and its child runs use counts together, under the caps of its own budget."""
    key = run_scope(header.tenant, header.environment, header.root or header.request_id)
    return SpendScope(key, Caps(nanos=header.budget.max_usd_nanos, tokens=header.budget.max_tokens))


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
