"""The ledger against a list of holds: each reservation has one effect, and no cap is ever passed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from runtime.control.ledger import Amount, Caps, SpendScope
from tests.runtime.state.control.twin import TwinMachine, case_of

SCOPES = {
    "acme/prod/run/1": Caps(nanos=12, tool_calls=3),
    "acme/prod/run/2": Caps(nanos=9),
    "acme/prod/day/1": Caps(nanos=15, tokens=40),
    "*": Caps(tokens=60),
}
amounts = st.builds(Amount, st.integers(0, 6), st.integers(0, 15), st.integers(0, 1))
names = st.sampled_from([f"r{n}" for n in range(12)])


@dataclass(frozen=True)
class Entry:
    """What the model remembers of one reservation."""

    scopes: frozenset[str]
    amount: Amount
    estimate: Amount
    expires_at: float
    ended: str | None = None
    actual: Amount | None = None

    def at(self, now: float) -> Entry:
        """Return the entry as it stands at a time."""
        if self.ended is None and self.expires_at <= now:
            return replace(self, ended="expired", actual=self.estimate)
        return self


class SpendMachine(TwinMachine):
    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, Entry] = {}

    def used(self, scope: str) -> Amount:
        """Return spent and held of a scope."""
        now = [entry.at(self.now) for entry in self.entries.values() if scope in entry.scopes]
        return sum((e.amount if e.actual is None else e.actual for e in now), Amount())

    def first_full(self, scopes: list[str], amount: Amount) -> tuple[str, str] | None:
        """Return scope and unit of the first cap that an amount would pass."""
        for scope in scopes:
            after, caps = self.used(scope) + amount, SCOPES[scope]
            for unit in ("nanos", "tokens", "tool_calls"):
                cap = getattr(caps, unit)
                if cap is not None and getattr(amount, unit) and getattr(after, unit) > cap:
                    return scope, unit
        return None

    @rule(
        name=names,
        scopes=st.permutations(sorted(SCOPES)).flatmap(
            lambda order: st.integers(1, 4).map(lambda n: order[:n])
        ),
        amount=amounts,
        percent=st.sampled_from([None, 0, 50, 100]),
        ttl_s=st.sampled_from([1.0, 4.0, 50.0]),
    )
    def reserve(
        self, name: str, scopes: list[str], amount: Amount, percent: int | None, ttl_s: float
    ) -> None:
        part = 100 if percent is None else percent
        estimate = Amount(
            amount.nanos * part // 100, amount.tokens * part // 100, amount.tool_calls * part // 100
        )
        wanted = tuple(SpendScope(scope, SCOPES[scope]) for scope in scopes)
        known = self.entries.get(name)
        full = self.first_full(scopes, amount)

        answer = self.both(
            lambda s: s.reserve_spend(
                name,
                wanted,
                amount,
                now=self.now,
                ttl_s=ttl_s,
                estimate=None if percent is None else estimate,
            )
        )

        if known is not None:
            same = (known.scopes, known.amount, known.estimate) == (frozenset(scopes), amount, estimate)
            ended = known.at(self.now).ended is not None
            assert answer.granted == answer.repeated == (same and not ended)
            assert answer.why == ("ended" if ended else None if same else "other")
        elif full is not None:
            assert (answer.granted, answer.why) == (False, "cap")
            assert answer.refusal is not None
            assert (answer.refusal.scope, answer.refusal.unit) == full
        else:
            assert answer.granted
            self.entries[name] = Entry(frozenset(scopes), amount, estimate, self.now + ttl_s)

    @rule(name=names, share=st.integers(0, 4))
    def settle(self, name: str, share: int) -> None:
        known = self.entries.get(name)
        whole = Amount() if known is None else known.amount
        actual = Amount(whole.nanos * share // 4, whole.tokens * share // 4, whole.tool_calls)

        self._ends(name, "settled", actual)

    @rule(name=names)
    def release(self, name: str) -> None:
        self._ends(name, "released", Amount())

    def _ends(self, name: str, state: str, actual: Amount) -> None:
        known = self.entries.get(name)
        entry = None if known is None else known.at(self.now)

        answer = self.both(
            lambda s: (
                s.settle_spend(name, actual, now=self.now)
                if state == "settled"
                else s.release_spend(name, now=self.now)
            )
        )

        if entry is None:
            assert (answer.applied, answer.state) == (False, None)
        elif entry.ended is not None:
            assert (answer.applied, answer.state) == (False, entry.ended)
        else:
            assert (answer.applied, answer.state) == (True, state)
            self.entries[name] = replace(entry, ended=state, actual=actual)

    @rule()
    def expire(self) -> None:
        self.both(lambda s: s.read_spend(tuple(SCOPES), now=self.now))

        assert self.both(lambda s: s.expire_spend(now=self.now)) == 0

    @invariant()
    def sums_are_those_of_the_holds_and_below_their_caps(self) -> None:
        for use in self.both(lambda s: s.read_spend(tuple(SCOPES), now=self.now)):
            total, caps = use.spent + use.held, SCOPES[use.key]
            assert total == self.used(use.key)
            assert caps.nanos is None or total.nanos <= caps.nanos
            assert caps.tokens is None or total.tokens <= caps.tokens


TestSpend = case_of(SpendMachine)
