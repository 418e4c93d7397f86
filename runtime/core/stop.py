"""Stop reasons: the one cause a run ended, `kind` or `kind:subject`.

docs/stop-reasons.md says what each of them means to the people on call, and in which order they take precedence.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class StopKind(StrEnum):
    """What ended a run."""

    FINISH = "finish"
    MAX_STEPS = "max_steps"
    MAX_SECONDS = "max_seconds"
    MAX_USD = "max_usd"
    MAX_TOKENS = "max_tokens"
    MAX_TOOL_CALLS = "max_tool_calls"
    POLICY_DENY = "policy_deny"
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_TIMEOUT = "approval_timeout"
    TOOL_TIMEOUT = "tool_timeout"
    TOOL_ERROR_EXHAUSTED = "tool_error_exhausted"
    TOOL_UNHEALTHY = "tool_unhealthy"
    TOOL_RATE_LIMITED = "tool_rate_limited"
    TOOL_DISABLED = "tool_disabled"
    TENANT_DISABLED = "tenant_disabled"
    LOOP_DETECTED = "loop_detected"
    OPERATOR_KILL = "operator_kill"
    MODEL_TIMEOUT = "model_timeout"
    MODEL_ERROR_EXHAUSTED = "model_error_exhausted"
    MODEL_UNHEALTHY = "model_unhealthy"
    MODEL_REFUSED = "model_refused"
    MODEL_RATE_LIMITED = "model_rate_limited"
    OUTPUT_TRUNCATED = "output_truncated"
    INVALID_ACTION = "invalid_action"
    IN_DOUBT = "in_doubt"
    CONCURRENCY_LIMITED = "concurrency_limited"
    CONTROL_UNAVAILABLE = "control_unavailable"
    CANCELLED = "cancelled"
    CRASHED = "crashed"
    INTERNAL_ERROR = "internal_error"
    OPEN = "open"


class StopClass(StrEnum):
    """The family of a stop reason, as reports count it."""

    FINISH = "finish"
    BUDGET = "budget"
    POLICY = "policy"
    TOOL = "tool"
    MODEL = "model"
    LOOP = "loop"
    OPERATOR = "operator"
    FAULT = "fault"


_K, _C = StopKind, StopClass
CLASS_OF: dict[StopKind, StopClass] = {
    _K.FINISH: _C.FINISH,
    _K.MAX_STEPS: _C.BUDGET,
    _K.MAX_SECONDS: _C.BUDGET,
    _K.MAX_USD: _C.BUDGET,
    _K.MAX_TOKENS: _C.BUDGET,
    _K.MAX_TOOL_CALLS: _C.BUDGET,
    _K.POLICY_DENY: _C.POLICY,
    _K.APPROVAL_DENIED: _C.POLICY,
    _K.APPROVAL_TIMEOUT: _C.POLICY,
    _K.TOOL_DISABLED: _C.POLICY,
    _K.TENANT_DISABLED: _C.POLICY,
    _K.TOOL_TIMEOUT: _C.TOOL,
    _K.TOOL_ERROR_EXHAUSTED: _C.TOOL,
    _K.TOOL_UNHEALTHY: _C.TOOL,
    _K.TOOL_RATE_LIMITED: _C.TOOL,
    _K.IN_DOUBT: _C.TOOL,
    _K.CONCURRENCY_LIMITED: _C.TOOL,
    _K.MODEL_TIMEOUT: _C.MODEL,
    _K.MODEL_ERROR_EXHAUSTED: _C.MODEL,
    _K.MODEL_UNHEALTHY: _C.MODEL,
    _K.MODEL_REFUSED: _C.MODEL,
    _K.MODEL_RATE_LIMITED: _C.MODEL,
    _K.OUTPUT_TRUNCATED: _C.MODEL,
    _K.INVALID_ACTION: _C.MODEL,
    _K.LOOP_DETECTED: _C.LOOP,
    _K.OPERATOR_KILL: _C.OPERATOR,
    _K.CANCELLED: _C.OPERATOR,
    _K.CONTROL_UNAVAILABLE: _C.FAULT,
    _K.CRASHED: _C.FAULT,
    _K.INTERNAL_ERROR: _C.FAULT,
    _K.OPEN: _C.FAULT,
}

SUBJECT_KINDS = frozenset(
    {
        _K.POLICY_DENY,
        _K.APPROVAL_DENIED,
        _K.TOOL_TIMEOUT,
        _K.TOOL_ERROR_EXHAUSTED,
        _K.TOOL_UNHEALTHY,
        _K.TOOL_RATE_LIMITED,
        _K.TOOL_DISABLED,
        _K.MODEL_TIMEOUT,
        _K.MODEL_ERROR_EXHAUSTED,
        _K.MODEL_UNHEALTHY,
        _K.MODEL_RATE_LIMITED,
        _K.IN_DOUBT,
        _K.CONCURRENCY_LIMITED,
    }
)
"""Kinds whose text form names a tool or a model."""


class StopReason(msgspec.Struct, frozen=True):
    """The one cause a run ended."""

    kind: StopKind
    subject: str | None = None

    def __str__(self) -> str:
        return self.kind.value if self.subject is None else f"{self.kind.value}:{self.subject}"

    @property
    def stop_class(self) -> StopClass:
        """The family that reports count this reason in."""
        return CLASS_OF[self.kind]


def parse_stop(text: str) -> StopReason:
    """Return the stop reason of a text form.

    Raises:
        ValueError: If the kind is unknown, or has or lacks a subject against its rule.
    """
    kind_text, _, subject = text.partition(":")
    try:
        kind = StopKind(kind_text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a stop reason; kinds are {', '.join(StopKind)}") from error
    if (kind in SUBJECT_KINDS) != bool(subject):
        needs = "names a tool or model" if kind in SUBJECT_KINDS else "has no subject"
        raise ValueError(f"{text!r} is not a stop reason: {kind_text} {needs}")
    return StopReason(kind, subject or None)


# What makes every other statement about a run unreliable comes first, then people's decisions, then the limits that
# were agreed before the run. `crashed` and `open` are set after a run, so they compete with nothing.
_KIND_RANK = {
    kind: rank
    for rank, kind in enumerate(
        (
            _K.INTERNAL_ERROR,
            _K.CONTROL_UNAVAILABLE,
            _K.OPERATOR_KILL,
            _K.TENANT_DISABLED,
            _K.CANCELLED,
            _K.IN_DOUBT,
        )
    )
}
_CLASS_ORDER = (_C.OPERATOR, _C.POLICY, _C.BUDGET, _C.TOOL, _C.MODEL, _C.LOOP, _C.FAULT, _C.FINISH)
_CLASS_RANK = {name: len(_KIND_RANK) + rank for rank, name in enumerate(_CLASS_ORDER)}


def first_stop(reasons: list[StopReason]) -> StopReason | None:
    """Return the reason that takes precedence when several apply; the first of equals."""
    if not reasons:
        return None
    return min(reasons, key=lambda reason: _KIND_RANK.get(reason.kind, _CLASS_RANK[reason.stop_class]))
