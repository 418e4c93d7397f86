"""Build a driven run: the one place where a setup, the world and known outcomes become a chain of performers.

Theory of operation. A run is a flow and what answers it. The flow follows from the setup alone. What answers it is
a chain, and every run has the same one:

    wrap( known( guarded( live ) ) )

- `live` carries effects out against the ports of the world.
- `guarded` stands before it where a control store guards the run.
- `known` stands before both where outcomes are known already: a resumed run has those of its journal.
- `wrap` stands outermost: a recorder sees known outcomes like any others, so that what it writes is the whole run.

A fresh run, a child run and a resumed run differ in their arguments only. So will a fork, a run with one live channel
and a drill: each is another source of known outcomes, or another wrapper.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from runtime.core.canonical import fingerprint
from runtime.core.effects import AnyOutcome, CallTool, Performer, SingleEffect, ToolResult
from runtime.core.run import Header
from runtime.core.stop import StopKind
from runtime.entry.agent import Agent
from runtime.entry.children import CallChildren, ChildRequest, Cut, Start
from runtime.entry.prepare import prepare
from runtime.entry.request import DuplicateRunError, Request, RunResult
from runtime.entry.state import bind_state
from runtime.entry.unguarded import warn_unguarded
from runtime.errors import GoldrunError, UsageError
from runtime.execution.driver import Finished, drive_async
from runtime.execution.governor import Governor
from runtime.execution.guarded.performer import GuardedPerformer
from runtime.execution.guarded.refusals import tree_scope
from runtime.execution.live.abandoned import Listener
from runtime.execution.live.performer import LivePerformer
from runtime.execution.run_guard import RunGuard
from runtime.execution.shared_slice import SharedSlice, SlicedPerformer, TreePlace
from runtime.execution.time_limit import finish
from runtime.execution.world import RunBinding, World
from runtime.orchestrator.loop import run_flow
from runtime.orchestrator.setup import RunSetup
from runtime.ports.performers import PerformerError
from runtime.ports.state import Artifacts, RunState
from runtime.ports.tools import Reconcile
from runtime.tools.results import cap_result


class OutcomeSource(Protocol):
    """Knows outcomes of effects before they are carried out."""

    async def answer(self, effect: SingleEffect) -> AnyOutcome | None:
        """Return the outcome of an effect; `None` if it must be carried out.

        Raises:
            PerformerError: If the effect may not be carried out: the run cannot go on.
        """
        ...


class KnownOutcomesPerformer:
    """Answers an effect with its known outcome, or has it carried out."""

    def __init__(
        self, inner: LivePerformer | GuardedPerformer, source: OutcomeSource, state: RunState
    ) -> None:
        self._inner = inner
        self._source = source
        self._state = state

    def on_late(self, listener: Listener) -> None:
        """Register a callback for calls that end after they were abandoned."""
        self._inner.on_late(listener)

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return an effect's outcome."""
        known = await self._source.answer(effect)
        if known is None:
            return await self._inner.perform(effect)
        if isinstance(known.value, ToolResult):
            # The call runs no more, so what it put into the scratch is taken from its result.
            self._state.restore(known.value.saved or {})
        return known


@dataclass(frozen=True, slots=True)
class RunParts:
    """What a source of known outcomes may use of the run that it answers."""

    live: LivePerformer
    guard: RunGuard | None


Known = Callable[[RunParts], OutcomeSource]
"""Makes the source of known outcomes of one run."""
Enter = Callable[[Governor, Header], Awaitable[int]]
"""Enters a run in a control store's index and returns its fencing number."""


async def enter_new(governor: Governor, header: Header) -> int:
    """Enter a fresh run.

    Raises:
        DuplicateRunError: If the store knows another run of this request id.
        ControlUnavailable: If the store cannot be used.
    """
    payload = fingerprint([header.agent, header.input, header.policy_hash])
    opened = await governor.open_run(header, payload_hash=payload)
    if not opened.first:
        raise DuplicateRunError(opened.run, conflict=opened.conflict)
    return opened.run.fencing


class DrivenRun:
    """A run that is assembled; `run` drives it to its end, once."""

    __slots__ = ("_chain", "_cut", "_guard", "_setup", "_stop_reason")

    def __init__(
        self, setup: RunSetup, chain: Callable[[], Performer], guard: RunGuard | None, *, unended: StopKind
    ) -> None:
        """Take over what was assembled.

        Args:
            setup: The run's setup.
            chain: Makes what answers its effects; what it raises closes the guard as any end of the run does.
            guard: Guards it; closed when the run is over.
            unended: The stop reason in the store's index if not even `End` could be performed.
        """
        self._setup = setup
        self._chain = chain
        self._guard = guard
        self._stop_reason = unended.value
        self._cut: Cut | None = None

    async def run(self, cut: Cut | None = None) -> RunResult:
        """Drive the run and return what it came to.

        Args:
            cut: Called with the trace if the caller is cancelled, before the cancellation goes on.
        """
        self._cut = cut
        header = self._setup.header
        try:
            finished = await drive_async(run_flow(self._setup), self._chain(), header, cut=self._was_cut)
            if not isinstance(finished.error, PerformerError):
                self._stop_reason = finished.end.stop_reason
            return result_of(header, finished)
        finally:
            # `End` closes the guard; this is for runs that could not even perform it.
            if self._guard is not None:
                await self._guard.close(self._stop_reason)

    def _was_cut(self, finished: Finished) -> None:
        self._stop_reason = finished.end.stop_reason
        if self._cut is not None:
            self._cut(finished.trace)


async def assemble(
    agent: Agent,
    setup: RunSetup,
    world: World,
    *,
    enter: Enter = enter_new,
    known: Known | None = None,
    child_known: Known | None = None,
    elapsed_s: float = 0.0,
    unended: StopKind = StopKind.INTERNAL_ERROR,
    place: TreePlace | None = None,
) -> DrivenRun:
    """Return a run that is ready to be driven; it is entered in the control store, if there is one.

    Args:
        agent: Its tools carry the calls out.
        setup: The header, and the tools as the flow knows them.
        world: Answers the run.
        enter: Enters the run in the control store's index.
        known: Makes the source of outcomes that are known already.
        child_known: Makes that of each child run.
        elapsed_s: Seconds that the run has used before.
        unended: Its stop reason in the index if not even `End` could be performed.
        place: Where a child run stands in its tree.

    Raises:
        DuplicateRunError: If the run is fresh and the store knows another one of its request id.
        UsageError: If the run cannot be entered.
        ControlUnavailable: If the store cannot be used.
    """
    header = setup.header
    state = bind_state(header, world.state, slots=agent.scratch, artifacts=world.artifacts, audit=world.audit)
    governor = world.governor
    # Entered only once all else that can fail has been done: an entered run counts as alive until it is closed.
    fencing = 1 if governor is None else await finish(enter(governor, header))
    binding = RunBinding(
        rates=header.rates,
        state=state,
        cap=_cap(agent, state.artifacts),
        children=_children_of(header, world, fencing, place, child_known),
        elapsed_s=elapsed_s,
    )
    tools = {t.name: t for t in agent.tools} if world.tools is None else world.tools
    tree = None if place is None else place.scope
    guard = None if governor is None else governor.guard(header, fencing=fencing, tree=tree)
    live = LivePerformer(replace(world, tools=tools), binding, guard=guard)

    def chain() -> Performer:
        carried_out: LivePerformer | GuardedPerformer = live
        if guard is not None:
            reconcile = reconcilers_of(agent)
            carried_out = GuardedPerformer(live, guard, desk=world.desk, reconcile=reconcile)
        performer: Performer = carried_out
        if place is not None and place.shares is not None:
            performer = SlicedPerformer(carried_out, place.shares, live.elapsed_s)
        if known is not None:
            performer = KnownOutcomesPerformer(carried_out, known(RunParts(live, guard)), state)
        wrapped = performer if world.wrap is None else world.wrap(performer)
        if not callable(getattr(wrapped, "perform", None)):
            raise UsageError(
                f"wrap gave {wrapped!r}, which performs nothing",
                where="run_agent",
                next_step="return a performer: the one that was given, or one around it",
            )
        return wrapped

    return DrivenRun(setup, chain, guard, unended=unended)


async def begin_run(
    agent: Agent,
    request: Request,
    world: World,
    *,
    place: TreePlace | None = None,
    known: Known | None = None,
) -> DrivenRun:
    """Return a fresh run that is ready to be driven: a run of its own, or a child in its tree.

    Args:
        agent: What runs.
        request: What is asked.
        world: Answers the run.
        place: Its place in a tree of runs, for a child.
        known: Makes a source of known outcomes for the run, and one for each of its child runs.
    """
    governor = world.governor
    setup = prepare(
        agent,
        request,
        prices=world.prices,
        started_at=world.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        inputs="none" if world.inputs is None else "recorded",
        rules=None if governor is None else governor.rules,
        draws=place is not None,
    )
    if governor is None:
        warn_unguarded(setup.header)
    return await assemble(agent, setup, world, place=place, known=known, child_known=known)


def _children_of(
    parent: Header, world: World, execution: int, place: TreePlace | None, known: Known | None
) -> Callable[[CallTool], CallChildren]:
    """Return what makes the child runs of a call: in the same world, recorded and guarded alike."""
    above = None if place is None else place.shares
    scope = tree_scope(parent) if place is None else place.scope

    async def start(child: Agent, wanted: ChildRequest, shares: SharedSlice, cut: Cut) -> RunResult:
        own = replace(world, model=child.client or world.model, tools=None, inputs=None, observer=None)
        place = TreePlace(shares, scope)
        run = await begin_run(child, child_request(wanted, parent), own, place=place, known=known)
        return await run.run(cut)

    starter: Start = start
    return lambda call: CallChildren(parent, call, starter, execution=execution, above=above)


def child_request(wanted: ChildRequest, header: Header) -> Request:
    """Return the request of a child run: its parent's in all that is not its own."""
    return replace(
        Request.of(header),
        prompt=wanted.prompt,
        request_id=wanted.request_id,
        parent=wanted.parent,
        root=header.root or header.request_id,
        seed=None,  # follows from its own request id
        policy=wanted.policy,
        budget=wanted.budget,
    )


def reconcilers_of(agent: Agent) -> Mapping[str, Reconcile]:
    """Return how the agent's tools find out what became of a write, by tool name."""
    return {t.name: t.reconcile for t in agent.tools if t.reconcile is not None}


def result_of(header: Header, finished: Finished) -> RunResult:
    """Return the result of a finished flow."""
    return RunResult(
        request_id=header.request_id,
        run_id=header.run_id,
        stop_reason=finished.end.stop_reason,
        output=finished.end.output,
        totals=finished.end.totals,
        trace=finished.trace,
        error=finished.error,
        spent=finished.end.spent,
    )


def _cap(agent: Agent, artifacts: Artifacts | None) -> Callable[[str, ToolResult], ToolResult]:
    """Return what cuts a result to what a model is shown; the whole becomes an artifact."""
    limits = {t.name: t.decl.max_result_bytes or agent.max_result_bytes for t in agent.tools}

    def cap(tool: str, result: ToolResult) -> ToolResult:
        limit = limits[tool]
        if len(result.content) <= limit // 4 and result.error is None:
            return result
        try:
            capped = cap_result(result.content, limit, None if artifacts is None else artifacts.put)
        except (GoldrunError, OSError):
            # The call was made; that its text could not be kept must not look as if it had failed.
            capped = cap_result(result.content, limit, None)
        error = None if result.error is None else cap_result(result.error, limit, None).content
        if capped.content is result.content and error is result.error:
            return result
        return msgspec.structs.replace(
            result, content=capped.content, error=error, artifact=capped.artifact or result.artifact
        )

    return cap
