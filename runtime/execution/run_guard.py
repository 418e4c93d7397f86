"""The run guard: what the control store says and holds of one run, from its admission to its end.

Theory of operation. Others act on a run while it works: an operator pulls a switch, its lease is lost, its store goes
away. All of that reaches it here, in one of three ways:

- It asks. Before each call `cause` looks at the loop's board of switches; `refusal` looks again in the step of the
  event loop in which a tool call begins, because other runs had the loop in between. The board is local: no wait.
- It is shown. The switch watch calls `look` with each new board. A kill halts the run: whatever is under way is
  stopped, and whatever begins later is stopped as it begins. A switch on one tool or model stops that call alone.
- It is cut off. A lease that cannot be renewed may belong to somebody else now, so the call that holds it is stopped.
  A run that another process took over is halted.

Every stop goes through the `Work` of a lane (`begin`, `done_with`), so that an effect that is stopped is cancelled and
the cancellation is its outcome. What cannot be read is refused (`control_unavailable`), never guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from runtime.control.ledger import SpendScope
from runtime.control.switches import Board, Target, refusal
from runtime.core.effects import AnyOutcome, CallTool, Failure, ToolResult
from runtime.core.run import Header
from runtime.execution.control_rules import ControlRules
from runtime.execution.guarded.admission import Grants
from runtime.execution.guarded.claims import RunClaims
from runtime.execution.interruption import interruption
from runtime.execution.switch_watch import LoopRuns, SwitchWatch
from runtime.execution.time_limit import Work
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable, RunKey, RunOwner

ALIVE_S = 60.0
"""A run without a heartbeat for so long counts as crashed."""


class RunGuard:
    """Guards one run.

    Attributes:
        store: Where the control state is.
        header: The run's header.
        owner: This process as the owner of the run.
        target: The run as switches name it.
        rules: Limits across runs.
        grants: What its admitted calls hold.
        claims: The writes that it claimed.
        calls: Tool and model of each call under way, by lane; a switch on one of them stops it.
        halted: Why the run must stop what it does, as `Failure.cause` names it; `None` while it need not.
        may_have_approvals: Whether approvals may wait in the store; an execution that took a run over cannot know.
    """

    __slots__ = (
        "_beaten_at",
        "_closed",
        "_fencing",
        "_reporting",
        "_runs",
        "_under_way",
        "_unregistered",
        "_watch",
        "calls",
        "claims",
        "grants",
        "halted",
        "header",
        "may_have_approvals",
        "now",
        "owner",
        "rules",
        "store",
        "target",
    )

    def __init__(
        self,
        store: ControlStore,
        rules: ControlRules,
        now: Callable[[], float],
        watch: SwitchWatch,
        runs: LoopRuns,
        header: Header,
        *,
        fencing: int,
        tree: SpendScope | None = None,
    ) -> None:
        """Guard a run that is entered in the index.

        Args:
            store: Where the control state is.
            rules: Limits across runs.
            now: Gives epoch seconds of a clock that never goes back.
            watch: Reads the switches.
            runs: The runs of the same event loop.
            header: The run's header.
            fencing: The number under which this process has the run.
            tree: Where what it uses counts, for a run that another one started.
        """
        self.store: ControlStore = store
        self._watch = watch
        self._runs = runs
        self._fencing = fencing
        self.header: Header = header
        self.rules: ControlRules = rules
        self.now: Callable[[], float] = now
        self.target: Target = Target(
            tenant=header.tenant,
            environment=header.environment,
            agent=header.agent,
            request_id=header.request_id,
        )
        owner = f"{header.run_id}#{fencing}/"
        self.grants: Grants = Grants(store, rules, now, header, owner=owner, fencing=fencing, tree=tree)
        self.claims: RunClaims = RunClaims(store, now, header, owner=owner, fencing=fencing)
        self.owner: RunOwner = RunOwner(key=key_of(header), fencing=fencing)
        self._reporting: set[asyncio.Task[None]] = set()
        self.calls: dict[str, tuple[str | None, str | None]] = {}
        self.halted: str | None = None
        self.may_have_approvals: bool = fencing > 1
        self._under_way: dict[str, Work] = {}
        self._beaten_at = now()
        self._unregistered: asyncio.Future[None] | None = None
        self._closed = False

    def begin(self, lane: str, work: Work) -> None:
        """Register the work of a lane, so that it can be stopped; at once if the run is halted."""
        self._under_way[lane] = work
        if self.halted is not None:
            work.stop(self.halted)

    def done_with(self, lane: str) -> None:
        """Forget the work of a lane: it has ended."""
        self._under_way.pop(lane, None)

    async def ready(self) -> None:
        """See to it that the switches are known before the run begins."""
        await self._watch.ready(self._runs)

    def cause(self, *, tool: str | None = None, model: str | None = None) -> str | None:
        """Return why a call may not start now: `kill`, `tenant`, `disabled`, `control_unavailable`."""
        if self.halted is not None:
            return self.halted
        try:
            board = self._watch.board(self._runs)
        except ControlUnavailable:
            return "control_unavailable"
        refused = refusal(board, self.target, tool=tool, model=model)
        return None if refused is None else refused[0]

    @property
    def epoch(self) -> int | None:
        """The epoch of the switches that `cause` looked at; `None` before any were read."""
        board = self._runs.board
        return None if board is None else board.epoch

    async def refresh(self) -> None:
        """Read the switches anew: the store says that they have changed.

        Raises:
            ControlUnavailable: If they cannot be read.
        """
        await self._watch.refresh(self._runs)

    def refusal(self, call: CallTool) -> Failure | None:
        """Return why a tool call may not begin now; a switch may have been pulled since it was claimed."""
        cause = self.cause(tool=call.name)
        return None if cause is None else interruption(cause, begun=False)

    def settle(self, lane: str, outcome: AnyOutcome, *, abandoned: bool) -> None:
        """End what a call holds; reported with the run's next admission, or at once if others wait for it."""
        if self.grants.settle(lane, outcome, abandoned=abandoned):
            self._report(self.grants.send_ends())

    async def give_back(self, lane: str) -> None:
        """Give back all that an admitted call holds before it waits for something else."""
        if self.grants.drop(lane):
            with contextlib.suppress(ControlUnavailable):  # then it is reported later
                await self.grants.send_ends()

    def ended_late(self, call: CallTool, result: ToolResult | None) -> None:
        """Release the lease of an abandoned call that has ended, and store its result."""
        lease = self.grants.end_abandoned(call.lane)
        if lease is not None:
            self._report(self.grants.give_back(lease))
        self._report(self.claims.end_late(call, result))

    def _report(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Report to the store in the background; what cannot be reported lapses by itself."""

        async def report() -> None:
            with contextlib.suppress(ControlUnavailable):
                await work

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # an abandoned thread that ends after its loop was closed
            asyncio.run(report())
            return None
        task = loop.create_task(report())
        self._reporting.add(task)
        task.add_done_callback(self._reporting.discard)
        # A loop that closes cancels the task before it begins; what it was to report lapses then.
        task.add_done_callback(lambda _: work.close())
        return task

    async def yield_to_killed(self) -> None:
        """Yield to runs being killed on this event loop, unless this one is killed too."""
        if self.halted is None:
            await self._runs.yield_to_killed()

    def board(self) -> Board:
        """Return the switches as they are now.

        Raises:
            ControlUnavailable: If they could not be read within their lease.
        """
        return self._watch.board(self._runs)

    def look(self, board: Board | None) -> None:
        """Stop what a switch concerns."""
        if board is None:
            self._halt("control_unavailable")
            return
        refused = refusal(board, self.target)
        if refused is not None and refused[0] in {"kill", "tenant"}:
            self._halt(refused[0])
        elif board.switches:
            self._stop_disabled(board)

    def due(self, now: float) -> asyncio.Task[None] | None:
        """Report to the store what is due: what ended, what the run goes on holding, that it is alive.

        The task outlives the keeper; `close` waits for it, so that nothing that ended is lost with the event loop.
        """
        if self._reporting:
            return None
        beats = not self._closed and now - self._beaten_at > ALIVE_S / 3
        if beats or self.grants.has_ends or self.grants.is_renewal_due(now):
            return self._report(self._keep(now, beats=beats))
        return None

    async def _keep(self, now: float, *, beats: bool) -> None:
        await self.grants.send_ends()
        for lane in await self.grants.renew():
            lost = self._under_way.get(lane)
            if lost is not None:
                # Its lease lapsed: somebody else may have the slot now.
                lost.stop("control_unavailable")
        if not beats:
            return
        until = now + ALIVE_S
        if await self.store.beat_run(self.owner.key, fencing=self._fencing, alive_until=until):
            self._beaten_at = now
        elif not self._closed:
            self._halt("control_unavailable")  # another process has the run

    async def close(self, stop_reason: str) -> None:
        """Give back all the run holds and write its stop reason; again only if the store could not take it."""
        if self.halted is not None and self._may_have_children():
            await self._runs.children_gone(self.header)
        await self._watch.unregister(self)
        if self._closed:
            return
        if self._reporting:
            await asyncio.wait(self._reporting)
        now = self.now()
        with contextlib.suppress(ControlUnavailable):
            await self.claims.free_unbegun()
            await self.grants.release_all()
            key = self.owner.key
            if self.may_have_approvals:
                await self.store.void_approvals(key, now=now)
            await self.store.stop_run(key, fencing=self._fencing, stop_reason=stop_reason, now=now)
            self._closed = True

    @property
    def has_abandoned_calls(self) -> bool:
        """Whether abandoned calls of the run keep their leases."""
        return self.grants.has_abandoned_calls

    def unregistered(self) -> asyncio.Future[None]:
        """Return the future that is resolved when the run is unregistered."""
        if self._unregistered is None:
            self._unregistered = asyncio.get_running_loop().create_future()
        return self._unregistered

    def set_unregistered(self) -> None:
        """Resolve the future of who waits for the run to be unregistered."""
        if self._unregistered is not None and not self._unregistered.done():
            self._unregistered.set_result(None)

    def is_child_of(self, parent: Header) -> bool:
        """Return whether a call of the other run started this one."""
        mine = self.header
        scope = (mine.parent, mine.tenant, mine.environment)
        return scope == (parent.request_id, parent.tenant, parent.environment)

    def _stop_disabled(self, board: Board) -> None:
        for lane, work in tuple(self._under_way.items()):
            tool, model = self.calls.get(lane, (None, None))
            refused = refusal(board, self.target, tool=tool, model=model)
            if refused is not None:
                work.stop(refused[0])

    def _may_have_children(self) -> bool:
        tools = self.header.tools
        return tools != "opaque" and any(t.children for t in tools)

    def _halt(self, cause: str) -> None:
        if self.halted is None:
            self.halted = cause
            self._runs.killed(self)
            for work in self._under_way.values():
                work.stop(cause)


def key_of(header: Header) -> RunKey:
    """Return the key a run has in the index."""
    return RunKey(tenant=header.tenant, environment=header.environment, request_id=header.request_id)
