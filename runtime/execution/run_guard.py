"""The run guard: what the control store says and holds of one run, from its admission to its end.

Theory of operation. Others act on a run while it works: an operator pulls a switch, its lease is lost, its store goes
away. All of that reaches it here, in one of three ways:

- It asks. Before each call `cause` reads the switches; `refusal` reads them again in the step of the event loop in
  which a tool call begins, because other runs had the loop in between.
- It is shown. The switch watch calls `look` with each board. A kill halts the run: whatever is under way is stopped,
  and whatever begins later is stopped as it begins. A switch on one tool or model stops that call alone.
- It is cut off. A lease that cannot be renewed may belong to somebody else now, so the call that holds it is stopped.

Every stop goes through the `Work` of a lane (`begin`, `done_with`), so that an effect that is stopped is cancelled and
the cancellation is its outcome. What cannot be read is refused (`control_unavailable`), never guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from runtime.control.ledger import SpendScope
from runtime.control.switches import Board, Target, refusal
from runtime.core.effects import CallTool, Failure, ToolResult
from runtime.core.run import Header
from runtime.execution.control_rules import ControlRules
from runtime.execution.guarded.admission import Grants
from runtime.execution.guarded.claims import RunClaims
from runtime.execution.interruption import interruption
from runtime.execution.switch_watch import LoopRuns, SwitchWatch
from runtime.execution.time_limit import Work
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable, RunKey

ALIVE_S = 60.0
"""A run without a heartbeat for so long counts as crashed."""


class RunGuard:
    """Guards one run.

    Attributes:
        store: Where the control state is.
        header: The run's header.
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
        self.claims: RunClaims = RunClaims(store, now, header, owner=owner)
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

    def cause(self, *, tool: str | None = None, model: str | None = None, fresh: bool = False) -> str | None:
        """Return why a call may not start now: `kill`, `tenant`, `disabled`, `control_unavailable`."""
        if self.halted is not None:
            return self.halted
        try:
            board = self._watch.board(fresh=fresh)
        except ControlUnavailable:
            return "control_unavailable"
        self._runs.propagate(board)
        refused = refusal(board, self.target, tool=tool, model=model)
        return None if refused is None else refused[0]

    def refusal(self, call: CallTool) -> Failure | None:
        """Return why a tool call may not begin now; a switch may have been pulled since it was claimed."""
        cause = self.cause(tool=call.name, fresh=call.write)
        return None if cause is None else interruption(cause, begun=False)

    def ended_late(self, call: CallTool, result: ToolResult | None) -> None:
        """Release the lease of an abandoned call that has ended, and store its result."""
        with contextlib.suppress(ControlUnavailable):  # then the lease lapses by itself
            self.grants.end_abandoned(call.lane)
        self.claims.end_late(call, result)

    async def yield_to_killed(self) -> None:
        """Yield to runs being killed on this event loop, unless this one is killed too."""
        if self.halted is None:
            await self._runs.yield_to_killed()

    def board(self) -> Board:
        """Return the switches as they are now.

        Raises:
            ControlUnavailable: If they cannot be read.
        """
        board = self._watch.board(fresh=True)
        self._runs.propagate(board)
        return board

    def look(self, board: Board | None) -> None:
        """Stop what a switch concerns; else renew what the run holds."""
        if board is None:
            self._halt("control_unavailable")
            return
        refused = refusal(board, self.target)
        if refused is not None and refused[0] in {"kill", "tenant"}:
            self._halt(refused[0])
            return
        if board.switches:
            self._stop_disabled(board)
        with contextlib.suppress(ControlUnavailable):
            for lane in self.grants.renew():
                lost = self._under_way.get(lane)
                if lost is not None:
                    # Its lease lapsed: somebody else may have the slot now.
                    lost.stop("control_unavailable")
            now = self.now()
            if now - self._beaten_at > ALIVE_S / 3:
                self.store.beat_run(key_of(self.header), fencing=self._fencing, alive_until=now + ALIVE_S)
                self._beaten_at = now

    async def close(self, stop_reason: str) -> None:
        """Give back all the run holds and write its stop reason; again only if the store could not take it."""
        if self.halted is not None and self._may_have_children():
            await self._runs.children_gone(self.header)
        await self._watch.unregister(self)
        if self._closed:
            return
        now = self.now()
        with contextlib.suppress(ControlUnavailable):
            self.grants.release_all()
            key = key_of(self.header)
            if self.may_have_approvals:
                self.store.void_approvals(key, now=now)
            self.store.stop_run(key, fencing=self._fencing, stop_reason=stop_reason, now=now)
            self._closed = True

    @property
    def has_abandoned_calls(self) -> bool:
        """Whether abandoned calls of the run keep their leases."""
        return self.grants.has_abandoned_calls

    def renew_abandoned(self) -> bool:
        """Renew the leases of abandoned calls of a run that is over; return whether there are any."""
        with contextlib.suppress(ControlUnavailable):  # tried again at the next look
            self.grants.renew()
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
