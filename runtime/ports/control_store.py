"""The durable control state behind the guards: protocols only.

Rules for every store.
1. Each method is one atomic operation; when it returns, what it says is stored. It never works on the event loop of
   its caller, and it answers, or is refused, within the store's deadline, whatever holds the store up. The caller may
   be cancelled meanwhile: then the operation may have taken place or not.
2. Times are `now`, epoch seconds of the caller's clock port (anchored to a monotonic clock, so that a jump of the
   wall clock changes no lease); a store never reads a clock. Something with an expiry is live while
   `now < expires_at`.
3. Several rows are locked in the order of their sorted keys, whatever order they are named in.
4. Spend, leases, rates, breakers and runs survive a process crash; claims, approvals, switches, acts and checkpoints
   also a power loss.
5. A store that cannot be read or written raises `ControlUnavailable`; it never answers from a guess. Wrong
   arguments raise `ValueError`. Everything else is an answer.
6. An operation for a run names its owner (`RunOwner`): the run and the number under which this process has it. One
   that was taken over gets `RunTakenOver`, and changes nothing.
7. An operation that lets something start names the epoch of the switches that its caller knows. If they have changed
   since, it raises `SwitchesChanged`, and changes nothing.
8. Keys are made by `runtime.control.scopes`, so that every key starts with tenant and environment.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from runtime.control.approvals import Approval, ApprovalChange, ApprovalState, Binding
from runtime.control.breaker import BreakerRule, BreakerVerdict, Phase, Sample
from runtime.control.claims import Claim, ClaimAnswer, ClaimChange, ClaimState, EndState
from runtime.control.ledger import Amount, Caps, Reserved, ScopeUse, Settled, SpendScope
from runtime.control.ratelimit import RateAnswer, RateRule
from runtime.control.switches import Board, Switch, SwitchRef
from runtime.core.effects import ToolResult
from runtime.ports.control_values import (
    Act,
    BreakerView,
    CallAnswer,
    CallAsk,
    CallEnd,
    Checkpoint,
    LeaseAnswer,
    Run,
    RunKey,
    RunOpened,
    RunOwner,
    RunStopped,
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

    async def put_caps(self, key: str, caps: Caps | None) -> None:
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
        self, key: str, *, happened: bool, by: str, now: float, result: ToolResult | None = None
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

    async def close_breaker(self, key: str) -> bool:
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


class SwitchStore(Protocol):
    """Kill and disable switches; see `runtime.control.switches`."""

    async def put_switch(self, switch: Switch) -> int:
        """Pull a switch; once this returns, every later read in any process sees it. Returns the epoch."""
        ...

    async def clear_switch(self, ref: SwitchRef) -> int:
        """Put a switch back, if it is pulled; return the epoch."""
        ...

    async def read_switches(self) -> Board:
        """Return the switches that are pulled now, never from an earlier epoch."""
        ...


class ApprovalStore(Protocol):
    """Approvals; see `runtime.control.approvals`."""

    async def open_approval(
        self,
        binding: Binding,
        *,
        arguments: Any,
        now: float,
        ttl_s: float,
        usable_s: float = 3600.0,
        run: RunOwner | None = None,
    ) -> Approval:
        """Ask about a call; the same call finds the approval it opened before, whatever became of it.

        Raises:
            RunTakenOver: If the run has another owner.
        """
        ...

    async def decide_approval(
        self,
        approval: str,
        *,
        decision: Literal["granted", "denied"],
        by: str,
        args_hash: str,
        now: float,
        reason: str | None = None,
    ) -> ApprovalChange:
        """Answer; a late or second answer, or one to other arguments, changes nothing and says why."""
        ...

    async def use_approval(
        self, approval: str, *, binding: Binding, now: float, run: RunOwner | None = None
    ) -> ApprovalChange:
        """Use up a grant to start its call; exactly one caller gets `applied`.

        Raises:
            RunTakenOver: If the run has another owner.
        """
        ...

    async def read_approval(self, approval: str, *, now: float) -> Approval | None:
        """Return an approval as it stands."""
        ...

    async def expire_approvals(self, *, now: float) -> int:
        """Store as expired what was not decided or used in time; return how many."""
        ...

    async def void_approvals(self, run: RunKey, *, now: float) -> int:
        """Void what a run that is over still waits for, so that a late click does nothing; return how many."""
        ...

    async def list_approvals(
        self,
        *,
        now: float,
        state: ApprovalState | None = "pending",
        tenant: str | None = None,
        limit: int = 100,
    ) -> tuple[Approval, ...]:
        """Return approvals as they stand, oldest first; `None` for every state or tenant."""
        ...


class RunStore(Protocol):
    """The index of runs by request id, and the audit checkpoints."""

    async def open_run(self, run: Run) -> RunOpened:
        """Enter a run; a second delivery of its request id gets the first run."""
        ...

    async def beat_run(self, key: RunKey, *, fencing: int, alive_until: float | None) -> bool:
        """Say that a run is alive until a time, or (`None`) parked; false if it ended or was taken over.

        A run that was swept as `crashed`, and that nobody took over, is not: its owner was only silent.
        """
        ...

    async def resume_run(self, key: RunKey, *, now: float, alive_until: float | None) -> Run | None:
        """Take over a run that crashed, is parked or missed its heartbeat, under the next fencing number.

        Returns `None` if it is not known, alive, or has a stop reason other than `crashed`.
        """
        ...

    async def stop_run(self, key: RunKey, *, fencing: int, stop_reason: str, now: float) -> RunStopped:
        """Set the stop reason if there is none, or `crashed`, and nobody took the run over."""
        ...

    async def sweep_runs(self, *, now: float) -> tuple[Run, ...]:
        """Set `crashed` on runs that missed their heartbeat; return them."""
        ...

    async def find_runs(self, request_id: str) -> tuple[Run, ...]:
        """Return the runs of a request id, of any tenant."""
        ...

    async def list_runs(
        self, *, tenant: str | None = None, open_only: bool = False, limit: int = 100
    ) -> tuple[Run, ...]:
        """Return runs, latest first."""
        ...

    async def append_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Append to its chain; false if the chain is already at this entry or a later one."""
        ...

    async def list_checkpoints(self, chain: str) -> tuple[Checkpoint, ...]:
        """Return the checkpoints of a chain in order."""
        ...


class ActStore(Protocol):
    """What operators did, beside what their acts changed."""

    async def note_act(self, act: Act) -> None:
        """Keep an act."""
        ...

    async def list_acts(self, *, limit: int = 100) -> tuple[Act, ...]:
        """Return acts, latest first."""
        ...


class ControlStore(
    SpendStore,
    ClaimStore,
    LeaseStore,
    RateStore,
    BreakerStore,
    CallStore,
    SwitchStore,
    ApprovalStore,
    RunStore,
    ActStore,
    Protocol,
):
    """All of the control state."""

    def close(self) -> None:
        """Let go of files and connections, once what was asked is done; closing twice is harmless."""
        ...
