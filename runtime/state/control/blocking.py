"""A control store for code without an event loop: commands, scripts, tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Literal, TypeVar

from runtime.control.approvals import Approval, ApprovalChange, ApprovalState, Binding
from runtime.control.breaker import BreakerRule, BreakerVerdict, Phase, Sample
from runtime.control.claims import Claim, ClaimAnswer, ClaimChange, ClaimState, EndState
from runtime.control.ledger import Amount, Caps, Reserved, ScopeUse, Settled, SpendScope
from runtime.control.ratelimit import RateAnswer, RateRule
from runtime.control.switches import Board, Switch, SwitchRef
from runtime.core.effects import ToolResult
from runtime.ports.control_store import ControlStore
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
    Worker,
)

T = TypeVar("T")


class _Blocking:
    """A loop of its own, on which the operations of a store run."""

    def __init__(self, store: ControlStore) -> None:
        """Take over a store; `close` closes it too."""
        self.store = store
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def close(self) -> None:
        """Close the store; closing twice is harmless."""
        self.store.close()
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def ask(self, operation: Coroutine[Any, Any, T]) -> T:
        """Return the answer of an operation."""
        return asyncio.run_coroutine_threadsafe(operation, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                name = "goldrun-control-blocking"
                threading.Thread(target=_run, args=(self._loop,), name=name, daemon=True).start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, then close it."""
    try:
        loop.run_forever()
    finally:
        loop.close()


class BlockingControlStore(_Blocking):
    """The operations of a control store, each waited for.

    They run on an event loop of their own, in a thread of their own. So they may be called from any thread. Called
    from a coroutine they would hold up its event loop: there, await those of `store`.

    Attributes:
        store: The control store.
    """

    def reserve_spend(
        self,
        reservation: str,
        scopes: tuple[SpendScope, ...],
        amount: Amount,
        *,
        now: float,
        ttl_s: float,
        estimate: Amount | None = None,
    ) -> Reserved:
        """Hold an amount in all scopes, or in none."""
        return self.ask(
            self.store.reserve_spend(reservation, scopes, amount, now=now, ttl_s=ttl_s, estimate=estimate)
        )

    def settle_spend(self, reservation: str, actual: Amount, *, now: float) -> Settled:
        """End a hold with what was used; does nothing to a hold that has ended."""
        return self.ask(self.store.settle_spend(reservation, actual, now=now))

    def release_spend(self, reservation: str, *, now: float) -> Settled:
        """End a hold whose call never started; does nothing to a hold that has ended."""
        return self.ask(self.store.release_spend(reservation, now=now))

    def expire_spend(self, *, now: float) -> int:
        """Turn holds that expired into their estimates; return how many."""
        return self.ask(self.store.expire_spend(now=now))

    def read_spend(self, keys: tuple[str, ...], *, now: float) -> tuple[ScopeUse, ...]:
        """Return the use of some scopes in their order, of unused ones too; what expired counts as spent."""
        return self.ask(self.store.read_spend(keys, now=now))

    def list_spend(self, *, now: float, prefix: str = "", limit: int = 100) -> tuple[ScopeUse, ...]:
        """Return the scopes whose key starts with a prefix, by key."""
        return self.ask(self.store.list_spend(now=now, prefix=prefix, limit=limit))

    def put_caps(self, key: str, caps: Caps | None, *, act: Act | None = None) -> None:
        """Set an operator's caps of a scope, which replace what callers bring; `None` removes them."""
        return self.ask(self.store.put_caps(key, caps, act=act))

    def prune_spend(self, *, before: float, limit: int = 1000) -> int:
        """Forget at most so many ended holds that would have expired before a time; return how many. Sums stay."""
        return self.ask(self.store.prune_spend(before=before, limit=limit))

    def claim(
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
        """Ask to carry out a write; exactly one owner wins at a time. See `runtime.control.claims.take`."""
        return self.ask(
            self.store.claim(
                key,
                args_hash=args_hash,
                owner=owner,
                now=now,
                lease_s=lease_s,
                repeatable=repeatable,
                keep_s=keep_s,
                run=run,
                epoch=epoch,
            )
        )

    def renew_claim(self, key: str, *, fencing: int, now: float, lease_s: float) -> bool:
        """Extend a claim; false if it lapsed, ended or was taken over."""
        return self.ask(self.store.renew_claim(key, fencing=fencing, now=now, lease_s=lease_s))

    def end_claim(
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
        return self.ask(
            self.store.end_claim(key, fencing=fencing, state=state, now=now, result=result, note=note)
        )

    def reconcile_claim(
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
        return self.ask(
            self.store.reconcile_claim(key, happened=happened, by=by, now=now, result=result, act=act)
        )

    def lookup_claim(self, key: str, *, now: float) -> Claim | None:
        """Return what is known of a key; a claim that lapsed shows as in doubt."""
        return self.ask(self.store.lookup_claim(key, now=now))

    def list_claims(self, *, state: ClaimState, now: float, limit: int = 100) -> tuple[Claim, ...]:
        """Return the claims in a state, by key."""
        return self.ask(self.store.list_claims(state=state, now=now, limit=limit))

    def acquire_lease(self, name: str, *, cap: int, owner: str, now: float, ttl_s: float) -> LeaseAnswer:
        """Take a slot if fewer than `cap` are taken. Each lease has a fencing number of its own."""
        return self.ask(self.store.acquire_lease(name, cap=cap, owner=owner, now=now, ttl_s=ttl_s))

    def renew_lease(self, name: str, *, fencing: int, now: float, ttl_s: float) -> bool:
        """Extend a lease (at a third of its time); false if it lapsed or was released."""
        return self.ask(self.store.renew_lease(name, fencing=fencing, now=now, ttl_s=ttl_s))

    def release_lease(self, name: str, *, fencing: int) -> bool:
        """Give a slot back; releasing twice is harmless and false."""
        return self.ask(self.store.release_lease(name, fencing=fencing))

    def count_leases(self, name: str, *, now: float) -> int:
        """Return how many slots are taken."""
        return self.ask(self.store.count_leases(name, now=now))

    def take_rate(self, key: str, rule: RateRule, *, now: float, cost: int = 1) -> RateAnswer:
        """Take tokens, all or none."""
        return self.ask(self.store.take_rate(key, rule, now=now, cost=cost))

    def ask_breaker(self, key: str, rule: BreakerRule, *, now: float, token: str) -> BreakerVerdict:
        """Return whether a call may start; at most one caller gets the probe."""
        return self.ask(self.store.ask_breaker(key, rule, now=now, token=token))

    def report_breaker(
        self, key: str, rule: BreakerRule, *, now: float, generation: int, sample: Sample, token: str
    ) -> Phase:
        """Tell a call's result under the verdict's generation; return the phase after it."""
        return self.ask(
            self.store.report_breaker(key, rule, now=now, generation=generation, sample=sample, token=token)
        )

    def close_breaker(self, key: str, *, act: Act | None = None) -> bool:
        """Close a breaker by hand; false if it is closed or not known."""
        return self.ask(self.store.close_breaker(key, act=act))

    def list_breakers(self, *, prefix: str = "") -> tuple[BreakerView, ...]:
        """Return the breakers whose key starts with a prefix, by key."""
        return self.ask(self.store.list_breakers(prefix=prefix))

    def admit_call(self, ask: CallAsk, *, now: float) -> CallAnswer:
        """Ask breaker, slots, ledger and rate in this order; the first that refuses leaves all as they were."""
        return self.ask(self.store.admit_call(ask, now=now))

    def end_calls(self, ends: tuple[CallEnd, ...], *, now: float) -> None:
        """Settle (or release) calls' holds, tell their breakers and give their slots back; what has ended stays so."""
        return self.ask(self.store.end_calls(ends, now=now))

    def put_switch(self, switch: Switch, *, act: Act | None = None) -> int:
        """Pull a switch; once this returns, every later read in any process sees it. Returns the epoch."""
        return self.ask(self.store.put_switch(switch, act=act))

    def clear_switch(self, ref: SwitchRef, *, act: Act | None = None) -> int:
        """Put a switch back, if it is pulled; return the epoch."""
        return self.ask(self.store.clear_switch(ref, act=act))

    def read_switches(self) -> Board:
        """Return the switches that are pulled now, never from an earlier epoch."""
        return self.ask(self.store.read_switches())

    def beat_worker(self, worker: Worker) -> None:
        """Say that a worker is alive until a time, and of which epoch the switches are that it acts on."""
        return self.ask(self.store.beat_worker(worker))

    def end_worker(self, worker: str) -> None:
        """Forget a worker that has no runs any more."""
        return self.ask(self.store.end_worker(worker))

    def list_workers(self, *, now: float) -> tuple[Worker, ...]:
        """Return the workers that are alive, by id."""
        return self.ask(self.store.list_workers(now=now))

    def open_approval(
        self,
        binding: Binding,
        *,
        arguments: Any,
        now: float,
        ttl_s: float,
        usable_s: float = 3600.0,
        run: RunOwner | None = None,
    ) -> Approval:
        """Ask about a call; the same call finds the approval it opened before, whatever became of it."""
        return self.ask(
            self.store.open_approval(
                binding, arguments=arguments, now=now, ttl_s=ttl_s, usable_s=usable_s, run=run
            )
        )

    def decide_approval(
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
        return self.ask(
            self.store.decide_approval(
                approval, decision=decision, by=by, args_hash=args_hash, now=now, reason=reason, act=act
            )
        )

    def use_approval(
        self, approval: str, *, binding: Binding, now: float, run: RunOwner | None = None
    ) -> ApprovalChange:
        """Use up a grant to start its call; exactly one caller gets `applied`."""
        return self.ask(self.store.use_approval(approval, binding=binding, now=now, run=run))

    def read_approval(self, approval: str, *, now: float) -> Approval | None:
        """Return an approval as it stands."""
        return self.ask(self.store.read_approval(approval, now=now))

    def expire_approvals(self, *, now: float) -> int:
        """Store as expired what was not decided or used in time; return how many."""
        return self.ask(self.store.expire_approvals(now=now))

    def void_approvals(self, run: RunKey, *, now: float) -> int:
        """Void what a run that is over still waits for, so that a late click does nothing; return how many."""
        return self.ask(self.store.void_approvals(run, now=now))

    def list_approvals(
        self,
        *,
        now: float,
        state: ApprovalState | None = "pending",
        tenant: str | None = None,
        limit: int = 100,
    ) -> tuple[Approval, ...]:
        """Return approvals as they stand, oldest first; `None` for every state or tenant."""
        return self.ask(self.store.list_approvals(now=now, state=state, tenant=tenant, limit=limit))

    def open_run(self, run: Run) -> RunOpened:
        """Enter a run; a second delivery of its request id gets the first run."""
        return self.ask(self.store.open_run(run))

    def beat_run(self, key: RunKey, *, fencing: int, alive_until: float | None) -> bool:
        """Say that a run is alive until a time, or (`None`) parked; false if it ended or was taken over."""
        return self.ask(self.store.beat_run(key, fencing=fencing, alive_until=alive_until))

    def resume_run(self, key: RunKey, *, now: float, alive_until: float | None) -> Run | None:
        """Take over a run that crashed, is parked or missed its heartbeat, under the next fencing number."""
        return self.ask(self.store.resume_run(key, now=now, alive_until=alive_until))

    def stop_run(self, key: RunKey, *, fencing: int, stop_reason: str, now: float) -> RunStopped:
        """Set the stop reason if there is none, or `crashed`, and nobody took the run over."""
        return self.ask(self.store.stop_run(key, fencing=fencing, stop_reason=stop_reason, now=now))

    def sweep_runs(self, *, now: float) -> tuple[Run, ...]:
        """Set `crashed` on runs that missed their heartbeat; return them."""
        return self.ask(self.store.sweep_runs(now=now))

    def find_runs(self, request_id: str) -> tuple[Run, ...]:
        """Return the runs of a request id, of any tenant."""
        return self.ask(self.store.find_runs(request_id))

    def list_runs(
        self, *, tenant: str | None = None, open_only: bool = False, limit: int = 100
    ) -> tuple[Run, ...]:
        """Return runs, latest first."""
        return self.ask(self.store.list_runs(tenant=tenant, open_only=open_only, limit=limit))

    def append_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Append to its chain; false if the chain is already at this entry or a later one."""
        return self.ask(self.store.append_checkpoint(checkpoint))

    def list_checkpoints(self, chain: str) -> tuple[Checkpoint, ...]:
        """Return the checkpoints of a chain in order."""
        return self.ask(self.store.list_checkpoints(chain))

    def note_act(self, act: Act) -> None:
        """Keep an act that changes nothing in the store."""
        return self.ask(self.store.note_act(act))

    def unread_acts(self, reader: str, *, limit: int = 100) -> tuple[Act, ...]:
        """Return the acts that a reader has not marked, in order."""
        return self.ask(self.store.unread_acts(reader, limit=limit))

    def mark_acts(self, reader: str, *, seq: int) -> None:
        """Mark the acts up to a number as read by a reader; a lower number than before changes nothing."""
        return self.ask(self.store.mark_acts(reader, seq=seq))

    def list_acts(self, *, limit: int = 100) -> tuple[Act, ...]:
        """Return acts, latest first."""
        return self.ask(self.store.list_acts(limit=limit))
