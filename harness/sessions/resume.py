"""Resume a cut-off run into a journal of its own, redacted as the first part was.

Carrying the run on is `runtime.entry.resume`; this brings what the runtime does not know: the redactor of the
recording, and the file that the whole run goes to.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.redaction.redactor import Redactor
from harness.sessions.redactors import redactor_for
from runtime.core.effects import Performer
from runtime.entry import resume
from runtime.entry.agent import Agent
from runtime.entry.request import RunResult
from runtime.errors import GoldrunError, JournalError, UsageError
from runtime.execution.world import World
from runtime.journal.files import JournalWriter
from runtime.journal.recording import Recording
from runtime.journal.recording_performer import JournalSink, RecordingPerformer
from runtime.ports.performers import PerformerError

__all__ = ["World", "resume_run"]


async def resume_run(
    recording: Recording,
    agent: Agent,
    world: World,
    *,
    out: Path,
    began: Callable[[], None] | None = None,
) -> RunResult:
    """Carry a cut-off run to its end and record the whole of it.

    Args:
        recording: The run's journal as it was found.
        agent: The agent's code; its tools must be those that were recorded.
        world: Answers what is not recorded; its `wrap` is replaced by the recorder.
        out: Journal to write; it must not exist. It is removed again if nothing was carried out.
        began: Called once, before anything is carried out; what it raises keeps all from being carried out.

    Raises:
        DataError: If the run was recorded to its end, or its first part cannot be written to `out`.
        UsageError: If the agent's code asks for something else than was recorded, `out` exists, the run was guarded
            by a control store and none is given, or it is not this process's to take over.
    """
    _check_new(out)
    has_begun = False

    def begin() -> None:
        nonlocal has_begun
        if began is not None:
            began()
        has_begun = True

    def redactor() -> Redactor | None:
        return redactor_for(recording, os.environ)

    journal = JournalWriter(out)

    def wrap(inner: Performer) -> Performer:
        return RecordingPerformer(inner, JournalSink(journal), cleaner=redactor())

    try:
        with journal:
            recorded = replace(world, wrap=wrap)
            result = await resume.resume_run(recording, agent, recorded, cleaner=redactor, began=begin)
        if isinstance(result.error, PerformerError) and not has_begun:
            # The first part could not even be written again, and a short copy of it would look like a run.
            raise JournalError(
                f"the run could not be recorded again, so nothing was carried out: {result.error}",
                where=str(out),
                next_step="make room there or name another file, and resume again",
            )
        return result
    except GoldrunError:
        if not has_begun:
            _remove(out)
        raise


def _check_new(out: Path) -> None:
    if out.exists():
        raise UsageError("this file exists already", where=str(out), next_step="name a new file")


def _remove(out: Path) -> None:
    out.unlink(missing_ok=True)
