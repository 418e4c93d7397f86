"""Events: what a run did, as it happens; one source for log lines, metrics and the audit log.

An event is made from an effect (its intent) and from its outcome; it is never changed afterwards. Arguments are
never in it, only their hash, keyed for each tenant: a plain hash of a small value can be guessed. The same goes for
the idempotency key, which holds such a hash: it stands in the trace and the journal, not here.

When a sink fails, its events wait in order, up to `BACKLOG` of them, and are sent as soon as it accepts them again. A
write whose intent cannot be kept is not started, and no further write is admitted. When the backlog is full, no call is
admitted. The end of a run is never refused.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from runtime.core.effects import (
    Admission,
    Admit,
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    Begin,
    CallModel,
    CallTool,
    End,
    Failure,
    FailureKind,
    Input,
    Outcome,
    Performer,
    ReadControls,
    Refuse,
    SingleEffect,
    ToolResult,
    Wait,
)
from runtime.core.fold import failure_status
from runtime.core.messages import ModelReply
from runtime.core.run import Header
from runtime.core.signatures import checks_arguments
from runtime.errors import UsageError
from runtime.observability.backlog import Buffered
from runtime.observability.event import Event, EventKind, EventSink, memory_event, named
from runtime.ports.tools import TellsLate

__all__ = ["NOT_KEPT", "Event", "EventKind", "EventSink", "ObservingPerformer", "memory_event"]

MIN_KEY_BYTES = 16


class ObservingPerformer:
    """Tells sinks of each effect before and after another performer carries it out; one for each run.

    It stands inside a recorder, so that what it refuses is recorded.
    """

    __slots__ = ("_hashed", "_header", "_inner", "_key", "_sinks", "_tenant_key", "_writes")

    @checks_arguments
    def __init__(self, inner: Performer, sinks: Sequence[EventSink], *, key: bytes) -> None:
        """Put it around a performer.

        Args:
            inner: Carries effects out.
            sinks: Get each event, in their order.
            key: Secret behind the hashes of arguments, at least 16 bytes.

        Raises:
            UsageError: If the key is short.
        """
        if len(key) < MIN_KEY_BYTES:
            raise UsageError(f"the key of the events has {len(key)} bytes, it needs {MIN_KEY_BYTES}")
        self._inner = inner
        self._sinks = [Buffered(sink) for sink in sinks]
        self._key = key
        self._header: Header | None = None
        self._tenant_key = key
        self._hashed = ("", "")
        self._writes: frozenset[str] | None = frozenset()
        if isinstance(inner, TellsLate):
            inner.on_late(self._late)

    @property
    def lost(self) -> int:
        """Events that a sink did not take in the end, over all sinks."""
        return sum(sink.lost + len(sink.waiting) for sink in self._sinks)

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Perform an effect between its events.

        Raises:
            UsageError: If an effect comes before the run's `Begin`: the caller's wrap kept that back.
        """
        if isinstance(effect, Begin):
            self._begin(effect.header)
            return await self._inner.perform(effect)
        if self._header is None:
            raise UsageError(
                f"{type(effect).__name__} reached the observer before the run's Begin",
                where="ObservingPerformer",
                next_step="give run_agent a wrap that puts a new observer around each run and hands all effects on",
            )
        if isinstance(effect, CallModel | CallTool):
            return await self._perform_call(effect)
        if isinstance(effect, Admit) and not self._may_start(effect):
            outcome = Outcome(
                Admission(granted=False, cause="unavailable", detail="the events of the run cannot be kept")
            )
        else:
            try:
                outcome = await self._inner.perform(effect)
            except asyncio.CancelledError:
                self._after(effect, Outcome(failure=_CANCELLED))
                raise
        self._after(effect, outcome)
        return outcome

    async def _perform_call(self, effect: CallModel | CallTool) -> AnyOutcome:
        kept = self._intend(effect)
        if not kept and isinstance(effect, CallTool) and effect.write:
            outcome: AnyOutcome = Outcome(failure=NOT_KEPT)
        else:
            try:
                outcome = await self._inner.perform(effect)
            except asyncio.CancelledError:
                # The caller went away; a write in flight may have happened, and an event must say so.
                self._called(effect, Outcome(failure=_CANCELLED))
                raise
        self._called(effect, outcome)
        return outcome

    def _begin(self, header: Header) -> None:
        self._header = header
        scope = msgspec.json.encode([header.tenant, header.environment])
        self._tenant_key, self._hashed = hmac.digest(self._key, scope, "sha256"), ("", "")
        tools = header.tools
        self._writes = None if tools == "opaque" else frozenset(t.schema.name for t in tools if t.write)
        self._emit(
            "run_started",
            parent=header.parent,
            policy_hash=header.policy_hash,
            started_at=header.started_at,
        )

    def _late(self, call: CallTool, result: ToolResult | None) -> None:
        """Emit the late end of an abandoned call; its run may be over."""
        self._emit(
            "late",
            **self._call_fields(call),
            write=call.write,
            status="error" if result is None else result.status,
        )

    def _may_start(self, effect: Admit) -> bool:
        """Return whether the events of a call could be kept: of a write at once, of others in the backlog."""
        flushed = True
        for sink in self._sinks:
            if sink.waiting and not sink.flush():
                flushed = False
        if flushed:
            return True
        writes = effect.subject == "tool" and (self._writes is None or effect.name in self._writes)
        return not writes and not any(sink.is_full for sink in self._sinks)

    def _intend(self, effect: CallModel | CallTool) -> bool:
        """Tell that a call begins; return whether all sinks have kept it."""
        if isinstance(effect, CallModel):
            return self._emit("intent", lane=effect.lane, subject="model", name=effect.request.model)
        return self._emit("intent", **self._call_fields(effect), write=effect.write)

    def _called(self, effect: CallModel | CallTool, outcome: AnyOutcome) -> None:
        """Tell what became of a call."""
        if isinstance(effect, CallModel):
            self._emit(
                "outcome",
                lane=effect.lane,
                subject="model",
                name=effect.request.model,
                at_s=outcome.at,
                duration_s=outcome.duration_s,
                **_model_facts(outcome),
            )
            return
        self._emit(
            "outcome",
            **self._call_fields(effect),
            write=effect.write,
            at_s=outcome.at,
            duration_s=outcome.duration_s,
            **_tool_facts(effect, outcome),
        )

    def _after(self, effect: SingleEffect, outcome: AnyOutcome) -> None:
        """Tell what became of an effect that is no call."""
        when: dict[str, Any] = {"at_s": outcome.at, "duration_s": outcome.duration_s}
        match effect:
            case Admit():
                self._admitted(effect, outcome)
            case Refuse():
                call = {**self._call_fields(effect), "write": effect.write}
                self._emit("refused", **call, **when, status=effect.status, error_type=effect.rule)
            case AskApproval():
                self._emit("approval", **self._call_fields(effect), **when, status=_decision(outcome))
            case End():
                totals, reason = effect.totals, effect.stop_reason
                cost = totals.cost_nanousd
                self._emit("run_ended", **when, stop_reason=reason, totals=totals, cost_nanousd=cost)
            case Begin() | CallModel() | CallTool() | ReadControls() | Wait() | Input():
                pass
            case _:
                assert_never(effect)

    def _admitted(self, effect: Admit, outcome: Outcome[Admission]) -> None:
        """Tell of a call that was not admitted; a granted admission is no event."""
        answer = outcome.value
        if answer is not None and not answer.granted:
            self._emit(
                "not_admitted",
                lane=effect.lane,
                subject=effect.subject,
                name=named(effect.name),
                at_s=outcome.at,
                duration_s=outcome.duration_s,
                status=answer.cause,
            )

    def _call_fields(self, effect: CallTool | Refuse | AskApproval) -> dict[str, Any]:
        return {
            "lane": effect.lane,
            "subject": "tool",
            "name": named(effect.name),
            "args_hash": self._hash(
                effect.decided_hash if isinstance(effect, AskApproval) else effect.args_hash
            ),
        }

    def _hash(self, args_hash: str) -> str:
        if args_hash != self._hashed[0]:  # a call makes two events, usually with no other between
            self._hashed = (args_hash, hmac.digest(self._tenant_key, args_hash.encode(), "sha256").hex()[:32])
        return self._hashed[1]

    def _emit(self, kind: EventKind, **fields: Any) -> bool:
        """Send an event to all sinks; return whether all have kept it."""
        header = self._header
        assert header is not None
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
        kept = True
        for sink in self._sinks:  # no short circuit: each gets the event, also after one failed
            if not sink.take(event):
                kept = False
        return kept


NOT_KEPT = Failure(
    kind=FailureKind.UNAVAILABLE,
    message="the call was not started: its intent could not be kept",
    retryable=True,
    phase="connect",
    error_type="events_not_kept",
)
"""Why a write was not started. It may be tried again: by then its admission says whether events are kept."""

_CANCELLED = Failure(
    kind=FailureKind.INTERRUPTED,
    message="the caller went away",
    phase="run",
    error_type="cancelled",
    cause="cancelled",
)


def _decision(outcome: Outcome[ApprovalAnswer]) -> str:
    return "interrupted" if outcome.value is None else outcome.value.decision


def _model_facts(outcome: Outcome[ModelReply]) -> dict[str, Any]:
    reply, failure = outcome.value, outcome.failure
    usage = None if reply is None else reply.usage
    return {
        "status": "ok" if failure is None else failure.kind.value,
        "error_type": None if failure is None else failure.error_type,
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "cost_nanousd": None if reply is None else reply.cost_nanousd,
    }


def _tool_facts(effect: CallTool, outcome: Outcome[ToolResult]) -> dict[str, Any]:
    if outcome.failure is not None:
        status = failure_status(outcome.failure, write=effect.write)
        return {"status": status, "error_type": outcome.failure.error_type}
    return {"status": "interrupted" if outcome.value is None else outcome.value.status}
