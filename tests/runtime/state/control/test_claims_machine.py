"""Claims and leases against simple models: one owner at a time, one effect, never more slots than the cap."""

from __future__ import annotations

from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from runtime.core.effects import ToolResult
from tests.runtime.state.control.twin import TwinMachine, case_of

REPEATABLE = {"k1": False, "k2": True}
keys = st.sampled_from(sorted(REPEATABLE))
LEASE_S = 5.0


class Key:
    """What the model remembers of one key."""

    def __init__(self) -> None:
        self.state = "free"
        self.args = ""
        self.fencing = 0
        self.expires_at = 0.0
        self.result: ToolResult | None = None
        self.wins = 0
        self.clean = 0

    def stands(self, now: float) -> str:
        """Return its state at a time."""
        return "in_doubt" if self.state == "claimed" and self.expires_at <= now else self.state


class ClaimsMachine(TwinMachine):
    def __init__(self) -> None:
        super().__init__()
        self.keys = {name: Key() for name in REPEATABLE}
        self.count = 0

    @rule(name=keys, owner=st.sampled_from(["a", "b"]), other=st.booleans())
    def claim(self, name: str, owner: str, other: bool) -> None:
        key, args = self.keys[name], "a2" if other else "a1"
        stands = key.stands(self.now)

        answer = self.both(
            lambda s: s.claim(
                name,
                args_hash=args,
                owner=owner,
                now=self.now,
                lease_s=LEASE_S,
                repeatable=REPEATABLE[name],
            )
        )

        wins = stands in ("free", "failed") or (stands == "in_doubt" and REPEATABLE[name])
        if args != (key.args or args) and stands != "failed":
            assert answer.verdict == "conflict"
        elif wins:
            key.args = args
            assert (answer.verdict, answer.claim.fencing) == ("won", key.fencing + 1)
            key.state, key.fencing, key.expires_at = "claimed", key.fencing + 1, self.now + LEASE_S
            key.wins += 1
        else:
            assert (
                answer.verdict == {"claimed": "busy", "done": "done", "in_doubt": "in_doubt"}[key_of(stands)]
            )
            assert stands not in ("done", "reconciled") or answer.claim.result == key.result

    @rule(name=keys, back=st.integers(0, 1), state=st.sampled_from(["done", "failed", "in_doubt"]))
    def end(self, name: str, back: int, state: Literal["done", "failed", "in_doubt"]) -> None:
        key = self.keys[name]
        fencing = key.fencing - back
        self.count += 1
        result = ToolResult(content=f"result {self.count}") if state == "done" else None
        stands = key.stands(self.now)

        change = self.both(
            lambda s: s.end_claim(name, fencing=fencing, state=state, now=self.now, result=result)
        )

        accepted = key.fencing > 0 and back == 0 and stands in ("claimed", "in_doubt")
        assert change.applied == accepted
        if accepted:
            key.state, key.result = state, result
            key.clean += state == "failed"

    @rule(name=keys, back=st.integers(0, 1))
    def renew(self, name: str, back: int) -> None:
        key = self.keys[name]
        alive = key.fencing > 0 and back == 0 and key.stands(self.now) == "claimed"

        renewed = self.both(
            lambda s: s.renew_claim(name, fencing=key.fencing - back, now=self.now, lease_s=LEASE_S)
        )

        assert renewed == alive
        if alive:
            key.expires_at = self.now + LEASE_S

    @rule(name=keys, happened=st.booleans())
    def reconcile(self, name: str, happened: bool) -> None:
        key = self.keys[name]
        in_doubt = key.stands(self.now) == "in_doubt"
        result = ToolResult(content="found") if happened else None

        change = self.both(
            lambda s: s.reconcile_claim(name, happened=happened, by="check", now=self.now, result=result)
        )

        assert change.applied == in_doubt
        if in_doubt:
            key.state, key.result = ("reconciled", result) if happened else ("failed", None)
            key.clean += not happened

    @invariant()
    def a_write_that_is_not_repeatable_is_won_again_only_after_it_certainly_did_not_happen(self) -> None:
        for name, key in self.keys.items():
            assert REPEATABLE[name] or key.wins <= 1 + key.clean

    @invariant()
    def what_is_looked_up_is_what_was_stored(self) -> None:
        for name, key in self.keys.items():
            found = self.both(lambda s, name=name: s.lookup_claim(name, now=self.now))  # type: ignore[misc]  # bound default
            assert (None if found is None else found.state) == (
                None if key.state == "free" else key.stands(self.now)
            )
            assert found is None or found.result == key.result


def key_of(stands: str) -> str:
    """Return the state that a verdict tells of."""
    return "done" if stands == "reconciled" else stands


class LeaseMachine(TwinMachine):
    def __init__(self) -> None:
        super().__init__()
        self.leases: dict[int, float] = {}
        self.last = 0

    def live(self) -> int:
        """Return how many slots are taken."""
        return sum(expires_at > self.now for expires_at in self.leases.values())

    @rule(cap=st.integers(0, 3), ttl_s=st.sampled_from([1.0, 6.0]))
    def acquire(self, cap: int, ttl_s: float) -> None:
        live = self.live()

        answer = self.both(lambda s: s.acquire_lease("l", cap=cap, owner="o", now=self.now, ttl_s=ttl_s))

        assert (answer.lease is not None) == (live < cap)
        if answer.lease is not None:
            self.last += 1
            assert (answer.lease.fencing, answer.live) == (self.last, live + 1)
            self.leases[self.last] = self.now + ttl_s

    @rule(back=st.integers(0, 4))
    def release(self, back: int) -> None:
        fencing = self.last - back
        held = self.leases.get(fencing, 0.0) > self.now

        first = [s.release_lease("l", fencing=fencing) for s in self.stores]
        again = self.both(lambda s: s.release_lease("l", fencing=fencing))

        assert not held or all(first)
        assert not again
        self.leases.pop(fencing, None)

    @rule(back=st.integers(0, 4))
    def renew(self, back: int) -> None:
        fencing = self.last - back
        held = self.leases.get(fencing, 0.0) > self.now

        assert self.both(lambda s: s.renew_lease("l", fencing=fencing, now=self.now, ttl_s=3.0)) == held
        if held:
            self.leases[fencing] = max(self.leases[fencing], self.now + 3.0)

    @invariant()
    def count_is_that_of_the_model(self) -> None:
        assert self.both(lambda s: s.count_leases("l", now=self.now)) == self.live()


TestClaims = case_of(ClaimsMachine)
TestLeases = case_of(LeaseMachine)
