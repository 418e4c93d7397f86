"""Resume a run that a crash cut off: completed effects are answered from its recording, the rest happens live.

The resumed run is an assembled run like any other: its header is the recorded one, and its known outcomes stand
before the live performer. `World.wrap` records the whole of it again, known outcomes included; the old recording is
left as it is. Nothing is reset: budgets count what the first part used.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from runtime.core.ids import key_root
from runtime.core.keys import Cleaner
from runtime.core.run import Header
from runtime.core.stop import StopKind
from runtime.entry.agent import Agent
from runtime.entry.assemble import OutcomeSource, RunParts, assemble, reconcilers_of
from runtime.entry.claim_lookup import ClaimLookup
from runtime.entry.recorded_outcomes import RecordedOutcomes, ResumeRefusedError, elapsed_s
from runtime.entry.request import RunResult
from runtime.errors import DataError, UsageError
from runtime.execution.governor import Governor
from runtime.execution.run_guard import ALIVE_S, key_of
from runtime.execution.world import World
from runtime.journal.recording import Recording
from runtime.orchestrator.setup import RunSetup
from runtime.ports.archive import RunArchive
from runtime.ports.control_values import Run, RunKey


def no_cleaner() -> Cleaner | None:
    """Return that nothing takes secrets out: the recording was made without redaction."""
    return None


async def resume_run(
    recording: Recording,
    agent: Agent,
    world: World,
    *,
    cleaner: Callable[[], Cleaner | None] = no_cleaner,
    began: Callable[[], None] | None = None,
) -> RunResult:
    """Carry a cut-off run to its end.

    Args:
        recording: The run's journal as it was found.
        agent: The agent's code; its tools must be those that were recorded.
        world: Answers what is not recorded; its `wrap` records the whole run again. Under its governor the run is
            taken over.
        cleaner: Makes what took secrets out of the recording; called for each use of it.
        began: Called once, before anything is carried out; what it raises keeps all from being carried out.

    Raises:
        DataError: If the run was recorded to its end.
        UsageError: If the agent's code asks for something else than was recorded, the run was guarded by a control
            store and none is given, or it is not this process's to take over.
    """
    _check_resumable(recording, world)
    header = recording.header
    setup = RunSetup(
        header=header,
        tools=None if header.tools == "opaque" else agent.specs,
        model_timeout_s=agent.model_timeout_s,
        root_request_id=key_root(header.request_id, header.root),
    )

    def known(parts: RunParts) -> OutcomeSource:
        return RecordedOutcomes(
            recording,
            parts,
            claims=None if world.governor is None else ClaimLookup(world.governor),
            reconcile=reconcilers_of(agent),
            cleaner=cleaner,
            began=began,
        )

    resumed = await assemble(
        agent,
        setup,
        world,
        enter=take_over,
        known=known,
        elapsed_s=elapsed_s(recording),
        # A resumed run that could not even end may be taken over again, as one whose process died.
        unended=StopKind.CRASHED,
    )
    result = await resumed.run()
    if isinstance(result.error, ResumeRefusedError):
        raise result.error.reason
    return result


async def resume_from(
    archive: RunArchive[Recording],
    key: RunKey,
    agent: Agent,
    world: World,
    *,
    cleaner: Callable[[], Cleaner | None] = no_cleaner,
    began: Callable[[], None] | None = None,
) -> RunResult:
    """Carry a cut-off run of an archive to its end; see `resume_run`.

    Raises:
        DataError: If the archive does not have the run, or it was recorded to its end.
        UsageError: See `resume_run`.
    """
    recording = archive.find(key)
    if recording is None:
        raise DataError(
            f"no recording of run {key.request_id!r} of {key.tenant}/{key.environment}",
            next_step="look whether its recordings were shipped or removed",
        )
    return await resume_run(recording, agent, world, cleaner=cleaner, began=began)


def _check_resumable(recording: Recording, world: World) -> None:
    header = recording.header
    if recording.end is not None:
        raise DataError(
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


async def take_over(governor: Governor, header: Header) -> int:
    """Take a run over in the governor's store and return its new fencing number.

    Raises:
        UsageError: If it is not this process's to take.
        ControlUnavailable: If the store cannot be used.
    """
    now = governor.now()
    key = key_of(header)
    taken = await governor.store.resume_run(key, now=now, alive_until=now + ALIVE_S)
    if taken is not None:
        return taken.fencing
    entries = await governor.store.find_runs(key.request_id)
    entry = next((run for run in entries if run.key == key), None)
    raise UsageError(
        f"run {header.request_id} cannot be taken over: {_state_words(entry)}",
        next_step="look at it with `goldrun ops runs`"
        if entry is not None or header.governed
        else "name the store it ran under; leave --store and GOLDRUN_CONTROL_STORE out if it ran without one",
    )


def _state_words(run: Run | None) -> str:
    if run is None:
        return "this control store does not know it"
    if run.stop_reason is not None:
        return f"it has ended with {run.stop_reason}"
    until = datetime.fromtimestamp(run.alive_until or 0.0, UTC).isoformat(timespec="seconds")
    return f"it counts as alive until {until}, or longer if it sends another heartbeat"
