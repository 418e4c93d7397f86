"""Fold the (effect, outcome) pairs of a run into its trace.

Theory of operation. A live run, a replayed run and a recording that is read from disk all give pairs, and all use this
fold. So equal pairs give equal traces, and a trace can always be computed again from its recording.

Rules.
1. Order does not matter. Calls of one turn end in any order, but the lane of an effect names its step, call and
   attempt. Pairs are grouped by lane and then sorted.
2. The last attempt decides status and result. All attempts count for usage, cost and time.
3. Unknown stays unknown. A sum with an unknown part is `None`, not a smaller number (`total_of`).
4. A write without a certain outcome is `in_doubt`: its process died, its answer was lost, or it timed out after it was
   sent. It is never `error`, because an error says that nothing happened.
5. Hashes cover what the agent decided and saw. They ignore times, ids and keys, so two runs that did the same are
   equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any, assert_never

from runtime.core.canonical import DIGEST_CHARS, canonical_bytes, digest, fingerprint
from runtime.core.effects import (
    Admit,
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    Begin,
    CallModel,
    CallStatus,
    CallTool,
    End,
    Failure,
    FailureKind,
    Input,
    InputReply,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    ToolResult,
    Wait,
)
from runtime.core.lanes import Lane, parse_lane
from runtime.core.messages import ModelReply, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from runtime.core.money import Usage
from runtime.core.run import Header
from runtime.core.stop import StopKind
from runtime.core.totals import count_totals, total_of
from runtime.core.trace import ApprovalEntry, DenialEntry, ModelStep, Step, ToolStep, Trace

Pair = tuple[SingleEffect, AnyOutcome]
ModelAttempt = tuple[int, CallModel, Outcome[ModelReply]]
CallAttempt = tuple[int, CallTool | Refuse, Outcome[ToolResult]]
"""An attempt's number, its effect and its outcome."""

_UNREPORTED = Usage()

_STATUS: dict[FailureKind, CallStatus] = {
    FailureKind.TIMEOUT: "timeout",
    FailureKind.ERROR: "error",
    FailureKind.RATE_LIMITED: "error",
    FailureKind.UNAVAILABLE: "error",
    FailureKind.INTERRUPTED: "interrupted",
    FailureKind.IN_DOUBT: "in_doubt",
}


class _StepParts:
    """The pairs of one step, as far as they have arrived."""

    __slots__ = ("calls", "model", "program")

    def __init__(self) -> None:
        self.model: list[ModelAttempt] = []
        self.calls: dict[int, list[CallAttempt]] = {}
        self.program: tuple[ToolStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunFacts:
    """Facts from the header and the end that concern all calls of a run.

    Attributes:
        once: Tools whose calls must not be repeated.
        crashed: Whether the process died during the run.
    """

    once: Set[str]
    crashed: bool


def fold_trace(header: Header, pairs: Iterable[Pair], end: End) -> Trace:
    """Return the trace of a run from its pairs; `Begin` and `End` may be among them and are ignored."""
    parts: dict[int, _StepParts] = {}
    denials: list[DenialEntry] = []
    approvals: list[ApprovalEntry] = []
    last_at: float | None = None
    for effect, outcome in pairs:
        if outcome.at is not None and (last_at is None or outcome.at > last_at):
            last_at = outcome.at
        match effect:
            case CallModel():
                place = parse_lane(effect.lane)
                step = parts.get(place.step) or parts.setdefault(place.step, _StepParts())
                step.model.append((place.attempt, effect, outcome))
            case CallTool() | Refuse():
                place = parse_lane(effect.lane)
                step = parts.get(place.step) or parts.setdefault(place.step, _StepParts())
                step.calls.setdefault(place.index or 0, []).append((place.attempt, effect, outcome))
                if (denial := _denial(effect, outcome, place)) is not None:
                    denials.append(denial)
            case AskApproval():
                approvals.append(_approval(effect, outcome))
            case Input():
                denials += _recorded_denials(outcome)
                if (made := _program_calls(effect, outcome.value)) != ():
                    parts.setdefault(parse_lane(effect.lane).step, _StepParts()).program = made
            case Begin() | End() | Admit() | ReadControls() | Wait():
                pass
            case _:
                assert_never(effect)
    once = (
        frozenset() if header.tools == "opaque" else {t.schema.name for t in header.tools if not t.repeatable}
    )
    # If a foreign recording is incomplete, that does not mean that a process died during a call.
    crashed = end.stop_reason == StopKind.CRASHED and header.source not in {"import", "lift"}
    facts = _RunFacts(once=once, crashed=crashed)
    names: dict[str, str] = {}
    steps = tuple([_step(index, parts[index], names, facts) for index in sorted(parts)])
    denials.sort(key=lambda d: (d.step, d.lane))
    approvals.sort(key=lambda a: (a.step, a.lane))
    totals = count_totals(header, steps, len(denials), len(approvals), last_at)
    return Trace(
        request_id=header.request_id,
        run_id=header.run_id,
        parent=header.parent,
        tenant=header.tenant,
        environment=header.environment,
        agent=header.agent,
        agent_version=header.agent_version,
        deploy=header.deploy,
        source=header.source,
        suite=header.suite,
        task=header.task,
        repeat=header.repeat,
        labels=dict(header.labels),
        started_at=header.started_at,
        stop_reason=end.stop_reason,
        output=end.output,
        steps=steps,
        denials=tuple(denials),
        approvals=tuple(approvals),
        totals=totals,
        prompt_hash=header.prompt_hash,
        tools_hash=header.tools_hash,
        policy_hash=header.policy_hash,
        price_table=header.price_table,
        tools_known=None if header.tools == "opaque" else tuple(t.schema.name for t in header.tools),
        trace_hash=_trace_hash(end, steps, denials),
    )


def _step(index: int, parts: _StepParts, names: dict[str, str], facts: _RunFacts) -> Step:
    model = _model_step(parts.model) if parts.model else None
    calls = tuple([_tool_step(parts.calls[i], names, facts) for i in sorted(parts.calls)])
    return Step(index=index, model=model, tool_calls=calls, program_calls=parts.program)


def _model_step(attempts: list[ModelAttempt]) -> ModelStep:
    if len(attempts) > 1:
        attempts.sort(key=_attempt)
    _, effect, outcome = attempts[-1]
    reply = outcome.value
    replies = [o.value for _, _, o in attempts if o.value is not None]
    durations = [o.duration_s for _, _, o in attempts]
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    calls: list[ToolCallPart] = []
    for part in () if reply is None else reply.parts:
        match part:
            case TextPart():
                texts.append(part.content)
            case ToolCallPart():
                calls.append(part)
            case ReasoningPart():
                thoughts.append(part.content)
            case RefusalPart():
                refusals.append(part.content)
    text, refusal = "".join(texts), "".join(refusals) if refusals else None
    finish = None if reply is None else reply.finish_reason
    failure = outcome.failure
    content = [effect.request.model, finish, text, refusal, [[c.name, c.arguments] for c in calls]]
    usage = _usage(replies)
    return ModelStep(
        lane=effect.lane,
        provider=None if reply is None else reply.provider,
        request_model=effect.request.model,
        response_model=None if reply is None else reply.response_model,
        finish_reason=finish,
        text=text or refusal or "",
        reasoning="".join(thoughts) if thoughts else None,
        tool_names=tuple(c.name for c in calls),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost_nanousd=total_of([r.cost_nanousd for r in replies]),
        started_s=_started(attempts[0][2]),
        duration_s=total_of(durations),
        attempts=len(attempts),
        error=None if failure is None else failure.message,
        hash=digest(canonical_bytes([*content, None if failure is None else failure.kind])),
    )


def _tool_step(attempts: list[CallAttempt], names: dict[str, str], facts: _RunFacts) -> ToolStep:
    if len(attempts) > 1:
        attempts.sort(key=_attempt)
    _, effect, outcome = attempts[-1]
    started = [o for _, e, o in attempts if isinstance(e, CallTool)]
    status, result, error = _result(effect, outcome)
    # The journal has the intent but no outcome, so the write may have happened before the process died.
    if status == "interrupted" and facts.crashed and effect.write and outcome.failure is None:
        status, error = "in_doubt", "the process ended before an outcome was recorded"
    # The call may have reached its target, so its effect may have happened, whatever the failure is called.
    if effect.name in facts.once and (
        _was_lost(outcome) or (status == "timeout" and not _never_sent(outcome))
    ):
        status = "in_doubt"
    content = [effect.name, effect.arguments, status, result]
    price = effect.limits.reserved_nanousd if isinstance(effect, CallTool) else None
    # Providers choose random ids. Renamed by first appearance, they are equal in equal runs.
    call_id = names.setdefault(effect.call_id, f"call#{len(names) + 1}")
    return ToolStep(
        id=call_id,
        lane=effect.lane,
        name=effect.name,
        arguments=effect.arguments,
        status=status,
        result=result,
        error=error,
        write=effect.write,
        attempts=len(started),
        started_s=_started(attempts[0][2]),
        duration_s=total_of([o.duration_s for o in started]),
        cost_nanousd=None if price is None else price * len(started),
        args_hash=effect.args_hash,
        idempotency_key=effect.limits.idempotency_key if isinstance(effect, CallTool) else None,
        hash=digest(canonical_bytes(content)),
    )


def _result(
    effect: CallTool | Refuse, outcome: Outcome[ToolResult]
) -> tuple[CallStatus, str | None, str | None]:
    if isinstance(effect, Refuse):
        seen = None if effect.status == "not_started" else effect.message
        return effect.status, seen, None if effect.status == "not_started" else effect.message
    if outcome.failure is not None:
        return failure_status(outcome.failure, write=effect.write), None, outcome.failure.message
    if outcome.value is None:
        return "interrupted", None, "no outcome was recorded"
    return outcome.value.status, outcome.value.content, outcome.value.error


def _was_lost(outcome: AnyOutcome) -> bool:
    return outcome.failure is not None and outcome.failure.phase == "lost"


def _never_sent(outcome: AnyOutcome) -> bool:
    return outcome.failure is not None and outcome.failure.phase == "connect"


def failure_status(failure: Failure, *, write: bool) -> CallStatus:
    """Return the status of a call that failed; a write that was interrupted after it began is in doubt."""
    if failure.cause == "unrecorded":
        return "not_started"
    if failure.kind is FailureKind.INTERRUPTED and write and failure.phase != "connect":
        return "in_doubt"
    return _STATUS[failure.kind]


def _denial(effect: CallTool | Refuse, outcome: Outcome[ToolResult], place: Lane) -> DenialEntry | None:
    if isinstance(effect, Refuse):
        if effect.status != "denied":
            return None
        rule, message = effect.rule, effect.message
    else:
        value = outcome.value
        if value is None or value.status != "denied":
            return None
        rule, message = "recorded", value.error or value.content
    return DenialEntry(step=place.step, lane=effect.lane, tool=effect.name, rule=rule, message=message)


def _recorded_denials(outcome: Outcome[InputReply]) -> list[DenialEntry]:
    """Return the denials that further input carries: those of the guard of a recorded foreign agent."""
    reply = outcome.value
    return [
        DenialEntry(step=d.step, lane=d.lane, tool=d.tool, rule=d.rule, message=d.message)
        for d in (() if reply is None else reply.denials)
    ]


def _program_calls(effect: Input, reply: InputReply | None) -> tuple[ToolStep, ...]:
    """Return the calls that a recorded agent's program made after a step."""
    return tuple(
        ToolStep(
            id=f"program#{effect.lane}#{index}",
            lane=effect.lane,
            name=call.name,
            arguments=call.arguments,
            status=call.result.status,
            result=call.result.content,
            error=call.result.error,
            attempts=1,
            args_hash=fingerprint(call.arguments),
            hash=digest(
                canonical_bytes([call.name, call.arguments, call.result.status, call.result.content])
            ),
        )
        for index, call in enumerate(() if reply is None else reply.calls)
    )


def _approval(effect: AskApproval, outcome: Outcome[ApprovalAnswer]) -> ApprovalEntry:
    place = parse_lane(effect.lane)
    answer = outcome.value
    return ApprovalEntry(
        step=place.step,
        lane=effect.lane,
        tool=effect.name,
        decision="unanswered" if answer is None else answer.decision,
        by=None if answer is None else answer.by,
        reason=None if answer is None else answer.reason,
        args_hash=effect.decided_hash,
    )


def _trace_hash(end: End, steps: tuple[Step, ...], denials: list[DenialEntry]) -> str:
    hashes = [_step_hashes(step) for step in steps]
    refused = [[d.step, d.tool, d.rule] for d in denials]
    return digest(canonical_bytes([end.stop_reason, end.output, hashes, refused]))[:DIGEST_CHARS]


def _step_hashes(step: Step) -> list[Any]:
    hashes: list[Any] = [None if step.model is None else step.model.hash, [c.hash for c in step.tool_calls]]
    # The field is left out when empty, so that hashes stay equal to those of earlier versions.
    return [*hashes, [c.hash for c in step.program_calls]] if step.program_calls else hashes


def _attempt(entry: ModelAttempt | CallAttempt) -> int:
    return entry[0]


def _started(outcome: AnyOutcome) -> float | None:
    if outcome.at is None or outcome.duration_s is None:
        return None
    return max(outcome.at - outcome.duration_s, 0.0)


def _usage(replies: list[ModelReply]) -> Usage:
    """Return the usage of all replies. Cache and reasoning tokens are summed over the replies that report them."""
    usages = [r.usage or _UNREPORTED for r in replies]
    if len(usages) == 1:
        return usages[0]
    return Usage(
        input_tokens=total_of([u.input_tokens for u in usages]),
        output_tokens=total_of([u.output_tokens for u in usages]),
        cache_read_tokens=total_of([u.cache_read_tokens for u in usages if u.cache_read_tokens is not None]),
        cache_write_tokens=total_of(
            [u.cache_write_tokens for u in usages if u.cache_write_tokens is not None]
        ),
        reasoning_tokens=total_of([u.reasoning_tokens for u in usages if u.reasoning_tokens is not None]),
    )
