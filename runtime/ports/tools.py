"""What the live performer is handed to run tools, ask people and read switches. Protocols only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from runtime.core.effects import (
    Admission,
    Admit,
    ApprovalAnswer,
    AskApproval,
    Controls,
    InputReply,
    ToolResult,
)
from runtime.core.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool is told beside its arguments; bound at entry, never chosen by a model.

    Attributes:
        request_id: Finds the run.
        tenant: Whose run it is.
        environment: Which world it runs in.
        lane: The call's place in the run.
        attempt: Attempt of this call, from 1.
        idempotency_key: Makes a repeated write safe; `None` for reads.
        seconds_left: Until the attempt is cancelled; `None` if it has no limit.
        on_late: Told the outcome of a call that was given up and ended after all.
    """

    request_id: str
    tenant: str
    environment: str
    lane: str
    attempt: int
    idempotency_key: str | None
    seconds_left: float | None
    on_late: Callable[[ToolResult], None] | None = None


class ToolPort(Protocol):
    """Runs one tool."""

    def call(self, bound: Any, context: ToolContext) -> Awaitable[ToolResult]:
        """Run a call with its validated arguments; an exception is a failure of the call."""
        ...


class ApprovalDesk(Protocol):
    """Asks a person or rule about one exact call."""

    def ask(self, call: AskApproval) -> Awaitable[ApprovalAnswer]:
        """Return the answer; the caller limits the wait."""
        ...


class ControlPlane(Protocol):
    """Admits calls and tells which switches are pulled."""

    def admit(self, call: Admit) -> Awaitable[Admission]:
        """Return whether a call may start now."""
        ...

    def read(self, tools: tuple[str, ...]) -> Awaitable[Controls]:
        """Return the switches that are pulled for this run and these tools."""
        ...


class InputSource(Protocol):
    """Gives further input after a step: the next turn of a user."""

    def next(self, conversation: tuple[Message, ...]) -> Awaitable[InputReply]:
        """Return messages to append, or the end of the run."""
        ...
