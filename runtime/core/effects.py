"""The seam: effects the flow asks for, outcomes it is sent, and the only `yield`.

Rules.
1. The flow (`runtime.orchestrator`) is a generator. It yields a frozen effect and is sent a frozen outcome.
   The one `yield` of the code base stands in `perform()`.
2. A failed effect is an outcome holding a `Failure`, never an exception thrown into the flow.
3. Time comes with the outcome: `at` is seconds since the run began, from one monotonic clock below the seam.
4. A `Batch` is one effect to the flow; drivers take it apart, so performers see single effects only.
5. What follows from time, money or identity rides on an effect as `limits` and is never part of a key.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeVar

from runtime.core.messages import ModelReply, ModelRequest
from runtime.core.outcomes import (
    NO_LIMITS,
    Admission,
    ApprovalAnswer,
    CallStatus,
    Controls,
    Denial,
    Failure,
    FailureKind,
    InputReply,
    Limits,
    Outcome,
    ToolResult,
    Used,
    Value,
)
from runtime.core.run import Header, Totals

__all__ = [
    "DONE",
    "KIND_OF",
    "NO_LIMITS",
    "VALUE_OF",
    "Admission",
    "Admit",
    "ApprovalAnswer",
    "AskApproval",
    "Batch",
    "Begin",
    "CallModel",
    "CallStatus",
    "CallTool",
    "Controls",
    "Denial",
    "Effect",
    "EffectKind",
    "End",
    "Failure",
    "FailureKind",
    "Flow",
    "Input",
    "InputReply",
    "Limits",
    "Load",
    "Note",
    "Outcome",
    "Performer",
    "ReadControls",
    "Refuse",
    "Save",
    "SingleEffect",
    "SyncPerformer",
    "ToolResult",
    "Used",
    "Wait",
    "perform",
]

R = TypeVar("R")


class EffectKind(StrEnum):
    """What a record is about."""

    BEGIN = "begin"
    MODEL = "model"
    TOOL = "tool"
    INPUT = "input"
    ADMIT = "admit"
    APPROVAL = "approval"
    CONTROLS = "controls"
    LOAD = "load"
    SAVE = "save"
    WAIT = "wait"
    HTTP = "http"
    MESSAGE = "message"
    NOTE = "note"
    END = "end"


class Begin(Value, frozen=True):
    """The first effect of a run."""

    header: Header


class End(Value, frozen=True):
    """The last effect of a run; performed exactly once.

    `spent` is what a child run counts as in its parent's budget: unlike the totals it holds what was charged for
    replies that were lost, and it stays in the process.
    """

    stop_reason: str
    output: str | None = None
    totals: Totals = Totals()
    trace_hash: str | None = None
    detail: str | None = None
    spent: Used | None = None


class CallModel(Value, frozen=True):
    """Ask a model."""

    lane: str
    request: ModelRequest
    limits: Limits = NO_LIMITS


class CallTool(Value, frozen=True):
    """Run one tool call; `bound` is the validated value, which stays in the process."""

    lane: str
    call_id: str
    name: str
    arguments: Any
    args_hash: str
    write: bool = False
    limits: Limits = NO_LIMITS
    bound: Any = None


class Refuse(Value, frozen=True):
    """A call that a guard above the seam does not start; told to the log, answered at once."""

    lane: str
    call_id: str
    name: str
    arguments: Any
    args_hash: str
    status: CallStatus
    message: str
    rule: str
    write: bool = False


class Admit(Value, frozen=True):
    """Ask for rate, concurrency, breaker and spend of one call."""

    lane: str
    subject: Literal["model", "tool"]
    name: str
    limits: Limits = NO_LIMITS


class AskApproval(Value, frozen=True):
    """Ask a person or rule about one exact call."""

    lane: str
    call_id: str
    name: str
    arguments: Any
    args_hash: str
    policy_hash: str
    timeout_s: float


class ReadControls(Value, frozen=True):
    """Read the switches again, after a wait for people."""

    lane: str
    tools: tuple[str, ...] = ()


class Wait(Value, frozen=True):
    """Wait before the next attempt."""

    lane: str
    seconds: float


class Input(Value, frozen=True):
    """Ask for further input after a step."""

    lane: str


class Load(Value, frozen=True):
    """Read a value of the run's state."""

    lane: str
    name: str


class Save(Value, frozen=True):
    """Write a value of the run's state."""

    lane: str
    name: str
    value: Any


class Note(Value, frozen=True):
    """A fact for the log alone."""

    lane: str
    name: str
    data: Any = None


SingleEffect = (
    Begin
    | End
    | CallModel
    | CallTool
    | Refuse
    | Admit
    | AskApproval
    | ReadControls
    | Wait
    | Input
    | Load
    | Save
    | Note
)


class Batch(Value, frozen=True):
    """Effects of one turn; the outcome's value is the tuple of their outcomes in declared order."""

    effects: tuple[SingleEffect, ...]


Effect = SingleEffect | Batch
Flow = Generator[Effect, Outcome, R]

DONE = Outcome(at=None)


class Performer(Protocol):
    """Carries out single effects; live performers are async only."""

    async def perform(self, effect: SingleEffect) -> Outcome:
        """Return the effect's outcome; failures are outcomes too."""
        ...


class SyncPerformer(Protocol):
    """Answers single effects without waiting: replay."""

    def perform(self, effect: SingleEffect) -> Outcome:
        """Return the effect's outcome; failures are outcomes too."""
        ...


def perform(effect: Effect) -> Flow[Outcome]:
    """Yield one effect and return its outcome: the only `yield` of the code base."""
    outcome = yield effect
    return outcome


KIND_OF: dict[type, EffectKind] = {
    Begin: EffectKind.BEGIN,
    End: EffectKind.END,
    CallModel: EffectKind.MODEL,
    CallTool: EffectKind.TOOL,
    Refuse: EffectKind.TOOL,
    Admit: EffectKind.ADMIT,
    AskApproval: EffectKind.APPROVAL,
    ReadControls: EffectKind.CONTROLS,
    Wait: EffectKind.WAIT,
    Input: EffectKind.INPUT,
    Load: EffectKind.LOAD,
    Save: EffectKind.SAVE,
    Note: EffectKind.NOTE,
}

VALUE_OF: dict[EffectKind, type] = {
    EffectKind.MODEL: ModelReply,
    EffectKind.TOOL: ToolResult,
    EffectKind.ADMIT: Admission,
    EffectKind.APPROVAL: ApprovalAnswer,
    EffectKind.CONTROLS: Controls,
    EffectKind.INPUT: InputReply,
}
"""The type of an outcome's value for each kind that has one."""
