"""Ledger, claims and breakers together, as one call uses them: whole admissions, given back whole.

A call is claimed, admitted, settled or given back, by two tenants that share one upstream. The model knows what may
have been spent, who is at which claim, and which breakers have a probe under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from runtime.control.breaker import BreakerRule, BreakerVerdict
from runtime.control.ledger import Amount, Caps, SpendScope
from runtime.control.ratelimit import RateRule
from runtime.core.effects import ToolResult
from runtime.ports.control_values import CallAsk, CallEnd, Lease, Upstream
from tests.runtime.state.control.twin import TwinMachine, case_of

TENANTS = ("a", "b")
CAP = 1_000
RULE = BreakerRule(min_calls=2, window_s=4.0, cooldown_s=3.0, jitter=0.0, probe_ttl_s=100.0)
ABOVE = Upstream(key="*/t/tool/pay", rule=BreakerRule(min_calls=3, window_s=4.0, cooldown_s=3.0, jitter=0.0))
RATE = RateRule(6, 4.0)
tenants = st.sampled_from(TENANTS)


@dataclass(frozen=True)
class Open:
    """A call that was admitted."""

    ask: CallAsk
    held: tuple[str, ...] | None
    own: BreakerVerdict
    above: BreakerVerdict
    slot: Lease | None
    at: float
    claim: tuple[str, int] | None


class MoneyMachine(TwinMachine):
    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, list[Open]] = {name: [] for name in TENANTS}
        self.spent = dict.fromkeys(TENANTS, 0)
        self.count = 0

    def tree(self, tenant: str) -> str:
        return f"{tenant}/t/run/r1"

    def ask(self, tenant: str, nanos: int, *, unknown: bool = False) -> CallAsk:
        self.count += 1
        return CallAsk(
            key=f"{tenant}/t/tool/pay",
            token=f"token{self.count}",
            breaker=RULE,
            slots=2,
            slot_s=1_000.0,
            reservation=f"hold{self.count}",
            scopes=(SpendScope(self.tree(tenant), Caps(nanos=CAP)), SpendScope(f"{tenant}/t/day/1")),
            amount=Amount(0 if unknown else nanos, tool_calls=1),
            hold_s=1_000.0,
            rate=RATE,
            upstream=ABOVE,
            unknown=("nanos",) if unknown else (),
        )

    @rule(tenant=tenants, nanos=st.integers(1, 400), key=st.sampled_from(["k1", "k2", None]))
    def call(self, tenant: str, nanos: int, key: str | None) -> None:
        ask = self.ask(tenant, nanos)
        claim: tuple[str, int] | None = None
        if key is not None:
            name = f"{tenant}/{key}"
            answer = self.both(
                lambda s: s.claim(
                    name,
                    args_hash="x",
                    owner=ask.token,
                    now=self.now,
                    lease_s=1_000.0,
                    keep_s=5.0,
                )
            )
            at_it = any(o.claim is not None and o.claim[0] == name for o in self.open[tenant])
            assert (answer.verdict == "busy") == at_it
            if answer.verdict != "won":
                return  # a duplicate takes nothing
            claim = (name, answer.claim.fencing)
        got = self.both(lambda s: s.admit_call(ask, now=self.now))
        if got.refused is not None:
            if claim is not None:
                self.end_claim(claim, "failed")
            return
        assert got.breaker is not None
        assert got.upstream is not None
        assert got.spend is not None
        slot = None if got.slot is None else got.slot.lease
        self.open[tenant].append(Open(ask, got.spend.held, got.breaker, got.upstream, slot, self.now, claim))

    @rule(tenant=tenants)
    def call_of_unknown_worst_case(self, tenant: str) -> None:
        ask = self.ask(tenant, 1, unknown=True)
        got = self.both(lambda s: s.admit_call(ask, now=self.now))

        assert got.refused is not None  # its scope caps dollars

    @rule(
        tenant=tenants,
        which=st.integers(0, 5),
        how=st.sampled_from(["ok", "failed", "neutral", "given back"]),
        share=st.integers(0, 4),
    )
    def end(
        self, tenant: str, which: int, how: Literal["ok", "failed", "neutral", "given back"], share: int
    ) -> None:
        if not self.open[tenant]:
            return
        call = self.open[tenant].pop(which % len(self.open[tenant]))
        back = how == "given back"
        nanos = 0 if back else call.ask.amount.nanos * share // 4
        self.both(lambda s: s.end_calls((ended(call, None if back else nanos, how),), now=self.now))
        self.spent[tenant] += nanos
        if call.claim is not None:
            self.end_claim(call.claim, "done" if how == "ok" else "failed")

    def end_claim(self, claim: tuple[str, int], state: Literal["done", "failed"]) -> None:
        name, fencing = claim
        result = ToolResult(content=name) if state == "done" else None
        change = self.both(
            lambda s: s.end_claim(name, fencing=fencing, state=state, now=self.now, result=result)
        )
        assert change.applied

    @invariant()
    def what_may_have_been_spent_is_in_the_books_and_under_the_cap(self) -> None:
        keys = tuple(self.tree(tenant) for tenant in TENANTS)
        uses = self.both(lambda s: s.read_spend(keys, now=self.now))
        for tenant, use in zip(TENANTS, uses, strict=True):
            held = sum(o.ask.amount.nanos for o in self.open[tenant])
            assert (use.spent.nanos, use.held.nanos) == (self.spent[tenant], held)
            assert use.spent.nanos + use.held.nanos <= CAP

    @invariant()
    def a_breaker_has_one_probe_and_slots_are_those_of_open_calls(self) -> None:
        calls = [o for name in TENANTS for o in self.open[name]]
        generations = {o.above.generation for o in calls if o.above.probe}
        assert sum(o.above.probe for o in calls) == len(generations)
        for tenant in TENANTS:
            probes = [o.own.generation for o in self.open[tenant] if o.own.probe]
            assert len(probes) == len(set(probes))
            assert len(self.open[tenant]) <= 2

    @rule(tenant=tenants)
    def count_slots(self, tenant: str) -> None:
        taken = self.both(lambda s: s.count_leases(f"{tenant}/t/tool/pay", now=self.now))
        assert taken == len(self.open[tenant])


def ended(call: Open, nanos: int | None, how: str) -> CallEnd:
    """Return the end of a call; `None` for one that never started."""
    return CallEnd(
        reservation=None if call.held is None else call.ask.reservation,
        actual=None if nanos is None else Amount(nanos, tool_calls=1),
        breaker=RULE,
        key=call.ask.key,
        generation=call.own.generation,
        sample="neutral" if how == "given back" else how,  # type: ignore[arg-type]
        token=call.ask.token,
        slot=call.slot,
        upstream=Upstream(key=ABOVE.key, rule=ABOVE.rule, generation=call.above.generation),
        rate_at=call.at if nanos is None else None,
        scopes=tuple(scope.key for scope in call.ask.scopes),
        held=call.held or (),
        reserved=call.ask.amount,
    )


TestMoney = case_of(MoneyMachine)
