"""The governor: one for each process, it holds the control store, its clock, and the watch over switches.

While runs are live on an event loop, one task of that loop reads the switches every `poll_s` and interrupts the
runs they concern, renews what the runs hold, and says that they are alive. A run that reads them for itself, before
one of its calls, interrupts all runs of its loop if they have changed: a busy loop may come to its timers late. Now
and then the watch has a thread sweep up after others: runs that are no longer heard of, holds that ended long ago.
"""

from __future__ import annotations

import asyncio
import contextlib

from runtime.control.switches import Board, Target, refusal
from runtime.core.run import Header
from runtime.execution.bounded import GRACE_S, Work
from runtime.execution.clock import Clock, SystemClock
from runtime.execution.grants import Grants
from runtime.execution.rules import ControlRules
from runtime.execution.sweeping import Sweeper
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable, Run, RunKey, RunOpened

ALIVE_S = 60.0
"""A run that is not heard of for so long counts as crashed."""


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
        self._monotonic_s = self._clock.monotonic_s
        # Anchored once: a jump of the wall clock must not end leases or open breakers.
        self._anchor = self._clock.now().timestamp() - self._monotonic_s()
        self._crowds: dict[asyncio.AbstractEventLoop, _Crowd] = {}
        self._board = Board()
        self._board_at = float("-inf")
        self._sweeper = Sweeper(store)

    def now(self) -> float:
        """Return epoch seconds of a clock that never goes back."""
        return self._anchor + self._monotonic_s()

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
        loop = asyncio.get_running_loop()
        crowd = self._crowds.get(loop)
        if crowd is None:
            crowd = self._crowds[loop] = _Crowd()
        if crowd.watcher is None or crowd.watcher.done():
            crowd.watcher = loop.create_task(self._watch(crowd), name="goldrun-control-watch")
        governor = RunGovernor(self, crowd, header, fencing=fencing)
        crowd.live.add(governor)
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
        crowd = self._crowds.get(loop)
        governor.tell_gone()
        if crowd is None:
            return
        crowd.gone(governor)
        if crowd.is_idle:
            del self._crowds[loop]
            if crowd.watcher is not None:
                crowd.watcher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await crowd.watcher

    async def _watch(self, crowd: _Crowd) -> None:
        while True:
            await asyncio.sleep(self.rules.poll_s)
            try:
                crowd.look(self.board(fresh=False))
            except Exception:  # noqa: BLE001 - the watch must not die: what it cannot read stops the runs
                crowd.look(None)
            if crowd.is_idle:
                self._crowds = {loop: other for loop, other in self._crowds.items() if other is not crowd}
                return
            self._sweeper.sweep_if_due(self.now())


class _Crowd:
    """The live runs of one event loop.

    Attributes:
        live: The runs.
        lingering: Runs that are over while calls that they gave up go on, in slots that are still taken.
        watcher: The task that watches over them.
    """

    __slots__ = ("_calm", "_ending", "_epoch", "lingering", "live", "watcher")

    def __init__(self) -> None:
        self.live: set[RunGovernor] = set()
        self.lingering: set[RunGovernor] = set()
        self.watcher: asyncio.Task[None] | None = None
        self._epoch: int | None = None
        self._ending: set[RunGovernor] = set()
        self._calm: asyncio.Future[None] | None = None

    def look(self, board: Board | None) -> None:
        """Have all runs look at the switches."""
        self._epoch = None if board is None else board.epoch
        for governor in tuple(self.live):
            governor.look(board)
        for governor in tuple(self.lingering):
            if not governor.keeps_slots():
                self.lingering.discard(governor)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to watch over."""
        return not self.live and not self.lingering

    def saw(self, board: Board) -> None:
        """Have all runs look at switches that one of them read, if they are others than before."""
        if board.epoch != self._epoch:
            self.look(board)

    def ends(self, governor: RunGovernor) -> None:
        """Note that a run was halted; the others give way until it is gone, a grace long at most."""
        self._ending.add(governor)
        if self._calm is None:
            loop = asyncio.get_running_loop()
            self._calm = loop.create_future()
            loop.call_later(GRACE_S, self._set_calm, self._calm)

    def gone(self, governor: RunGovernor) -> None:
        """Forget a run: nothing watches over it any more."""
        self.live.discard(governor)
        if governor.grants.lingers:
            self.lingering.add(governor)
        self._ending.discard(governor)
        if not self._ending and self._calm is not None:
            self._set_calm(self._calm)

    def _set_calm(self, calm: asyncio.Future[None]) -> None:
        if not calm.done():
            calm.set_result(None)
        if self._calm is calm:
            self._calm = None

    async def give_way(self) -> None:
        """Wait until the runs that were halted are over: with many of them, each turn of the loop is long."""
        if self._calm is not None:
            await asyncio.wait({self._calm})

    async def children_gone(self, parent: Header) -> None:
        """Wait a grace for the child runs of a halted run, which are halted too: none outlives its parent."""
        gone = [governor.gone() for governor in self.live if governor.is_child_of(parent)]
        if gone:
            await asyncio.wait(gone, timeout=GRACE_S)


class RunGovernor:
    """Guards one run.

    Attributes:
        grants: What the run holds: admissions, slots, reservations, claims.
        grants_rules: Limits across runs.
        calls: Tool and model of each call under way, by lane; a switch on one of them cuts it off.
        halted: Why the run must stop what it does, as `Failure.cause` names it; `None` while it need not.
        asked: Whether approvals may wait in the store; an execution that took a run over cannot know.
    """

    __slots__ = (
        "_beaten_at",
        "_closed",
        "_crowd",
        "_fencing",
        "_gone",
        "_governor",
        "_under_way",
        "asked",
        "calls",
        "grants",
        "grants_rules",
        "halted",
        "header",
        "target",
    )

    def __init__(self, governor: Governor, crowd: _Crowd, header: Header, *, fencing: int) -> None:
        self._governor = governor
        self._crowd = crowd
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
        self._under_way: dict[str, Work] = {}
        self.calls: dict[str, tuple[str | None, str | None]] = {}
        self._gone: asyncio.Future[None] | None = None
        self._closed = False
        self.asked = fencing > 1

    def begin(self, lane: str, work: Work) -> None:
        """Stop the work of a lane, now or later: if the run is halted, or if the work's slot lapsed."""
        self._under_way[lane] = work
        if self.halted is not None:
            work.stop(self.halted)

    def done_with(self, lane: str) -> None:
        """Forget the work of a lane: it is over."""
        self._under_way.pop(lane, None)

    def cause(self, *, tool: str | None = None, model: str | None = None, fresh: bool = False) -> str | None:
        """Return why a call may not start now: `kill`, `tenant`, `disabled`, `control_unavailable`."""
        if self.halted is not None:
            return self.halted
        try:
            board = self._governor.board(fresh=fresh)
        except ControlUnavailable:
            return "control_unavailable"
        self._crowd.saw(board)
        found = refusal(board, self.target, tool=tool, model=model)
        return None if found is None else found[0]

    def now(self) -> float:
        """Return epoch seconds of a clock that never goes back."""
        return self._governor.now()

    async def give_way(self) -> None:
        """Let halted runs of this loop end first, unless this one is halted too."""
        if self.halted is None:
            await self._crowd.give_way()

    def board(self) -> Board:
        """Return the switches as they are now.

        Raises:
            ControlUnavailable: If they cannot be read.
        """
        board = self._governor.board(fresh=True)
        self._crowd.saw(board)
        return board

    def look(self, board: Board | None) -> None:
        """Interrupt the run if a switch concerns it; else renew what it holds."""
        if board is None:
            self._halt("control_unavailable")
            return
        found = refusal(board, self.target)
        if found is not None and found[0] in {"kill", "tenant"}:
            self._halt(found[0])
            return
        if board.switches:
            self._cut_disabled(board)
        with contextlib.suppress(ControlUnavailable):
            for lane in self.grants.renew():
                lost = self._under_way.get(lane)
                if lost is not None:
                    lost.stop("control_unavailable")
            now = self._governor.now()
            if now - self._beaten_at > ALIVE_S / 3:
                key = key_of(self.header)
                self._governor.store.beat_run(key, fencing=self._fencing, alive_until=now + ALIVE_S)
                self._beaten_at = now

    async def close(self, stop_reason: str) -> None:
        """Give back all the run holds and write its stop reason; again only if the store could not take it."""
        if self.halted is not None and self._may_have_children():
            await self._crowd.children_gone(self.header)
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

    def keeps_slots(self) -> bool:
        """Extend the slots of calls that go on though their run is over; return whether there are any."""
        with contextlib.suppress(ControlUnavailable):  # asked again at the next look
            self.grants.renew()
        return self.grants.lingers

    def _cut_disabled(self, board: Board) -> None:
        for lane, work in tuple(self._under_way.items()):
            tool, model = self.calls.get(lane, (None, None))
            found = refusal(board, self.target, tool=tool, model=model)
            if found is not None:
                work.stop(found[0])

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
            self._crowd.ends(self)
            for work in self._under_way.values():
                work.stop(cause)


def key_of(header: Header) -> RunKey:
    """Return the key a run has in the index."""
    return RunKey(tenant=header.tenant, environment=header.environment, request_id=header.request_id)
