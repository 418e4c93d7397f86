"""The live performer of a run, wired to what the run was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from runtime.core.effects import ToolResult
from runtime.core.run import Header
from runtime.entry.agent import Agent
from runtime.entry.children import CallChildren, Start
from runtime.entry.state import State, bind_state
from runtime.errors import GoldrunError
from runtime.execution.clock import Clock, SystemClock
from runtime.execution.handed import Ports
from runtime.execution.live import LivePerformer
from runtime.ports.models import ModelPort, StreamObserver
from runtime.ports.state import Artifacts, MemoryAudit, RunState
from runtime.ports.tools import ApprovalDesk, InputSource
from runtime.tools.results import cap_result


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a run is given of the world; see `run_agent_async`.

    Attributes:
        model: Answers model calls.
        desk: Asked for approvals.
        inputs: Gives further turns.
        observer: Sees text as it streams.
        clock: Time; the system's by default.
        state: What runs share.
        artifacts: In place of the state's.
        audit: Told of changes of memory.
    """

    model: ModelPort
    desk: ApprovalDesk | None = None
    inputs: InputSource | None = None
    observer: StreamObserver | None = None
    clock: Clock | None = None
    state: State | None = None
    artifacts: Artifacts | None = None
    audit: MemoryAudit | None = None


@dataclass(frozen=True, slots=True)
class Wired:
    """A live performer, and what its run keeps and shares."""

    live: LivePerformer
    state: RunState


def wire(
    agent: Agent, header: Header, given: Given, *, start: Start, elapsed_s: float = 0.0, execution: int = 1
) -> Wired:
    """Return the live performer of a run.

    Args:
        agent: What runs.
        header: The run's header.
        given: The world.
        start: Starts a child of the run.
        elapsed_s: Seconds that a resumed run has used before.
        execution: Number of this execution of the run, from 1; higher where it took the run over.
    """
    bound = bind_state(
        header, slots=agent.scratch, state=given.state, artifacts=given.artifacts, audit=given.audit
    )
    ports = Ports(
        model=given.model,
        tools={t.name: t for t in agent.tools},
        desk=given.desk,
        inputs=given.inputs,
        observer=given.observer,
        rates=header.rates,
        clock=given.clock or SystemClock(),
        children=lambda call: CallChildren(header, call, start, execution=execution),
        cap=_cap(agent, bound.stores.artifacts),
        state=bound,
    )
    return Wired(LivePerformer(ports, elapsed_s=elapsed_s), bound)


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
