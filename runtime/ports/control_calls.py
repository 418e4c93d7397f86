"""The part of the control store that guards calls: money, claims, slots, rates, breakers; protocols only.

The rules stand in `runtime.ports.control_store`.
"""

from __future__ import annotations

from typing import Protocol

from runtime.control.breaker import BreakerRule, BreakerVerdict, Phase, Sample
from runtime.control.claims import Claim, ClaimAnswer, ClaimChange, ClaimState, EndState
from runtime.control.ledger import Amount, Caps, Reserved, ScopeUse, Settled, SpendScope
from runtime.control.ratelimit import RateAnswer, RateRule
from runtime.core.effects import ToolResult
from runtime.ports.control_values import (
    Act,
    BreakerView,
    CallAnswer,
    CallAsk,
    CallEnd,
    LeaseAnswer,
    RunOwner,
)


class SpendStore(Protocol):
    """The ledger: reserve, then settle or release; see `runtime.control.ledger`."""

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
        """Hold an amount in all scopes, or in none.

        Args:
            reservation: Unique to this attempt; a repeated request with the same values holds nothing more.
            scopes: Run, parents, tenant-day, global; the first that refuses is reported.
            amount: The worst case.
            now: Epoch seconds.
            ttl_s: Seconds until the hold expires to its estimate; longer than the call's timeout.
            estimate: What counts as spent then, at most `amount`; `None` for all of it.
        """
        ...

    async def settle_spend(self, reservation: str, actual: Amount, *, now: float) -> Settled:
        """End a hold with what was used; does nothing to a hold that has ended."""
        ...

    async def release_spend(self, reservation: str, *, now: float) -> Settled:
        """End a hold whose call never started; does nothing to a hold that has ended."""
        ...

    async def expire_spend(self, *, now: float) -> int:
        """Turn holds that expired into their estimates; return how many."""
        ...

    async def read_spend(self, keys: tuple[str, ...], *, now: float) -> tuple[ScopeUse, ...]:
        """Return the use of some scopes in their order, of unused ones too; what expired counts as spent."""
        ...

    async def list_spend(self, *, now: float, prefix: str = "", limit: int = 100) -> tuple[ScopeUse, ...]:
        """Return the scopes whose key starts with a prefix, by key."""
        ...

    async def put_caps(self, key: str, caps: Caps | None, *, act: Act | None = None) -> None:
        """Set an operator's caps of a scope, which replace what callers bring; `None` removes them."""
        ...

    async def prune_spend(self, *, before: float, limit: int = 1000) -> int:
        """Forget at most so many ended holds that would have expired before a time; return how many. Sums stay."""
        ...


class ClaimStore(Protocol):
    """Idempotency claims; see `runtime.control.claims`."""

    async def claim(
        self,
        key: str,
        *,
        args_hash: str,
        owner: str,
        now: float,
        lease_s: float,
        repeatable: bool = False,
        keep_s: float | None = None,
        run: RunOwner | None = None,
        epoch: int | None = None,
    ) -> ClaimAnswer:
        """Ask to carry out a write; exactly one owner wins at a time. See `runtime.control.claims.take`.

        Raises:
            RunTakenOver: If the run has another owner.
            SwitchesChanged: If the switches are of another epoch; `None` to claim under any.
        """
        ...

    async def renew_claim(self, key: str, *, fencing: int, now: float, lease_s: float) -> bool:
        """Extend a claim; false if it lapsed, ended or was taken over."""
        ...

    async def end_claim(
        self,
        key: str,
        *,
        fencing: int,
        state: EndState,
        now: float,
        result: ToolResult | None = None,
        note: str | None = None,
    ) -> ClaimChange:
        """Say what became of the call; a result is stored in the same operation."""
        ...

    async def reconcile_claim(
        self,
        key: str,
        *,
        happened: bool,
        by: str,
        now: float,
        result: ToolResult | None = None,
        act: Act | None = None,
    ) -> ClaimChange:
        """Say what was found out about a call in doubt."""
        ...

    async def lookup_claim(self, key: str, *, now: float) -> Claim | None:
        """Return what is known of a key; a claim that lapsed shows as in doubt."""
        ...

    async def list_claims(self, *, state: ClaimState, now: float, limit: int = 100) -> tuple[Claim, ...]:
        """Return the claims in a state, by key."""
        ...


class LeaseStore(Protocol):
    """Concurrency caps."""

    async def acquire_lease(
        self, name: str, *, cap: int, owner: str, now: float, ttl_s: float
    ) -> LeaseAnswer:
        """Take a slot if fewer than `cap` are taken. Each lease has a fencing number of its own."""
        ...

    async def renew_lease(self, name: str, *, fencing: int, now: float, ttl_s: float) -> bool:
        """Extend a lease (at a third of its time); false if it lapsed or was released."""
        ...

    async def release_lease(self, name: str, *, fencing: int) -> bool:
        """Give a slot back; releasing twice is harmless and false."""
        ...

    async def count_leases(self, name: str, *, now: float) -> int:
        """Return how many slots are taken."""
        ...


class RateStore(Protocol):
    """Rate limits; see `runtime.control.ratelimit`."""

    async def take_rate(self, key: str, rule: RateRule, *, now: float, cost: int = 1) -> RateAnswer:
        """Take tokens, all or none."""
        ...


class BreakerStore(Protocol):
    """Circuit breakers; see `runtime.control.breaker`."""

    async def ask_breaker(self, key: str, rule: BreakerRule, *, now: float, token: str) -> BreakerVerdict:
        """Return whether a call may start; at most one caller gets the probe."""
        ...

    async def report_breaker(
        self, key: str, rule: BreakerRule, *, now: float, generation: int, sample: Sample, token: str
    ) -> Phase:
        """Tell a call's result under the verdict's generation; return the phase after it."""
        ...

    async def close_breaker(self, key: str, *, act: Act | None = None) -> bool:
        """Close a breaker by hand; false if it is closed or not known."""
        ...

    async def list_breakers(self, *, prefix: str = "") -> tuple[BreakerView, ...]:
        """Return the breakers whose key starts with a prefix, by key."""
        ...


class CallStore(Protocol):
    """All that guards one call, at once: what `BreakerStore`, `LeaseStore`, `SpendStore` and `RateStore` do singly."""

    async def admit_call(self, ask: CallAsk, *, now: float) -> CallAnswer:
        """Ask breaker, slots, ledger and rate in this order; the first that refuses leaves all as they were.

        The calls that end with it (`ask.ends`) end first, and have ended whatever becomes of this one.

        Raises:
            ValueError: As `reserve_spend` and `take_rate`.
            RunTakenOver: If the run has another owner.
            SwitchesChanged: If the switches are of another epoch.
        """
        ...

    async def end_calls(self, ends: tuple[CallEnd, ...], *, now: float) -> None:
        """Settle (or release) calls' holds, tell their breakers and give their slots back; what has ended stays so."""
        ...
