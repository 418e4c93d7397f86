"""Resume a run that a crash cut off: completed effects are answered from its journal, the rest happens live.

An intent without outcome asks the idempotency claim: a stored result is the outcome. Without one, a write that
cannot be repeated is in doubt, and anything else runs again. The resumed run goes to a journal of its own that
holds the whole run; the old one is left as it is. Nothing is reset: budgets count what the first part used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import CassetteError
from harness.record.recorder import JournalSink, RecordingPerformer
from harness.sessions.claims import Claims, StoreClaims
from harness.sessions.redactors import redactor_for
from harness.sessions.resume_performer import ResumePerformer, elapsed_s
from runtime.core.effects import (
    Performer,
)
from runtime.core.ids import key_root
from runtime.core.run import Header
from runtime.core.stop import StopKind
from runtime.entry.agent import Agent
from runtime.entry.run import Around, RunResult, child_starter, result_of
from runtime.entry.state import State
from runtime.entry.wiring import Given, Wired, wire
from runtime.errors import UsageError
from runtime.execution.drivers import Finished, PerformerError, drive_async
from runtime.execution.governed import GovernedPerformer
from runtime.execution.governor import ALIVE_S, Governor, RunGovernor, key_of
from runtime.execution.live import LivePerformer
from runtime.journal.files import JournalWriter
from runtime.journal.recording import Recording
from runtime.orchestrator.loop import run_flow
from runtime.orchestrator.setup import RunSetup
from runtime.ports.control_values import Run
from runtime.ports.models import ModelPort
from runtime.ports.tools import ApprovalDesk, Reconcile


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the live part of a resumed run is handed; see `runtime.execution.live.Ports`.

    Attributes:
        model: Answers model calls.
        desk: Asked for approvals.
        claims: Looks up writes; the governor's store by default.
        governor: Guards the rest of the run; the run is taken over in its store.
        state: What runs keep and share.
    """

    model: ModelPort
    desk: ApprovalDesk | None = None
    claims: Claims | None = None
    governor: Governor | None = None
    state: State | None = None


async def resume_run(
    recording: Recording,
    agent: Agent,
    world: World,
    *,
    out: Path,
    began: Callable[[], None] | None = None,
) -> RunResult:
    """Carry a cut-off run to its end.

    Args:
        recording: The run's journal as it was found.
        agent: The agent's code; its tools must be those that were recorded.
        world: Answers what is not recorded.
        out: Journal to write; it must not exist. It is removed again if nothing was carried out.
        began: Called once, before anything is carried out; what it raises keeps all from being carried out.

    Raises:
        CassetteError: If the run was recorded to its end.
        UsageError: If the agent's code asks for something else than was recorded, `out` exists, the run was guarded
            by a control store and none is given, or it is not this process's to take over.
    """
    _check_resumable(recording, world, out)
    header = recording.header
    setup = RunSetup(
        header=header,
        tools=None if header.tools == "opaque" else agent.specs,
        model_timeout_s=agent.model_timeout_s,
        root_request_id=key_root(header.request_id, header.root),
    )
    taken = _take_over(world, header)
    with JournalWriter(out) as journal:
        guard = _attended(world, header, taken)
        wired = _wired(agent, recording, world, journal, execution=1 if taken is None else taken.fencing)
        reconcile = {t.name: t.reconcile for t in agent.tools if t.reconcile is not None}
        performer = ResumePerformer(
            recording,
            _guarded(world, guard, wired.live, reconcile),
            journal,
            claims=_claims(world),
            reconcile=reconcile,
            state=wired.state,
            began=began,
            cap=wired.live.capped,
        )
        finished = await _driven(setup, performer, guard)
    if performer.refused is not None:
        if not performer.has_begun:
            _remove(out)
        raise performer.refused
    return result_of(header, finished)


async def _driven(setup: RunSetup, performer: ResumePerformer, guard: RunGovernor | None) -> Finished:
    stop_reason = StopKind.CRASHED.value
    try:
        finished = await drive_async(run_flow(setup), performer, setup.header)
        if not isinstance(finished.error, PerformerError):
            stop_reason = finished.end.stop_reason
        return finished
    finally:
        # `End` gives the run back; this is for one that could not be carried on, and may be taken over again.
        if guard is not None:
            await guard.close(stop_reason)


def _check_resumable(recording: Recording, world: World, out: Path) -> None:
    header = recording.header
    if recording.end is not None:
        raise CassetteError(
            f"run {header.request_id} ended with {recording.stop_reason}; there is nothing to resume",
            where=recording.source,
            next_step="replay it with `goldrun replay`, or start a new run",
        )
    if header.governed and world.governor is None:
        raise UsageError(
            f"run {header.request_id} ran under a control store; without it, it would go on unguarded",
            where=recording.source,
            next_step="name that store with --store, or pass World(governor=...)",
        )
    if out.exists():
        raise UsageError("this file exists already", where=str(out), next_step="name a new file")


def _remove(out: Path) -> None:
    out.unlink()


def _claims(world: World) -> Claims | None:
    return (
        StoreClaims(world.governor) if world.claims is None and world.governor is not None else world.claims
    )


def _take_over(world: World, header: Header) -> Run | None:
    """Take the run over in the governor's store, if there is one.

    Raises:
        UsageError: If it is not this process's to take.
    """
    governor = world.governor
    if governor is None:
        return None
    now = governor.now()
    key = key_of(header)
    taken = governor.store.resume_run(key, now=now, alive_until=now + ALIVE_S)
    if taken is None:
        found = next((run for run in governor.store.find_runs(key.request_id) if run.key == key), None)
        raise UsageError(
            f"run {header.request_id} cannot be taken over: {_standing(found)}",
            next_step="look at it with `goldrun ops runs`"
            if found is not None or header.governed
            else "name the store it ran under; leave --store and GOLDRUN_CONTROL_STORE out if it ran without one",
        )
    return taken


def _standing(run: Run | None) -> str:
    if run is None:
        return "this control store does not know it"
    if run.stop_reason is not None:
        return f"it has ended with {run.stop_reason}"
    until = datetime.fromtimestamp(run.alive_until or 0.0, UTC).isoformat(timespec="seconds")
    return f"it counts as alive until {until}, unless it is heard of again"


def _wired(
    agent: Agent, recording: Recording, world: World, journal: JournalWriter, *, execution: int
) -> Wired:
    """Return the live performer of the rest of the run; its child runs go to the same journal."""
    given = Given(model=world.model, desk=world.desk, state=world.state)
    redactor = redactor_for(recording, os.environ)

    def wrap(inner: Performer) -> Performer:
        return RecordingPerformer(inner, JournalSink(journal), cleaner=redactor)

    start = child_starter(recording.header, given, Around(wrap=wrap, governor=world.governor))
    return wire(
        agent,
        recording.header,
        given,
        start=start,
        elapsed_s=elapsed_s(recording),
        execution=execution,
    )


def _attended(world: World, header: Header, taken: Run | None) -> RunGovernor | None:
    governor = world.governor
    return None if governor is None or taken is None else governor.attend(header, fencing=taken.fencing)


def _guarded(
    world: World, guard: RunGovernor | None, live: LivePerformer, reconcile: Mapping[str, Reconcile]
) -> Performer:
    if world.governor is None or guard is None:
        return live
    guarded = GovernedPerformer(live, guard, world.governor.store, desk=world.desk, reconcile=reconcile)
    live.attend(guarded, before=guarded.before, watch=guard)
    return guarded
