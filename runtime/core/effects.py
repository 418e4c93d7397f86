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
from typing import Any, Generic, Literal, Protocol, TypeVar, assert_never, overload

from runtime.core.messages import ModelReply, ModelRequest
from runtime.core.outcomes import (
    NO_LIMITS,
    Admission,
    AnyOutcome,
    ApprovalAnswer,
    CallStatus,
    Controls,
    Denial,
    Failure,
    FailureKind,
    InputReply,
    Limits,
    Outcome,
    ProgramCall,
    ToolResult,
    Used,
    Value,
)
from runtime.core.run import Header, Totals

__all__ = [
    "DONE",
    "KIND_OF",
    "NO_LIMITS",
    "RETIRED_KINDS",
    "VALUE_OF",
    "Admission",
    "Admit",
    "AnyOutcome",
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
    "Outcome",
    "Performer",
    "ProgramCall",
    "ReadControls",
    "Refuse",
    "SingleEffect",
    "SyncPerformer",
    "ToolResult",
    "Used",
    "Wait",
    "limits_of",
    "name_of",
    "perform",
]

R = TypeVar("R")


class EffectKind(StrEnum):
    """What a record is about: the effects of a flow, a recorded HTTP exchange, and kinds that only old files hold."""

    BEGIN = "begin"
    MODEL = "model"
    TOOL = "tool"
    INPUT = "input"
    ADMIT = "admit"
    APPROVAL = "approval"
    CONTROLS = "controls"
    WAIT = "wait"
    HTTP = "http"
    END = "end"
    LOAD = "load"
    SAVE = "save"
    MESSAGE = "message"
    NOTE = "note"


RETIRED_KINDS = frozenset({EffectKind.LOAD, EffectKind.SAVE, EffectKind.MESSAGE, EffectKind.NOTE})
"""Kinds of records that no effect has any more; files of earlier versions may hold them."""


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
    """A call that a guard above the seam does not start: recorded, and answered at once.

    `filled` holds the arguments with the tool's defaults, where an argument rule refused these.
    """

    lane: str
    call_id: str
    name: str
    arguments: Any
    args_hash: str
    status: CallStatus
    message: str
    rule: str
    write: bool = False
    filled: Any = None


class Admit(Value, frozen=True):
    """Ask for rate, concurrency, breaker and spend of one call; a tool's `call` stays in the process."""

    lane: str
    subject: Literal["model", "tool"]
    name: str
    limits: Limits = NO_LIMITS
    call: CallTool | None = None


class AskApproval(Value, frozen=True):
    """Ask a person or rule about one exact call.

    Attributes:
        arguments: What would be carried out: the model's arguments with the tool's defaults.
        args_hash: Fingerprint of these; the answer is bound to it.
        given: The model's own arguments, where the tool fills in others.
        given_hash: Fingerprint of these; `None` where the tool fills in nothing.
    """

    lane: str
    call_id: str
    name: str
    arguments: Any
    args_hash: str
    policy_hash: str
    timeout_s: float
    given: Any = None
    given_hash: str | None = None

    @property
    def decided(self) -> Any:
        """The arguments as the model gave them; the key is of these."""
        return self.arguments if self.given_hash is None else self.given

    @property
    def decided_hash(self) -> str:
        """Fingerprint of the arguments as the model gave them, which the call's other effects carry too."""
        return self.args_hash if self.given_hash is None else self.given_hash


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


SingleEffect = Begin | End | CallModel | CallTool | Refuse | Admit | AskApproval | ReadControls | Wait | Input


E_co = TypeVar("E_co", bound=SingleEffect, covariant=True)


class Batch(Value, Generic[E_co], frozen=True):
    """Effects of one kind and turn; the outcome's value is the tuple of their outcomes in declared order."""

    effects: tuple[E_co, ...]


Effect = SingleEffect | Batch[SingleEffect]
Flow = Generator[Effect, AnyOutcome, R]

DONE: Outcome[None] = Outcome(at=None)


class Performer(Protocol):
    """Carries out single effects; live performers are async only."""

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return the effect's outcome; failures are outcomes too."""
        ...


class SyncPerformer(Protocol):
    """Answers single effects without waiting: replay."""

    def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return the effect's outcome; failures are outcomes too."""
        ...


@overload
def perform(effect: CallModel) -> Flow[Outcome[ModelReply]]: ...
@overload
def perform(effect: CallTool) -> Flow[Outcome[ToolResult]]: ...
@overload
def perform(effect: Admit) -> Flow[Outcome[Admission]]: ...
@overload
def perform(effect: AskApproval) -> Flow[Outcome[ApprovalAnswer]]: ...
@overload
def perform(effect: ReadControls) -> Flow[Outcome[Controls]]: ...
@overload
def perform(effect: Input) -> Flow[Outcome[InputReply]]: ...
@overload
def perform(effect: Begin | End | Refuse | Wait) -> Flow[Outcome[None]]: ...
@overload
def perform(effect: Batch[CallTool]) -> Flow[Outcome[tuple[Outcome[ToolResult], ...]]]: ...
@overload
def perform(effect: Batch[Admit]) -> Flow[Outcome[tuple[Outcome[Admission], ...]]]: ...
@overload
def perform(effect: Batch[AskApproval]) -> Flow[Outcome[tuple[Outcome[ApprovalAnswer], ...]]]: ...
@overload
def perform(effect: Batch[Refuse]) -> Flow[Outcome[tuple[Outcome[None], ...]]]: ...
@overload
def perform(effect: Batch[SingleEffect]) -> Flow[Outcome[tuple[AnyOutcome, ...]]]: ...
def perform(effect: Effect) -> Flow[AnyOutcome]:
    """Yield one effect and return its outcome: the only `yield` of the code base."""
    outcome = yield effect
    return outcome


def name_of(effect: SingleEffect) -> str | None:
    """Return the tool or model an effect is about; `None` if it is about none."""
    match effect:
        case CallModel():
            return effect.request.model
        case CallTool() | Refuse() | Admit() | AskApproval():
            return effect.name
        case Begin() | End() | ReadControls() | Wait() | Input():
            return None
        case _:
            assert_never(effect)


def limits_of(effect: SingleEffect) -> Limits | None:
    """Return what time, money or identity say of an effect; `None` for one that has no such limits."""
    match effect:
        case CallModel() | CallTool() | Admit():
            return effect.limits
        case Begin() | End() | Refuse() | AskApproval() | ReadControls() | Wait() | Input():
            return None
        case _:
            assert_never(effect)


KIND_OF: dict[type[SingleEffect], EffectKind] = {
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
