"""The switch watch: one task for each event loop reads the switches for all runs that are live on it.

Theory of operation. While runs are live on an event loop, its watch task reads the switches every `poll_s` and shows
the board to each of them; a run stops what it does if a switch concerns it, else it renews what it holds. A busy loop
may come to its timers late, so a run that reads the switches for itself, before one of its calls, propagates a board
that has changed to the other runs of its loop at once.

When many runs are killed together each turn of the loop becomes long, and those that are not yet cancelled would go on
starting calls. So a run yields, before it is admitted, while killed runs of its loop are ending: a grace at most.

A run that is over may leave abandoned calls behind, which keep their leases. The watch renews those until the calls
end, so it outlives such runs. It ends with the last of both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from runtime.control.switches import Board
from runtime.core.run import Header
from runtime.execution.control_rules import ControlRules
from runtime.execution.sweeper import Sweeper
from runtime.execution.time_limit import GRACE_S
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable


class WatchedRun(Protocol):
    """A run as its watch sees it."""

    def look(self, board: Board | None) -> None:
        """Stop what a switch concerns, or renew what the run holds; `None` if the switches cannot be read."""
        ...

    def renew_abandoned(self) -> bool:
        """Renew the leases of abandoned calls of a run that is over; return whether there are any."""
        ...

    @property
    def has_abandoned_calls(self) -> bool:
        """Whether abandoned calls of the run keep their leases."""
        ...

    def is_child_of(self, parent: Header) -> bool:
        """Return whether a call of the other run started this one."""
        ...

    def unregistered(self) -> asyncio.Future[None]:
        """Return the future that is resolved when the run is unregistered."""
        ...

    def set_unregistered(self) -> None:
        """Resolve that future."""
        ...


class LoopRuns:
    """The runs of one event loop.

    Attributes:
        live: Runs under way.
        over: Runs that are over while calls that they abandoned keep their leases.
        task: The watch task.
    """

    __slots__ = ("_epoch", "_killed", "_killed_are_gone", "live", "over", "task")

    def __init__(self) -> None:
        self.live: set[WatchedRun] = set()
        self.over: set[WatchedRun] = set()
        self.task: asyncio.Task[None] | None = None
        self._epoch: int | None = None
        self._killed: set[WatchedRun] = set()
        self._killed_are_gone: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to watch."""
        return not self.live and not self.over

    def show(self, board: Board | None) -> None:
        """Show the switches to all runs of this loop; `None` if they cannot be read."""
        self._epoch = None if board is None else board.epoch
        for run in tuple(self.live):
            run.look(board)
        for run in tuple(self.over):
            if not run.renew_abandoned():
                self.over.discard(run)

    def propagate(self, board: Board) -> None:
        """Propagate a switch-board change, which one run has read, to every run of this loop."""
        if board.epoch != self._epoch:
            self.show(board)

    def killed(self, run: WatchedRun) -> None:
        """Note that a run was killed: the others yield until it is gone, a grace at most."""
        self._killed.add(run)
        if self._killed_are_gone is None:
            loop = asyncio.get_running_loop()
            self._killed_are_gone = loop.create_future()
            # A killed run may take longer than it should. The others do not wait for that.
            loop.call_later(GRACE_S, self._resolve, self._killed_are_gone)

    def unregister(self, run: WatchedRun) -> None:
        """Forget a run; its abandoned calls are watched until they end."""
        self.live.discard(run)
        if run.has_abandoned_calls:
            self.over.add(run)
        self._killed.discard(run)
        if not self._killed and self._killed_are_gone is not None:
            self._resolve(self._killed_are_gone)

    def _resolve(self, gone: asyncio.Future[None]) -> None:
        if not gone.done():
            gone.set_result(None)
        if self._killed_are_gone is gone:
            self._killed_are_gone = None

    async def yield_to_killed(self) -> None:
        """Yield to runs being killed on this event loop."""
        if self._killed_are_gone is not None:
            await asyncio.wait({self._killed_are_gone})

    async def children_gone(self, parent: Header) -> None:
        """Wait a grace for the child runs of a killed run, which are killed too: none outlives its parent."""
        children = [run.unregistered() for run in self.live if run.is_child_of(parent)]
        if children:
            await asyncio.wait(children, timeout=GRACE_S)


class SwitchWatch:
    """Reads the switches of one store, for all event loops of a process."""

    def __init__(self, store: ControlStore, rules: ControlRules, now: Callable[[], float]) -> None:
        self._store = store
        self._rules = rules
        self._now = now
        self._loops: dict[asyncio.AbstractEventLoop, LoopRuns] = {}
        self._board = Board()
        self._board_at = float("-inf")
        self._sweeper = Sweeper(store)

    def board(self, *, fresh: bool) -> Board:
        """Return the pulled switches; the last known ones for a while if they need not be fresh.

        Raises:
            ControlUnavailable: If they cannot be read.
        """
        try:
            self._board = self._store.read_switches()
            self._board_at = self._now()
        except ControlUnavailable:
            if fresh or self._now() - self._board_at > self._rules.stale_s:
                raise
        return self._board

    def runs_here(self) -> LoopRuns:
        """Return the runs of the running event loop; its watch task runs."""
        loop = asyncio.get_running_loop()
        runs = self._loops.get(loop)
        if runs is None:
            runs = self._loops[loop] = LoopRuns()
        if runs.task is None or runs.task.done():
            runs.task = loop.create_task(self._watch(runs), name="goldrun-control-watch")
        return runs

    async def unregister(self, run: WatchedRun) -> None:
        """Stop watching a run; the watch of a loop ends with its last run."""
        loop = asyncio.get_running_loop()
        runs = self._loops.get(loop)
        run.set_unregistered()
        if runs is None:
            return
        runs.unregister(run)
        if runs.is_idle:
            del self._loops[loop]
            if runs.task is not None:
                runs.task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await runs.task

    async def _watch(self, runs: LoopRuns) -> None:
        while True:
            await asyncio.sleep(self._rules.poll_s)
            try:
                runs.show(self.board(fresh=False))
            except Exception:  # noqa: BLE001 - the watch must not die: what it cannot read stops the runs
                runs.show(None)
            if runs.is_idle:
                self._loops = {loop: other for loop, other in self._loops.items() if other is not runs}
                return
            self._sweeper.sweep_if_due(self._now())
