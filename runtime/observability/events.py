"""Events: what a run did, as it happens; one source for log lines, metrics and the audit log.

An event is made from an effect (its intent) and from its outcome; it is never changed afterwards. Arguments are
never in it, only their hash, keyed for each tenant: a plain hash of a small value can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from runtime.core.effects import (
    Admit,
    AskApproval,
    Begin,
    CallModel,
    CallTool,
    End,
    Outcome,
    Performer,
    Refuse,
    SingleEffect,
)
from runtime.core.fold import failure_status
from runtime.core.run import Header, Totals

EventKind = Literal["run_started", "intent", "outcome", "refused", "approval", "not_admitted", "run_ended"]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fact of one run.

    Attributes:
        kind: What happened.
        request_id: Finds the run.
        run_id: Names the execution.
        tenant: Whose run it is.
        environment: Which world.
        agent: Which agent.
        lane: Where in the run; empty for the run itself.
        subject: `model` or `tool`, for calls.
        name: Model or tool.
        status: What became of a call.
        args_hash: Keyed fingerprint of a call's arguments.
        write: Whether the call has effects outside.
        idempotency_key: Key of a write.
        at_s: Seconds since the run began.
        duration_s: Seconds it took.
        input_tokens: Of a model call.
        output_tokens: Of a model call.
        cost_nanousd: Of a model call or a run.
        error_type: Class of a failure.
        stop_reason: How the run ended.
        totals: What the run used.
    """

    kind: EventKind
    request_id: str
    run_id: str
    tenant: str
    environment: str
    agent: str
    deploy: str | None = None
    lane: str = ""
    subject: Literal["model", "tool"] | None = None
    name: str | None = None
    status: str | None = None
    args_hash: str | None = None
    write: bool = False
    idempotency_key: str | None = None
    at_s: float | None = None
    duration_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nanousd: int | None = None
    error_type: str | None = None
    stop_reason: str | None = None
    totals: Totals | None = None


class EventSink(Protocol):
    """Takes events; must not block for long and must not raise for what it cannot keep."""

    def take(self, event: Event) -> None:
        """Take one event."""
        ...


class ObservingPerformer:
    """Tells sinks of each effect before and after another performer carries it out."""

    def __init__(self, inner: Performer, sinks: Sequence[EventSink], *, key: bytes) -> None:
        self._inner = inner
        self._sinks = tuple(sinks)
        self._key = key
        self._header: Header | None = None
        self._tenant_key = key

    async def perform(self, effect: SingleEffect) -> Outcome:
        """Perform an effect between its events."""
        if isinstance(effect, Begin):
            self._header = effect.header
            scope = f"{effect.header.tenant}\0{effect.header.environment}".encode()
            self._tenant_key = hmac.digest(self._key, scope, "sha256")
            self._tell("run_started")
            return await self._inner.perform(effect)
        if isinstance(effect, CallModel | CallTool):
            self._tell("intent", **self._call(effect))
        outcome = await self._inner.perform(effect)
        self._after(effect, outcome)
        return outcome

    def _after(self, effect: SingleEffect, outcome: Outcome) -> None:
        when: dict[str, Any] = {"at_s": outcome.at, "duration_s": outcome.duration_s}
        failure = outcome.failure
        match effect:
            case CallModel():
                usage = None if outcome.value is None else outcome.value.usage
                self._tell(
                    "outcome",
                    **self._call(effect),
                    **when,
                    status="ok" if failure is None else failure.kind.value,
                    error_type=None if failure is None else failure.error_type,
                    input_tokens=None if usage is None else usage.input_tokens,
                    output_tokens=None if usage is None else usage.output_tokens,
                    cost_nanousd=None if outcome.value is None else outcome.value.cost_nanousd,
                )
            case CallTool():
                status = failure_status(failure, write=effect.write) if failure else outcome.value.status
                kind = None if failure is None else failure.error_type
                self._tell("outcome", **self._call(effect), **when, status=status, error_type=kind)
            case Refuse():
                call = {"lane": effect.lane, "subject": "tool", "name": effect.name, "write": effect.write}
                hashed = self._hash(effect.args_hash)
                self._tell(
                    "refused", **call, **when, status=effect.status, args_hash=hashed, error_type=effect.rule
                )
            case AskApproval():
                decision = "interrupted" if outcome.value is None else outcome.value.decision
                hashed = self._hash(effect.args_hash)
                self._tell(
                    "approval", lane=effect.lane, name=effect.name, **when, status=decision, args_hash=hashed
                )
            case Admit() if outcome.value is not None and not outcome.value.granted:
                self._tell(
                    "not_admitted",
                    lane=effect.lane,
                    subject=effect.subject,
                    name=effect.name,
                    **when,
                    status=outcome.value.cause,
                )
            case End():
                cost = effect.totals.cost_nanousd
                self._tell(
                    "run_ended",
                    **when,
                    stop_reason=effect.stop_reason,
                    totals=effect.totals,
                    cost_nanousd=cost,
                )
            case _:
                pass

    def _call(self, effect: CallModel | CallTool) -> dict[str, Any]:
        if isinstance(effect, CallModel):
            return {"lane": effect.lane, "subject": "model", "name": effect.request.model}
        return {
            "lane": effect.lane,
            "subject": "tool",
            "name": effect.name,
            "args_hash": self._hash(effect.args_hash),
            "write": effect.write,
            "idempotency_key": effect.limits.idempotency_key,
        }

    def _hash(self, args_hash: str) -> str:
        return hmac.new(self._tenant_key, args_hash.encode(), hashlib.sha256).hexdigest()[:32]

    def _tell(self, kind: EventKind, **fields: Any) -> None:
        header = self._header
        if header is None:
            return
        event = Event(
            kind=kind,
            request_id=header.request_id,
            run_id=header.run_id,
            tenant=header.tenant,
            environment=header.environment,
            agent=header.agent,
            deploy=header.deploy,
            **fields,
        )
        for sink in self._sinks:
            sink.take(event)
