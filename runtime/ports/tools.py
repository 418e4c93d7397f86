"""What the live performer needs to run tools and ask people. Protocols only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from runtime.core.effects import (
    ApprovalAnswer,
    AskApproval,
    CallTool,
    InputReply,
    ToolResult,
    Used,
)
from runtime.core.messages import Message
from runtime.errors import UsageError
from runtime.ports.state import Artifacts, CallScratch, CallState, RunMemory, Scope, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool gets beside its arguments; bound at entry, never chosen by a model.

    Attributes:
        request_id: Finds the run.
        tenant: Whose run it is.
        environment: Which world it runs in.
        lane: The call's place in the run.
        attempt: Attempt of this call, from 1.
        idempotency_key: Makes a repeated write safe; `None` for reads.
        seconds_left: Until the attempt is cancelled; `None` if it has no limit.
        child: Runs another agent as a child of this call, on a slice of the run's budget; its `RunResult`.
        on_late: Called with the result of an abandoned call that ended; `None` where it failed.
        state: What the call may keep, share and use; see `scratch`, `memory`, `artifacts` and `credential`.
    """

    request_id: str
    tenant: str
    environment: str
    lane: str
    attempt: int
    idempotency_key: str | None
    seconds_left: float | None
    child: Callable[[Any, Any], Awaitable[Any]] | None = None
    on_late: Callable[[ToolResult | None], None] | None = None
    state: CallState | None = None

    @property
    def scope(self) -> Scope:
        """Tenant and environment, for clients and stores of the tool's own."""
        return Scope(tenant=self.tenant, environment=self.environment)

    @property
    def scratch(self) -> CallScratch:
        """The small typed values of this run; they last as long as it does."""
        return self._state().scratch

    @property
    def memory(self) -> RunMemory:
        """What is remembered about subjects of this tenant and environment, each with an end.

        Raises:
            UsageError: If the run was given no memory.
        """
        return self._state().memory

    @property
    def artifacts(self) -> Artifacts:
        """Files and large results of this tenant and environment, by digest.

        Raises:
            UsageError: If the run was given no artifacts.
        """
        return self._state().artifacts

    def credential(self, name: str) -> Secret:
        """Return a credential of this tenant and environment; what the call gives back is cleaned of it.

        Raises:
            UsageError: If the run was given no credentials, or this scope has none of that name.
        """
        return self._state().credential(name)

    def _state(self) -> CallState:
        if self.state is None:
            raise UsageError(
                "this call was made without a run's state", next_step="make it through run_agent"
            )
        return self.state


class ToolPort(Protocol):
    """Runs one tool."""

    def call(self, bound: Any, context: ToolContext) -> Awaitable[ToolResult]:
        """Run a call with its validated arguments; an exception is a failure of the call."""
        ...


TOOL_THREAD = "goldrun-tool-"
"""How the names of the threads begin that tools run in."""

IN_TOOL_THREAD: ContextVar[bool] = ContextVar("IN_TOOL_THREAD", default=False)
"""Whether this runs in a thread tool, or in what one started with its context; says nothing about who asks."""

Reconcile = Callable[[Any, str], Awaitable[ToolResult | None]]
"""Finds out, from a write's bound arguments and its key, whether it happened; `None` if it did not."""


class ChildRuns(Protocol):
    """The child runs of one call."""

    @property
    def used(self) -> Used:
        """What they used so far."""
        ...

    @property
    def in_doubt(self) -> int:
        """Writes in doubt that they left behind."""
        ...

    @property
    def wrote(self) -> bool:
        """Whether they carried out writes."""
        ...

    def child(self, agent: Any, prompt: Any) -> Awaitable[Any]:
        """Run an agent as a child of the call."""
        ...

    def close(self) -> None:
        """Let them make no further call of their own."""
        ...


@runtime_checkable
class TellsLate(Protocol):
    """A performer that reports the late ends of abandoned calls."""

    def on_late(self, listener: Callable[[CallTool, ToolResult | None], None]) -> None:
        """Register a callback for each, with its result if it gave one; the run may be over by then."""
        ...


class ApprovalDesk(Protocol):
    """Asks a person or rule about one exact call."""

    def ask(self, call: AskApproval) -> Awaitable[ApprovalAnswer]:
        """Return the answer; the caller limits the wait."""
        ...


class InputSource(Protocol):
    """Gives further input after a step: the next turn of a user."""

    def next(self, conversation: tuple[Message, ...]) -> Awaitable[InputReply]:
        """Return messages to append, or the end of the run."""
        ...
