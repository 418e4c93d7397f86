"""Outcomes: what comes back for an effect, how it can fail, and what each kind of effect answers with."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

import msgspec

from runtime.core.messages import Message
from runtime.core.policy import BudgetSlice


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


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of small frozen values of the seam; none is part of a cycle, so the collector need not see them."""


class Used(Value, frozen=True):
    """What a child run used of its parent's budget."""

    steps: int = 0
    tool_calls: int = 0
    tokens: int = 0
    nanos: int = 0


class Failure(Value, frozen=True):
    """How and where an effect failed.

    Attributes:
        kind: The class of failure.
        message: Redacted text for people.
        retryable: Whether the same call may be made again.
        phase: Where it failed: `connect` (nothing was sent), `request`, `response`, `rejected` (the other side would
            not take it, and did nothing), `stream`, `run`, `lost` (it was sent, and the answer never came),
            `abandoned` (its timeout passed and it still runs).
        error_type: Exception class or provider error code.
        after_s: Seconds the other side asks to wait.
        used: What child runs of the call used before it failed.
        cause: What a guard of ours stopped it for. For `interrupted`: `deadline`, `kill`, `tenant`, `cancelled`,
            `control_unavailable`; else as `Admission.cause` names it, or `busy`.
    """

    kind: FailureKind
    message: str
    retryable: bool = False
    phase: str | None = None
    error_type: str | None = None
    after_s: float | None = None
    cause: str | None = None
    used: Used | None = None


T_co = TypeVar("T_co", covariant=True)


class Outcome(msgspec.Struct, Generic[T_co], frozen=True, gc=False):
    """What came back and when; typed by the effect it answers (`runtime.core.effects.perform`).

    Attributes:
        value: The answer; `None` beside a failure.
        failure: How it failed, if it did.
        at: Seconds since the run began; `None` where it was not recorded.
        duration_s: Seconds the effect took; `None` where it was not recorded.
    """

    value: T_co | None = None
    failure: Failure | None = None
    at: float | None = None
    duration_s: float | None = None


AnyOutcome = Outcome[Any]
"""The outcome of an effect whose kind is not known where it is passed on."""


class Limits(Value, frozen=True):
    """What follows from time, money or identity; recorded, never matched.

    Attributes:
        deadline_s: Seconds since the run began at which the run is over.
        timeout_s: Hard limit of this attempt, in seconds.
        max_output_tokens: What is affordable, at most what is configured.
        reserved_nanousd: Worst case reserved before the call.
        reserved_tokens: Most tokens that a model call can use, where tokens are capped across runs.
        idempotency_key: Makes a repeated write safe.
        child_budget: Slice of the run's budget that child runs of this call may use together.
    """

    deadline_s: float | None = None
    timeout_s: float | None = None
    max_output_tokens: int | None = None
    reserved_nanousd: int | None = None
    reserved_tokens: int | None = None
    idempotency_key: str | None = None
    child_budget: BudgetSlice | None = None


NO_LIMITS = Limits()


class ToolResult(Value, frozen=True):
    """What a call came to.

    Attributes:
        content: The text the model sees.
        status: `ok`, `error` for an error of the tool's own domain, or a recorded refusal's status.
        error: The error's text, if it was one.
        artifact: Digest of the whole result, where it was too large and the model sees only its head.
        used: What child runs of the call used.
        saved: What the call put into the run's scratch, by slot; `None` for a slot that it emptied.
    """

    content: str
    status: CallStatus = "ok"
    error: str | None = None
    artifact: str | None = None
    used: Used | None = None
    saved: dict[str, Any] | None = None


class Admission(Value, frozen=True):
    """Whether a call may start now.

    Attributes:
        granted: The verdict.
        cause: If not: `rate`, `concurrency`, `breaker`, `spend`, `disabled`, `tenant`, `kill`, `unavailable`.
        detail: Text for people.
        unit: For `spend`: what was short: `nanos`, `tokens`, `tool_calls`, `steps`.
    """

    granted: bool = True
    cause: str | None = None
    detail: str | None = None
    unit: str | None = None


class ApprovalAnswer(Value, frozen=True):
    """A recorded answer by a person or rule to one exact call."""

    decision: Literal["granted", "denied", "timeout"]
    by: str | None = None
    reason: str | None = None


class Controls(Value, frozen=True):
    """Switches that are pulled: `kill`, `tenant`, `unavailable`, or `tool:<name>`."""

    pulled: tuple[str, ...] = ()


class Denial(Value, frozen=True):
    """A call that a guard refused.

    Attributes:
        tool: Tool concerned; `None` where a recorded guard did not name one.
        rule: Which guard: `policy`, `approval`, `recorded`.
        message: What the model was sent.
        lane: Where in the run.
        step: Step index.
    """

    tool: str | None
    rule: str
    message: str
    lane: str
    step: int


class ProgramCall(Value, frozen=True):
    """A call that a recorded agent's program made and no reply asked for.

    Attributes:
        name: Tool that was called.
        arguments: What it was called with.
        result: How it went, with what the model read of it.
    """

    name: str
    arguments: Any
    result: ToolResult


class InputReply(Value, frozen=True):
    """Further input after a step.

    Attributes:
        messages: What to append: a user's turn, a guard's reminder or refusal, or nothing.
        end: Stop reason text if the run ends here.
        denials: Refusals that the messages tell of.
        calls: Calls that the agent's program made after the step; the messages hold their results.
    """

    messages: tuple[Message, ...] = ()
    end: str | None = None
    denials: tuple[Denial, ...] = ()
    calls: tuple[ProgramCall, ...] = ()
