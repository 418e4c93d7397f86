"""The governor: one for each process, it holds the control store, its clock, and the watch over switches.

While runs are live on an event loop, one task of that loop reads the switches every `poll_s` and interrupts the
runs they concern, renews what the runs hold, and says that they are alive. Now and then it has a thread sweep up
after others: runs that are no longer heard of, and holds that ended long ago.
"""

from __future__ import annotations

import asyncio
import contextlib

from runtime.control.switches import Board, Target, refusal
from runtime.core.run import Header
from runtime.execution.bounded import GRACE_S
from runtime.execution.clock import Clock, SystemClock
from runtime.execution.grants import Grants
from runtime.execution.rules import ControlRules
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable, Run, RunKey, RunOpened

ALIVE_S = 60.0
"""A run that is not heard of for so long counts as crashed."""

_SWEEP_S = ALIVE_S / 2
_PRUNE_S = 600.0
_KEPT_S = 86_400.0
"""How long a hold that ended is kept: nobody settles it again after that."""
_PRUNE_ROUNDS = 50
"""Bounds the work of one pruning, which goes on with the next."""


class Governor:
    """Guards the runs of a process by the control store.

    Attributes:
        store: Where the control state is.
        rules: Limits across runs.
    """

    def __init__(
        self, store: ControlStore, rules: ControlRules | None = None, *, clock: Clock | None = None
    ) -> None:
        self.store = store
        self.rules = rules or ControlRules()
        self._clock = clock or SystemClock()
        # Anchored once: a jump of the wall clock must not end leases or open breakers.
        self._anchor = self._clock.now().timestamp() - self._clock.monotonic_s()
        self._live: dict[asyncio.AbstractEventLoop, set[RunGovernor]] = {}
        self._watchers: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}
        self._board = Board()
        self._board_at = float("-inf")
        self._swept_at = self._pruned_at = float("-inf")

    def now(self) -> float:
        """Return epoch seconds of a clock that never goes back."""
        return self._anchor + self._clock.monotonic_s()

    def open_run(self, header: Header, *, payload_hash: str) -> RunOpened:
        """Enter a run in the index; a second delivery of its request id is told of the first.

        Raises:
            ControlUnavailable: If the store cannot be written.
        """
        now = self.now()
        return self.store.open_run(
            Run(
                key=key_of(header),
                run_id=header.run_id,
                agent=header.agent,
                started_at=now,
                payload_hash=payload_hash,
                parent=header.parent,
                deploy=header.deploy,
                policy_hash=header.policy_hash,
                alive_until=now + ALIVE_S,
            )
        )

    def attend(self, header: Header, *, fencing: int = 1) -> RunGovernor:
        """Return the guard of a run; the running event loop watches over it until it is closed."""
        governor = RunGovernor(self, header, fencing=fencing)
        loop = asyncio.get_running_loop()
        self._live.setdefault(loop, set()).add(governor)
        if loop not in self._watchers or self._watchers[loop].done():
            self._watchers[loop] = loop.create_task(self._watch(loop), name="goldrun-control-watch")
        return governor

    def board(self, *, fresh: bool) -> Board:
        """Return the pulled switches; the last known ones for a while if they need not be fresh.

        Raises:
            ControlUnavailable: If they cannot be read.
        """
        try:
            self._board = self.store.read_switches()
            self._board_at = self.now()
        except ControlUnavailable:
            if fresh or self.now() - self._board_at > self.rules.stale_s:
                raise
        return self._board

    async def dismiss(self, governor: RunGovernor) -> None:
        """Stop watching over a run; the watch of a loop ends with its last run."""
        loop = asyncio.get_running_loop()
        live = self._live.get(loop, set())
        live.discard(governor)
        governor.tell_gone()
        if not live and loop in self._watchers:
            task = self._watchers.pop(loop)
            self._live.pop(loop, None)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def children_gone(self, parent: RunGovernor) -> None:
        """Wait a grace for the child runs of a halted run, which are halted too: none outlives its parent."""
        live = self._live.get(asyncio.get_running_loop(), set())
        gone = [governor.gone() for governor in live if governor.is_child_of(parent.header)]
        if gone:
            await asyncio.wait(gone, timeout=GRACE_S)

    async def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            await asyncio.sleep(self.rules.poll_s)
            try:
                board: Board | None = self.board(fresh=False)
            except ControlUnavailable:
                board = None
            for governor in tuple(self._live.get(loop, ())):
                governor.look(board)
            self._sweep_if_due(loop)

    def _sweep_if_due(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have a thread sweep, so that no run of this loop waits for it; our own runs were heard of just before."""
        now = self.now()
        if now - self._swept_at < _SWEEP_S:
            return
        self._swept_at = now
        prunes = now - self._pruned_at >= _PRUNE_S
        if prunes:
            self._pruned_at = now
        loop.run_in_executor(None, self._sweep, now, prunes)

    def _sweep(self, now: float, prunes: bool) -> None:
        with contextlib.suppress(ControlUnavailable):
            self.store.sweep_runs(now=now)
            rounds = _PRUNE_ROUNDS if prunes else 0
            while rounds and self.store.prune_spend(before=now - _KEPT_S):
                rounds -= 1


class RunGovernor:
    """Guards one run.

    Attributes:
        grants: What the run holds: admissions, slots, reservations, claims.
        grants_rules: Limits across runs.
        halted: Why the run must stop what it does, as `Failure.cause` names it; `None` while it need not.
        asked: Whether approvals may wait in the store; an execution that took a run over cannot know.
    """

    def __init__(self, governor: Governor, header: Header, *, fencing: int) -> None:
        self._governor = governor
        self._fencing = fencing
        self.header = header
        self.target = Target(
            tenant=header.tenant,
            environment=header.environment,
            agent=header.agent,
            request_id=header.request_id,
        )
        self.halted: str | None = None
        self.grants = Grants(governor.store, governor.rules, governor.now, header, fencing=fencing)
        self.grants_rules = governor.rules
        self._beaten_at = governor.now()
        self._under_way: dict[str, asyncio.Future[str | None]] = {}
        self._gone: asyncio.Future[None] | None = None
        self._closed = False
        self.asked = fencing > 1

    def begin(self, lane: str, halt: asyncio.Future[str | None]) -> None:
        """Set a future to why the work of a lane must stop: the run is halted, or the work's slot lapsed."""
        if self.halted is not None:
            _tell(halt, self.halted)
        self._under_way[lane] = halt

    def done_with(self, lane: str) -> None:
        """Forget the work of a lane: it is over."""
        self._under_way.pop(lane, None)

    def cause(self, *, tool: str | None = None, model: str | None = None, fresh: bool = False) -> str | None:
        """Return why a call may not start now: `kill`, `tenant`, `disabled`, `control_unavailable`."""
        if self.halted is not None:
            return self.halted
        try:
            found = refusal(self._governor.board(fresh=fresh), self.target, tool=tool, model=model)
        except ControlUnavailable:
            return "control_unavailable"
        return None if found is None else found[0]

    def now(self) -> float:
        """Return epoch seconds of a clock that never goes back."""
        return self._governor.now()

    def board(self) -> Board:
        """Return the switches as they are now.

        Raises:
            ControlUnavailable: If they cannot be read.
        """
        return self._governor.board(fresh=True)

    def look(self, board: Board | None) -> None:
        """Interrupt the run if a switch concerns it; else renew what it holds."""
        if board is None:
            self._halt("control_unavailable")
            return
        found = refusal(board, self.target)
        if found is not None and found[0] in {"kill", "tenant"}:
            self._halt(found[0])
            return
        with contextlib.suppress(ControlUnavailable):
            for lane in self.grants.renew():
                lost = self._under_way.get(lane)
                if lost is not None:
                    _tell(lost, "control_unavailable")
            now = self._governor.now()
            if now - self._beaten_at > ALIVE_S / 3:
                key = key_of(self.header)
                self._governor.store.beat_run(key, fencing=self._fencing, alive_until=now + ALIVE_S)
                self._beaten_at = now

    async def close(self, stop_reason: str) -> None:
        """Give back all the run holds and write its stop reason; again only if the store could not take it."""
        if self.halted is not None and self._may_have_children():
            await self._governor.children_gone(self)
        await self._governor.dismiss(self)
        if self._closed:
            return
        now = self._governor.now()
        with contextlib.suppress(ControlUnavailable):
            self.grants.release_all()
            key = key_of(self.header)
            if self.asked:
                self._governor.store.void_approvals(key, now=now)
            self._governor.store.stop_run(key, fencing=self._fencing, stop_reason=stop_reason, now=now)
            self._closed = True

    def gone(self) -> asyncio.Future[None]:
        """Return what is done once nothing watches over the run any more."""
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        return self._gone

    def tell_gone(self) -> None:
        """Say that nothing watches over the run any more."""
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def is_child_of(self, parent: Header) -> bool:
        """Return whether a call of the other run started this one."""
        mine = self.header
        scope = (mine.parent, mine.tenant, mine.environment)
        return scope == (parent.request_id, parent.tenant, parent.environment)

    def _may_have_children(self) -> bool:
        tools = self.header.tools
        return tools != "opaque" and any(t.children for t in tools)

    def _halt(self, cause: str) -> None:
        if self.halted is None:
            self.halted = cause
            for halt in self._under_way.values():
                _tell(halt, cause)


def _tell(halt: asyncio.Future[str | None], cause: str) -> None:
    if not halt.done():
        halt.set_result(cause)


def key_of(header: Header) -> RunKey:
    """Return the key a run has in the index."""
    return RunKey(tenant=header.tenant, environment=header.environment, request_id=header.request_id)
