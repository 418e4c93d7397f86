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
from runtime.control.switches import Board, Switch, SwitchRef
from runtime.ports.control_calls import (
    BreakerStore,
    CallStore,
    ClaimStore,
    LeaseStore,
    RateStore,
    SpendStore,
)
from runtime.ports.control_values import (
    Act,
    Checkpoint,
    Run,
    RunKey,
    RunOpened,
    RunOwner,
    RunStopped,
    Worker,
)


class SwitchStore(Protocol):
    """Kill and disable switches; see `runtime.control.switches`."""

    async def put_switch(self, switch: Switch, *, act: Act | None = None) -> int:
        """Pull a switch; once this returns, every later read in any process sees it. Returns the epoch."""
        ...

    async def clear_switch(self, ref: SwitchRef, *, act: Act | None = None) -> int:
        """Put a switch back, if it is pulled; return the epoch."""
        ...

    async def read_switches(self) -> Board:
        """Return the switches that are pulled now, never from an earlier epoch."""
        ...


class WorkerStore(Protocol):
    """The workers: event loops that have runs, and the switches that each of them has seen."""

    async def beat_worker(self, worker: Worker) -> None:
        """Say that a worker is alive until a time, and of which epoch the switches are that it acts on."""
        ...

    async def end_worker(self, worker: str) -> None:
        """Forget a worker that has no runs any more."""
        ...

    async def list_workers(self, *, now: float) -> tuple[Worker, ...]:
        """Return the workers that are alive, by id."""
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
        act: Act | None = None,
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
    """What operators did. An act that changes the store is kept in the operation that makes its change (`act`)."""

    async def note_act(self, act: Act) -> None:
        """Keep an act that changes nothing in the store."""
        ...

    async def unread_acts(self, reader: str, *, limit: int = 100) -> tuple[Act, ...]:
        """Return the acts that a reader has not marked, in order."""
        ...

    async def mark_acts(self, reader: str, *, seq: int) -> None:
        """Mark the acts up to a number as read by a reader; a lower number than before changes nothing."""
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
    WorkerStore,
    ApprovalStore,
    RunStore,
    ActStore,
    Protocol,
):
    """All of the control state."""

    def close(self) -> None:
        """Let go of files and connections, once what was asked is done; closing twice is harmless."""
        ...
