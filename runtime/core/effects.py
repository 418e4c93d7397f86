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

import msgspec

from runtime.core.messages import Message, ModelReply, ModelRequest
from runtime.core.policy import Budget
from runtime.core.run import Header, Totals

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


class FailureKind(StrEnum):
    """How an effect failed."""

    TIMEOUT = "timeout"
    ERROR = "error"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    INTERRUPTED = "interrupted"
    IN_DOUBT = "in_doubt"


CallStatus = Literal[
    "ok",
    "error",
    "timeout",
    "denied",
    "unknown_tool",
    "invalid_arguments",
    "interrupted",
    "cached",
    "in_doubt",
    "not_started",
]


class _Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the values of this file."""


class Used(_Struct, frozen=True):
    """What a child run used of its parent's budget."""

    steps: int = 0
    tool_calls: int = 0
    tokens: int = 0
    nanos: int = 0


class Failure(_Struct, frozen=True):
    """How and where an effect failed.

    Attributes:
        kind: The class of failure.
        message: Redacted text for people.
        retryable: Whether the same call may be made again.
        phase: Where it failed: `connect`, `request`, `response`, `stream`, `run`.
        error_type: Exception class or provider error code.
        after_s: Seconds the other side asks to wait.
        used: What child runs of the call used before it failed.
        cause: For `interrupted`: `deadline`, `kill`, `tenant`, `cancelled`, `control_unavailable`.
    """

    kind: FailureKind
    message: str
    retryable: bool = False
    phase: str | None = None
    error_type: str | None = None
    after_s: float | None = None
    cause: str | None = None
    used: Used | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What came back and when.

    Attributes:
        value: The answer; `None` beside a failure.
        failure: How it failed, if it did.
        at: Seconds since the run began; `None` where it was not recorded.
        duration_s: Seconds the effect took; `None` where it was not recorded.
    """

    value: Any = None
    failure: Failure | None = None
    at: float | None = None
    duration_s: float | None = None


class Limits(_Struct, frozen=True):
    """What follows from time, money or identity; recorded, never matched.

    Attributes:
        deadline_s: Seconds since the run began at which the run is over.
        timeout_s: Hard limit of this attempt, in seconds.
        max_output_tokens: What is affordable, at most what is configured.
        reserved_nanousd: Worst case reserved before the call.
        idempotency_key: Makes a repeated write safe.
        child_budget: Slice of the run's budget that child runs of this call may use together.
    """

    deadline_s: float | None = None
    timeout_s: float | None = None
    max_output_tokens: int | None = None
    reserved_nanousd: int | None = None
    idempotency_key: str | None = None
    child_budget: Budget | None = None


NO_LIMITS = Limits()


class ToolResult(_Struct, frozen=True):
    """What a call came to.

    Attributes:
        content: The text the model sees.
        status: `ok`, `error` for an error of the tool's own domain, or a recorded refusal's status.
        error: The error's text, if it was one.
        artifact: Digest of the whole result, where it was too large and the model sees only its head.
        used: What child runs of the call used.
    """

    content: str
    status: CallStatus = "ok"
    error: str | None = None
    artifact: str | None = None
    used: Used | None = None


class Admission(_Struct, frozen=True):
    """Whether a call may start now.

    Attributes:
        granted: The verdict.
        cause: If not: `rate`, `concurrency`, `breaker`, `spend`, `disabled`, `tenant`, `kill`, `unavailable`.
        detail: Text for people.
    """

    granted: bool = True
    cause: str | None = None
    detail: str | None = None


class ApprovalAnswer(_Struct, frozen=True):
    """A recorded answer by a person or rule to one exact call."""

    decision: Literal["granted", "denied", "timeout"]
    by: str | None = None
    reason: str | None = None


class Controls(_Struct, frozen=True):
    """Switches that are pulled: `kill`, `tenant`, `unavailable`, or `tool:<name>`."""

    pulled: tuple[str, ...] = ()


class Denial(_Struct, frozen=True):
    """A call that a guard refused.

    Attributes:
        tool: Tool concerned; `None` where a recorded guard did not name one.
        rule: Which guard: `policy`, `approval`, `recorded`.
        message: What the model was told.
        lane: Where in the run.
        step: Step index.
    """

    tool: str | None
    rule: str
    message: str
    lane: str
    step: int


class InputReply(_Struct, frozen=True):
    """Further input after a step.

    Attributes:
        messages: What to append: a user's turn, a guard's reminder or refusal, or nothing.
        end: Stop reason text if the run ends here.
        denials: Refusals that the messages tell of.
    """

    messages: tuple[Message, ...] = ()
    end: str | None = None
    denials: tuple[Denial, ...] = ()


class Begin(_Struct, frozen=True):
    """The first effect of a run."""

    header: Header


class End(_Struct, frozen=True):
    """The last effect of a run; performed exactly once."""

    stop_reason: str
    output: str | None = None
    totals: Totals = Totals()
    trace_hash: str | None = None
    detail: str | None = None


class CallModel(_Struct, frozen=True):
    """Ask a model."""

    lane: str
    request: ModelRequest
    limits: Limits = NO_LIMITS


class CallTool(_Struct, frozen=True):
    """Run one tool call; `bound` is the validated value, which stays in the process."""

    lane: str
    call_id: str
    name: str
    arguments: Any
    args_hash: str
    write: bool = False
    limits: Limits = NO_LIMITS
    bound: Any = None


class Refuse(_Struct, frozen=True):
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


class Admit(_Struct, frozen=True):
    """Ask for rate, concurrency, breaker and spend of one call."""

    lane: str
    subject: Literal["model", "tool"]
    name: str
    limits: Limits = NO_LIMITS


class AskApproval(_Struct, frozen=True):
    """Ask a person or rule about one exact call."""

    lane: str
    call_id: str
    name: str
    arguments: Any
    args_hash: str
    policy_hash: str
    timeout_s: float


class ReadControls(_Struct, frozen=True):
    """Read the switches again, after a wait for people."""

    lane: str
    tools: tuple[str, ...] = ()


class Wait(_Struct, frozen=True):
    """Wait before the next attempt."""

    lane: str
    seconds: float


class Input(_Struct, frozen=True):
    """Ask for further input after a step."""

    lane: str


class Load(_Struct, frozen=True):
    """Read a value of the run's state."""

    lane: str
    name: str


class Save(_Struct, frozen=True):
    """Write a value of the run's state."""

    lane: str
    name: str
    value: Any


class Note(_Struct, frozen=True):
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


class Batch(_Struct, frozen=True):
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
