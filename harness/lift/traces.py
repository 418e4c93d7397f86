"""Turn conversations into traces: write them as (effect, outcome) pairs, and fold those as any other run.

Values that were not recorded are null: times, tenant and environment. A recorded tool result has the status `ok`,
because the wire does not say whether it reports an error. A run ends `open` if calls of its last reply were not
answered.
"""

from __future__ import annotations

from harness.lift.pricing import table_id
from harness.lift.threading import Attempt, LiftedConversation, Turn
from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    DONE,
    AnyOutcome,
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

ASSERT_ONLY = "lifted from HTTP traffic: what the agent did between model calls was not recorded"
_UNANSWERED = "the recording ends before this call was answered"
_UNKNOWN_FAILURE = Failure(kind=FailureKind.ERROR, message="no answer was recorded", phase="response")
_UNDER_WAY = frozenset({"queued", "in_progress"})
"""Statuses of a background response that is not done."""
_STOP_KINDS = {
    FailureKind.RATE_LIMITED: StopKind.MODEL_RATE_LIMITED,
    FailureKind.TIMEOUT: StopKind.MODEL_TIMEOUT,
}


def conversation_trace(conversation: LiftedConversation, *, source_id: str) -> Trace:
    """Return the trace of one conversation.

    Args:
        conversation: Its turns.
        source_id: Names file and conversation. The request id derives from it, so lifting twice gives the same ids.
    """
    pairs: list[tuple[SingleEffect, AnyOutcome]] = []
    for step, turn in enumerate(conversation.turns):
        for number, attempt in enumerate(turn.attempts, start=1):
            effect = CallModel(lane=lane(step, "model", attempt=number), request=attempt.request)
            pairs.append((effect, _model_outcome(attempt)))
        pairs += _call_pairs(turn, step)
    header = _header(conversation, source_id)
    return fold_trace(header, pairs, _end(conversation.turns[-1]))


def _model_outcome(attempt: Attempt) -> AnyOutcome:
    if attempt.reply is not None:
        return Outcome(value=attempt.reply)
    return Outcome(failure=attempt.exchange.failure or _UNKNOWN_FAILURE)


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


def _header(conversation: LiftedConversation, source_id: str) -> Header:
    first = conversation.turns[0].last
    requests = [attempt.request for turn in conversation.turns for attempt in turn.attempts]
    request_id = f"req_{source_id}"
    schemas = _schemas(requests)
    return with_hashes(
        Header(
            request_id=request_id,
            run_id=run_id(request_id, deploy=None, source="lift"),
            tenant="unknown",
            environment="unknown",
            agent="recorded",
            source="lift",
            input=first.request.messages,
            models=tuple(dict.fromkeys(r.model for r in requests)),
            provider=first.exchange.endpoint.provider,
            parameters=dict(first.request.parameters),
            tools=tuple(ToolDecl(schema=schema) for schema in schemas) if schemas else "opaque",
            price_table=table_id() if _is_computed(conversation) else None,
            assert_only=ASSERT_ONLY,
            labels={
                "link": conversation.sureness,
                "linked_by": [str(turn.link) for turn in conversation.turns],
            },
        )
    )


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
