"""The control store in memory, for tests and for runs whose limits need not outlive the process."""

from __future__ import annotations

from typing import Any, Literal

from runtime.control import approvals
from runtime.control.approvals import Approval, ApprovalChange, ApprovalState, Binding
from runtime.control.switches import Board, Switch, SwitchRef, check_ref, order
from runtime.ports.control_values import Act, Checkpoint, Run, RunKey, RunOpened, RunOwner, RunStopped
from runtime.state.control import run_changes
from runtime.testing.ram_calls import RamCalls
from runtime.testing.ram_claims import RamClaims
from runtime.testing.ram_guards import RamPart


class RamSwitches(RamPart):
    """`SwitchStore` in memory."""

    async def put_switch(self, switch: Switch) -> int:
        """Pull a switch."""
        check_ref(switch.ref)
        with self._lock:
            kept = [s for s in self._board.switches if s.ref != switch.ref]
            return self._set([*kept, switch])

    async def clear_switch(self, ref: SwitchRef) -> int:
        """Clear a switch."""
        check_ref(ref)
        with self._lock:
            kept = [s for s in self._board.switches if s.ref != ref]
            return self._board.epoch if len(kept) == len(self._board.switches) else self._set(kept)

    async def read_switches(self) -> Board:
        """Return the switches that are pulled now."""
        return self._board

    def _set(self, switches: list[Switch]) -> int:
        in_order = tuple(sorted(switches, key=lambda s: order(s.ref)))
        self._board = Board(epoch=self._board.epoch + 1, switches=in_order)
        return self._board.epoch


class RamApprovals(RamPart):
    """`ApprovalStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._approvals: dict[str, Approval] = {}

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
        """Request an approval."""
        opened = approvals.opened(binding, arguments=arguments, now=now, ttl_s=ttl_s, usable_s=usable_s)
        with self._lock:
            self._check_owner(run)
            return approvals.as_of(self._approvals.setdefault(opened.id, opened), now)

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
        """Decide an approval."""
        with self._lock:
            found = self._approvals.get(approval)
            change = approvals.decide(
                found, decision=decision, by=by, args_hash=args_hash, now=now, reason=reason
            )
            return self._changed_approval(change)

    async def use_approval(
        self, approval: str, *, binding: Binding, now: float, run: RunOwner | None = None
    ) -> ApprovalChange:
        """Use up a grant to start its call."""
        with self._lock:
            self._check_owner(run)
            return self._changed_approval(
                approvals.use(self._approvals.get(approval), binding=binding, now=now)
            )

    async def read_approval(self, approval: str, *, now: float) -> Approval | None:
        """Return an approval in its current state."""
        found = self._approvals.get(approval)
        return None if found is None else approvals.as_of(found, now)

    async def expire_approvals(self, *, now: float) -> int:
        """Mark approvals as expired that were not decided or used in time."""
        with self._lock:
            current = {key: approvals.as_of(each, now) for key, each in self._approvals.items()}
            count = sum(current[key] != each for key, each in self._approvals.items())
            self._approvals = current
        return count

    async def void_approvals(self, run: RunKey, *, now: float) -> int:
        """Void the pending approvals of a run that has ended."""
        where = (run.tenant, run.environment, run.request_id)
        with self._lock:
            void = [
                gone
                for each in self._approvals.values()
                if (each.binding.tenant, each.binding.environment, each.binding.request_id) == where
                and (gone := approvals.voided(each, now)) is not None
            ]
            self._approvals.update({each.id: each for each in void})
        return len(void)

    async def list_approvals(
        self,
        *,
        now: float,
        state: ApprovalState | None = "pending",
        tenant: str | None = None,
        limit: int = 100,
    ) -> tuple[Approval, ...]:
        """Return approvals in their current state, oldest first."""
        with self._lock:
            current = [approvals.as_of(each, now) for each in self._approvals.values()]
        found = [
            each for each in current if state in (None, each.state) and tenant in (None, each.binding.tenant)
        ]
        return tuple(sorted(found, key=lambda each: (each.opened_at, each.id)))[:limit]

    def _changed_approval(self, change: ApprovalChange) -> ApprovalChange:
        if change.approval is not None:
            self._approvals[change.approval.id] = change.approval
        return change


class RamRuns(RamPart):
    """`RunStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._checkpoints: dict[str, tuple[Checkpoint, ...]] = {}

    async def open_run(self, run: Run) -> RunOpened:
        """Add a run to the index."""
        with self._lock:
            found = self._runs.get(run.key)
            if found is None:
                self._runs[run.key] = run
                return RunOpened(first=True, conflict=False, run=run)
        return RunOpened(first=False, conflict=found.payload_hash != run.payload_hash, run=found)

    async def beat_run(self, key: RunKey, *, fencing: int, alive_until: float | None) -> bool:
        """Store a heartbeat: the run is alive until a time, or parked."""
        with self._lock:
            after = run_changes.beaten(self._runs.get(key), fencing=fencing, alive_until=alive_until)
            return self._changed_run(after) is not None

    async def resume_run(self, key: RunKey, *, now: float, alive_until: float | None) -> Run | None:
        """Take over a run."""
        with self._lock:
            return self._changed_run(
                run_changes.resumed(self._runs.get(key), now=now, alive_until=alive_until)
            )

    async def stop_run(self, key: RunKey, *, fencing: int, stop_reason: str, now: float) -> RunStopped:
        """Set the stop reason if there is none and nobody took the run over."""
        with self._lock:
            found = self._runs.get(key)
            after = run_changes.stopped(found, fencing=fencing, stop_reason=stop_reason, now=now)
            self._changed_run(after)
        return RunStopped(applied=after is not None, run=found if after is None else after)

    async def sweep_runs(self, *, now: float) -> tuple[Run, ...]:
        """Set `crashed` on runs that missed their heartbeat."""
        with self._lock:
            after = [run_changes.swept(run, now) for run in self._runs.values()]
            crashed = [run for run in after if self._changed_run(run) is not None and run is not None]
        return tuple(sorted(crashed, key=lambda run: (run.started_at, *_place(run))))

    async def find_runs(self, request_id: str) -> tuple[Run, ...]:
        """Return the runs of a request id, of any tenant."""
        with self._lock:
            found = [run for key, run in self._runs.items() if key.request_id == request_id]
        return tuple(sorted(found, key=_place))

    async def list_runs(
        self, *, tenant: str | None = None, open_only: bool = False, limit: int = 100
    ) -> tuple[Run, ...]:
        """Return runs, latest first."""
        with self._lock:
            found = [
                run
                for run in self._runs.values()
                if tenant in (None, run.key.tenant) and not (open_only and run.stop_reason is not None)
            ]
        return tuple(sorted(found, key=lambda run: (-run.started_at, *_place(run))))[:limit]

    async def append_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Append to its chain."""
        with self._lock:
            chain = self._checkpoints.get(checkpoint.chain, ())
            if chain and chain[-1].seq >= checkpoint.seq:
                return False
            self._checkpoints[checkpoint.chain] = (*chain, checkpoint)
        return True

    async def list_checkpoints(self, chain: str) -> tuple[Checkpoint, ...]:
        """Return the checkpoints of a chain in order."""
        return self._checkpoints.get(chain, ())

    def _changed_run(self, run: Run | None) -> Run | None:
        if run is not None:
            self._runs[run.key] = run
        return run


def _place(run: Run) -> tuple[str, str, str]:
    return (run.key.tenant, run.key.environment, run.key.request_id)


class RamActs(RamPart):
    """`ActStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._acts: list[Act] = []

    async def note_act(self, act: Act) -> None:
        """Store an act."""
        with self._lock:
            self._acts.append(act)

    async def list_acts(self, *, limit: int = 100) -> tuple[Act, ...]:
        """Return acts, latest first."""
        with self._lock:
            return tuple(reversed(self._acts))[:limit]


class RamControlStore(
    RamCalls,
    RamClaims,
    RamSwitches,
    RamApprovals,
    RamRuns,
    RamActs,
):
    """`runtime.ports.control_store.ControlStore` in memory; usable from any thread of one process."""

    def close(self) -> None:
        """Do nothing: there is no file to close."""
