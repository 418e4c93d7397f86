"""The switch watch: for each event loop, a local board of switches, and what its runs have to report.

Theory of operation. While runs are live on an event loop, two tasks work for all of them.

The watch reads the switches every `poll_s` and keeps them as the loop's board. A board is good for a lease of
`LEASE_S` from the moment its reading began, and only reading renews it: readers of the store are not held up by its
writers. So a run looks at switches without a wait, in the very step of the loop in which a call begins, and a worker
that cannot read them starts nothing once the lease has lapsed. Each new board is shown to every run of the loop; a run
stops what it does if a switch concerns it.

The keeper writes: it renews what the runs hold, says that they are alive, and sweeps. It may wait for the store as
long as that takes, and nothing waits for it.

When many runs are killed together each turn of the loop becomes long, and those that are not yet cancelled would go on
starting calls. So a run yields, before it is admitted, while killed runs of its loop are ending: a grace at most.

A run that is over may leave abandoned calls behind, which keep their leases. The keeper renews those until the calls
end, so both tasks outlive such runs. They end with the last of both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from runtime.control.switches import Board
from runtime.core.run import Header
from runtime.execution.control_rules import ControlRules
from runtime.execution.sweeper import Sweeper
from runtime.execution.time_limit import GRACE_S
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable

LEASE_S = 2.0
"""How long switches hold without being read again; nothing starts after that."""


class WatchedRun(Protocol):
    """A run as its watch sees it."""

    def look(self, board: Board | None) -> None:
        """Stop what a switch concerns; `None` if the switches have not been read for too long."""
        ...

    def due(self, now: float) -> Coroutine[Any, Any, None] | None:
        """Return what the run has to report to the store now, if anything."""
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
        tasks: The watch and the keeper.
        board: The switches as they were read last; `None` before the first reading.
        read_at: When that reading began; epoch seconds.
    """

    __slots__ = ("_killed", "_killed_are_gone", "board", "live", "over", "read_at", "tasks")

    def __init__(self) -> None:
        self.live: set[WatchedRun] = set()
        self.over: set[WatchedRun] = set()
        self.tasks: tuple[asyncio.Task[None], ...] = ()
        self.board: Board | None = None
        self.read_at = float("-inf")
        self._killed: set[WatchedRun] = set()
        self._killed_are_gone: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to watch."""
        return not self.live and not self.over

    def set(self, board: Board, read_at: float) -> None:
        """Keep switches that were read, unless later ones are known; show them to all runs if they have changed."""
        if read_at < self.read_at:
            return
        changed = self.board is None or board.epoch != self.board.epoch
        self.board, self.read_at = board, read_at
        if changed:
            self.show(board)

    def show(self, board: Board | None) -> None:
        """Show the switches to all runs of this loop; `None` if they have not been read for too long."""
        for run in tuple(self.live):
            run.look(board)

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
        self._poll_s = min(rules.poll_s, LEASE_S / 4)
        self._sweeper = Sweeper(store)

    def board(self, runs: LoopRuns) -> Board:
        """Return the switches of a loop.

        Raises:
            ControlUnavailable: If they have not been read within the lease.
        """
        board = runs.board
        if board is None or self._now() - runs.read_at > LEASE_S:
            raise ControlUnavailable("the switches could not be read", next_step="look at the control store")
        return board

    async def refresh(self, runs: LoopRuns) -> None:
        """Read the switches now.

        Raises:
            ControlUnavailable: If they cannot be read.
        """
        began = self._now()
        runs.set(await self._store.read_switches(), began)

    async def ready(self, runs: LoopRuns) -> None:
        """Read the switches of a loop if they are not known; one whose switches cannot be read starts nothing."""
        if runs.board is None or self._now() - runs.read_at > self._poll_s:
            with contextlib.suppress(ControlUnavailable):
                await self.refresh(runs)

    def runs_here(self) -> LoopRuns:
        """Return the runs of the running event loop; its tasks run."""
        loop = asyncio.get_running_loop()
        runs = self._loops.get(loop)
        if runs is None:
            runs = self._loops[loop] = LoopRuns()
        if not runs.tasks or any(task.done() for task in runs.tasks):
            for task in runs.tasks:
                task.cancel()
            runs.tasks = (
                loop.create_task(self._watch(runs), name="goldrun-control-watch"),
                loop.create_task(self._keep(runs), name="goldrun-control-keeper"),
            )
        return runs

    async def unregister(self, run: WatchedRun) -> None:
        """Stop watching a run; the tasks of a loop end with its last run."""
        loop = asyncio.get_running_loop()
        runs = self._loops.get(loop)
        run.set_unregistered()
        if runs is None:
            return
        runs.unregister(run)
        if runs.is_idle:
            del self._loops[loop]
            for task in runs.tasks:
                task.cancel()
            if runs.tasks:
                await asyncio.wait(runs.tasks)

    async def _watch(self, runs: LoopRuns) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh(runs)
            except Exception:  # noqa: BLE001 - the watch must not die: what it cannot read stops the runs
                if self._now() - runs.read_at > max(self._rules.stale_s, LEASE_S):
                    runs.show(None)

    async def _keep(self, runs: LoopRuns) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            now = self._now()
            due = [work for run in (*runs.live, *runs.over) if (work := run.due(now)) is not None]
            if due:
                await asyncio.gather(*due)
            runs.over = {run for run in runs.over if run.has_abandoned_calls}
            if runs.is_idle:
                self._loops = {loop: other for loop, other in self._loops.items() if other is not runs}
                runs.tasks[0].cancel()
                return
            await self._sweeper.sweep_if_due(now)
