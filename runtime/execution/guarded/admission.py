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

from runtime.control.amounts import actual_of, sample_of, worst_of
from runtime.control.ledger import NO_CAPS, SpendScope
from runtime.control.scopes import GLOBAL, day_scope, key_below, scope_key, upstream_key
from runtime.core.effects import Admission, Admit, AnyOutcome
from runtime.core.lanes import call_lane
from runtime.core.run import Header
from runtime.execution.control_rules import ControlRules
from runtime.execution.guarded.grant import Grant, grant_of, released, unknown_of
from runtime.execution.guarded.refusals import refusal_of, tree_scope
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
    Upstream,
)

_HOLD_MARGIN_S = 120.0
"""How much longer than a call's timeout its money is held, should nobody settle it."""

_GRANTED = Admission()


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
        "_again",
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
        "_run_owner",
        "_scopes",
        "_sending",
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
        key = RunKey(tenant=tenant, environment=environment, request_id=header.request_id)
        self._run_owner = RunOwner(key=key, fencing=fencing)
        self._store = store
        self._rules = rules
        self._now = now
        self._header = header
        self._held: dict[str, Grant] = {}
        self._ends: list[CallEnd] = []
        self._sending: tuple[CallEnd, ...] = ()
        self._again: dict[str, tuple[str, ...]] = {}
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
        ours = self._has_slot(ask.key)
        answer = await self._admit(ask, now)
        waits_for = None
        if answer.refused == "slot" and (ours or self._has_slot(ask.key)):
            # Another call of this very turn has it, which cannot end before this one is admitted too.
            waits_for = ask.key
            answer = await self._admit(msgspec.structs.replace(ask, slots=None, ends=()), now)
        if answer.refused is not None:
            return refusal_of(effect.name, answer)
        self._held[lane] = grant_of(ask, answer, now=now, waits_for=waits_for)
        return _GRANTED, 0.0

    async def _admit(self, ask: CallAsk, now: float) -> CallAnswer:
        """Ask the store; calls that ended are reported the next time if they could not be now."""
        ends = ask.ends
        self._sending += ends
        try:
            if ask.slots is not None:  # a slot that nobody knows of would be taken until its lease lapses
                return await finish(self._store.admit_call(ask, now=now))
            return await self._store.admit_call(ask, now=now)
        except (ControlUnavailable, asyncio.CancelledError) as error:
            self._ends[:0] = ends
            if isinstance(error, asyncio.CancelledError):  # whether the amount is held is not known
                self._ends.append(released(ask))
            raise
        finally:
            self._sent(ends)

    def _sent(self, ends: tuple[CallEnd, ...]) -> None:
        self._sending = tuple(end for end in self._sending if end not in ends)

    def holds(self, lane: str) -> bool:
        """Return whether a call is admitted."""
        return lane in self._held

    def waits(self, lane: str) -> bool:
        """Return whether an admitted call still needs a slot."""
        return lane in self._held and self._held[lane].waits_for is not None

    async def take_slot(self, lane: str, tool: str) -> SlotTaken | None:
        """Try to take the slot that an admitted call waits for; `None` if the call has it now."""
        grant = self._held[lane]
        assert grant.waits_for is not None
        ours = self._has_slot(grant.waits_for)  # it may be free before the answer is here
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
            return SlotTaken(answer.after_s, ours=ours or self._has_slot(grant.waits_for))
        self._held[lane] = replace(grant, lease=answer.lease, waits_for=None)
        return None

    def _has_slot(self, key: str) -> bool:
        """Return whether a call of this run has a slot, or had one and the store has not heard that it is free."""
        ends = (*self._ends, *self._sending)
        if any(end.slot is not None and end.slot.name == key for end in ends):
            return True
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
        self._ends.append(grant.ended(actual_of(grant.ask.amount, outcome), sample))
        return grant.lease is not None or grant.is_probe or sample == "failed"

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
        self._sending += ends
        try:
            await self._store.end_calls(ends, now=self._now())
        except (ControlUnavailable, asyncio.CancelledError):
            self._ends[:0] = ends
            raise
        finally:
            self._sent(ends)

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

    def drop(self, lane: str) -> bool:
        """End the grant of a call that has not begun; return whether there is one to be reported."""
        grant = self._held.pop(lane, None)
        if grant is not None:
            self._again[lane] = (*self._again.get(lane, ()), "again")
            self._ends.append(grant.ended(None, "neutral"))
        return grant is not None

    async def release_all(self) -> None:
        """Give back what calls that never started hold; leases of abandoned calls lapse by themselves.

        Raises:
            ControlUnavailable: If it cannot be reported; it is later.
        """
        self._ends += [grant.ended(None, "neutral") for grant in self._held.values()]
        self._held.clear()
        await self.send_ends()

    def _ask(self, effect: Admit, lane: str, now: float, epoch: int | None) -> CallAsk:
        ends, self._ends = tuple(self._ends), []
        rules, of_tool = self._rules, effect.subject == "tool"
        name = effect.name
        rule = rules.breaker_of(effect.subject, name)
        above: Upstream | None = None
        if rule is not None and rules.upstream is not None:
            key = upstream_key(self._header.environment, effect.subject, name)
            above = Upstream(key=key, rule=rules.upstream)
        return CallAsk(
            key=self._key(effect.subject, name),
            token=self._owner + lane,
            breaker=rule,
            slots=rules.tool_slots.get(name) if of_tool else None,
            slot_s=rules.lease_s,
            # A try that is refused holds nothing; what was given back is held anew under another name.
            reservation=key_below(self._holds, lane, self._fencing, *self._again.get(lane, ())),
            scopes=self._scopes_at(now),
            amount=worst_of(effect),
            hold_s=(effect.limits.timeout_s or 600.0) + _HOLD_MARGIN_S,
            rate=(rules.tool_rates if of_tool else rules.model_rates).get(name),
            run=self._run_owner,
            epoch=epoch,
            ends=ends,
            upstream=above,
            unknown=unknown_of(effect),
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
