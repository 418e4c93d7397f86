"""Turn conversations into runs: a header and (effect, outcome) pairs, which give the trace and the records.

Values that were not recorded are null: times, tenant and environment. A recorded tool result has the status `ok`,
because the wire does not say whether it reports an error. A run ends `open` if calls of its last reply were not
answered. A run's time begins when its first request is sent. When a tool ran is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from harness.lift.pricing import table_id
from harness.lift.threading import Attempt, LiftedConversation, Turn
from harness.wire.run_identity import UNKNOWN, RunIdentity
from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    DONE,
    AnyOutcome,
    Begin,
    CallModel,
    CallTool,
    End,
    Failure,
    FailureKind,
    Outcome,
    Refuse,
    SingleEffect,
    ToolResult,
)
from runtime.core.fold import fold_trace
from runtime.core.ids import run_id
from runtime.core.lanes import lane
from runtime.core.messages import ModelRequest, ToolCallPart, ToolSchema
from runtime.core.run import Header, ToolDecl, with_hashes
from runtime.core.stop import StopKind, StopReason
from runtime.core.trace import Trace
from runtime.journal.builder import RecordBuilder
from runtime.journal.recording import Recording, recording_of

ASSERT_ONLY = (
    "recorded over HTTP: the agent's own code made these calls, and only that code can make them again"
)
_UNANSWERED = "the recording ends before this call was answered"
_UNKNOWN_FAILURE = Failure(kind=FailureKind.ERROR, message="no answer was recorded", phase="response")
_UNDER_WAY = frozenset({"queued", "in_progress"})
"""Statuses of a background response that is not done."""
_STOP_KINDS = {
    FailureKind.RATE_LIMITED: StopKind.MODEL_RATE_LIMITED,
    FailureKind.TIMEOUT: StopKind.MODEL_TIMEOUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNames:
    """The ids and labels of a run.

    Attributes:
        request_id: The id that finds the run.
        identity: Tenant, deploy and other labels, given beside the recording.
        started_at: UTC time at which the recording began, ISO 8601.
        redaction: Value of the header's field.
    """

    request_id: str
    identity: RunIdentity
    started_at: str | None = None
    redaction: Literal["default", "none"] = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftedRun:
    """A conversation as a run."""

    header: Header
    pairs: list[tuple[SingleEffect, AnyOutcome]]
    end: End

    def trace(self) -> Trace:
        """Return the run's trace."""
        return fold_trace(self.header, self.pairs, self.end)

    def recording(self, source: str) -> Recording:
        """Return the run as a recording; `source` says where it was read from."""
        end = msgspec.structs.replace(self.end, totals=self.trace().totals)
        builder = RecordBuilder()
        records = [builder.intent(Begin(header=self.header))]
        for effect, outcome in self.pairs:
            records += (builder.intent(effect), builder.outcome(effect, outcome))
        records.append(builder.outcome(end, Outcome()))
        return recording_of([record for record in records if record is not None], source=source)


def conversation_run(conversation: LiftedConversation, names: RunNames) -> LiftedRun:
    """Return one conversation as a run."""
    began = conversation.turns[0].attempts[0].exchange.at
    pairs: list[tuple[SingleEffect, AnyOutcome]] = []
    for step, turn in enumerate(conversation.turns):
        for number, attempt in enumerate(turn.attempts, start=1):
            effect = CallModel(lane=lane(step, "model", attempt=number), request=attempt.request)
            pairs.append((effect, _model_outcome(attempt, began)))
        pairs += _call_pairs(turn, step)
    header = _header(conversation, names, began)
    return LiftedRun(header=header, pairs=pairs, end=_end(conversation.turns[-1]))


def _model_outcome(attempt: Attempt, began: float | None) -> AnyOutcome:
    exchange = attempt.exchange
    at = None
    if began is not None and exchange.at is not None and exchange.duration_s is not None:
        at = round(max(exchange.at - began, 0.0) + exchange.duration_s, 6)
    if attempt.reply is not None:
        return Outcome(value=attempt.reply, at=at, duration_s=exchange.duration_s)
    failure = exchange.failure or _UNKNOWN_FAILURE
    return Outcome(failure=failure, at=at, duration_s=exchange.duration_s)


def _call_pairs(turn: Turn, step: int) -> list[tuple[SingleEffect, AnyOutcome]]:
    reply = turn.last.reply
    calls = () if reply is None else reply.tool_calls
    return [_call_pair(call, step, index, turn.results.get(index)) for index, call in enumerate(calls)]


def _call_pair(
    call: ToolCallPart, step: int, index: int, result: str | None
) -> tuple[SingleEffect, AnyOutcome]:
    # Providers repeat call ids within a run or omit them. A position is unique.
    place = lane(step, "tool", index=index)
    args_hash = fingerprint(call.arguments)
    if result is not None:
        tool = CallTool(
            lane=place, call_id=place, name=call.name, arguments=call.arguments, args_hash=args_hash
        )
        return tool, Outcome(value=ToolResult(content=result))
    refusal = Refuse(
        lane=place,
        call_id=place,
        name=call.name,
        arguments=call.arguments,
        args_hash=args_hash,
        status="not_started",
        message=_UNANSWERED,
        rule="recorded",
    )
    return refusal, DONE


def _end(turn: Turn) -> End:
    last = turn.last
    if last.reply is None:
        failure = last.exchange.failure or _UNKNOWN_FAILURE
        kind = _STOP_KINDS.get(failure.kind, StopKind.MODEL_ERROR_EXHAUSTED)
        model = last.request.model or "unknown"
        return End(stop_reason=str(StopReason(kind, model)), detail=failure.message)
    if last.reply.tool_calls or last.reply.raw_finish_reason in _UNDER_WAY:
        return End(stop_reason=str(StopReason(StopKind.OPEN)))
    return End(stop_reason=str(StopReason(StopKind.FINISH)), output=last.reply.text or last.reply.refusal)


def _header(conversation: LiftedConversation, names: RunNames, began: float | None) -> Header:
    first = conversation.turns[0].last
    requests = [attempt.request for turn in conversation.turns for attempt in turn.attempts]
    known = names.identity.known()
    schemas = _schemas(requests)
    return with_hashes(
        Header(
            request_id=names.request_id,
            run_id=run_id(names.request_id, deploy=known.deploy, source="lift"),
            tenant=known.tenant or UNKNOWN,
            environment=known.environment or UNKNOWN,
            agent=known.agent or UNKNOWN,
            agent_version=known.agent_version,
            deploy=known.deploy,
            source="lift",
            suite=None if known.task is None else known.task.partition("/")[0],
            task=known.task,
            started_at=_started_at(names.started_at, began),
            input=first.request.messages,
            models=tuple(dict.fromkeys(r.model for r in requests)),
            provider=first.exchange.endpoint.provider,
            parameters=dict(first.request.parameters),
            tools=tuple(ToolDecl(schema=schema) for schema in schemas) if schemas else "opaque",
            price_table=table_id() if _is_computed(conversation) else None,
            redaction=names.redaction,
            assert_only=ASSERT_ONLY,
            labels={
                "link": conversation.sureness,
                "linked_by": [str(turn.link) for turn in conversation.turns],
            },
        )
    )


def _started_at(recording: str | None, began: float | None) -> str | None:
    """Return the wall time of a run's first request; `None` where the recording does not tell it."""
    if recording is None or began is None:
        return recording
    try:
        return (datetime.fromisoformat(recording) + timedelta(seconds=began)).isoformat()
    except ValueError:
        return None


def _is_computed(conversation: LiftedConversation) -> bool:
    """Return whether any price was computed from tokens and the price table."""
    exchanges = [attempt.exchange for turn in conversation.turns for attempt in turn.attempts]
    return any(
        e.reply is not None and e.reply.cost_nanousd is not None and not e.is_cost_stated for e in exchanges
    )


def _schemas(requests: list[ModelRequest]) -> list[ToolSchema]:
    """Return the tool schemas in order of first appearance; a later schema of a name replaces an earlier one."""
    seen: dict[str, ToolSchema] = {}
    for request in requests:
        seen.update({tool.name: tool for tool in request.tools})
    return list(seen.values())
