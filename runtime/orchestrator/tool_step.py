"""The tool calls of one turn: guard order, retries in rounds, and the results that the model sees.

Pure checks of all calls -> approvals in one batch -> switches and deadline again -> prices and denials -> admissions
-> the calls together. If there is a stop reason after the pure checks, no call of the turn has started.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from runtime.control.budgets import check_steps, check_time, check_tool_calls, reserve_tool_cost, slice_budget
from runtime.control.retries import asks_too_much, backoff_s, may_retry
from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    Admission,
    Admit,
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    Batch,
    CallTool,
    Controls,
    Failure,
    FailureKind,
    Flow,
    Limits,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    ToolResult,
    Wait,
    perform,
)
from runtime.core.fold import failure_status
from runtime.core.lanes import lane
from runtime.core.messages import ToolCallPart, tool_message
from runtime.core.stop import StopKind, StopReason, first_stop
from runtime.orchestrator.call_checks import Call, check_calls, refusal_effect, wants_approval
from runtime.orchestrator.model_step import SHORT_OF, interrupted
from runtime.orchestrator.progress import Progress

TurnEffect = CallTool | Admit | AskApproval | Refuse
_UNANSWERED = ApprovalAnswer(decision="denied", reason="the desk gave no answer")


def run_calls(progress: Progress, parts: tuple[ToolCallPart, ...]) -> Flow[StopReason | None]:
    """Carry a turn's calls through the guards; return the stop reason if the run ends here."""
    calls, stops = check_calls(progress, parts)
    budget = progress.setup.header.budget
    startable = [c for c in calls if c.refusal is None]
    for stop in (
        check_steps(budget, progress.spent),
        check_time(budget, progress.spent),
        check_tool_calls(budget, progress.spent, len(startable)),
    ):
        if stop is not None:
            stops.append(stop)
    reason = first_stop(stops)
    if reason is None:
        # Nobody is asked about calls of a run that stops anyway.
        reason = yield from _approve(progress, calls)
    if reason is not None:
        yield from _start_none(progress, calls, reason)
        return reason
    broke = _reserve(progress, [c for c in calls if c.refusal is None])
    yield from perform_all([refusal_effect(progress, c) for c in calls if c.refusal is not None])
    startable = [c for c in calls if c.refusal is None]
    progress.spent.tool_calls += len(startable)
    for call in startable:
        if call.write:
            call.key = progress.next_key(call.name, call.args_hash)
    reason = (yield from _groups(progress, startable)) or broke
    if reason is not None:
        return reason
    progress.messages += [tool_message(c.part.id, c.content) for c in calls]
    return _no_progress(progress, calls)


def _reserve(progress: Progress, calls: list[Call]) -> StopReason | None:
    """Reserve the price of each call in declared order; calls that the money does not cover are not started."""
    stop: StopReason | None = None
    for call in calls:
        budget = progress.setup.header.budget
        broke = reserve_tool_cost(budget, progress.spent, call.cost_nanos) if call.cost_nanos else None
        if broke is not None:
            stop = broke
            call.refusal = ("not_started", "", broke.kind.value)
    return stop


@overload
def perform_all(effects: list[CallTool]) -> Flow[tuple[Outcome[ToolResult], ...]]: ...
@overload
def perform_all(effects: list[Admit]) -> Flow[tuple[Outcome[Admission], ...]]: ...
@overload
def perform_all(effects: list[AskApproval]) -> Flow[tuple[Outcome[ApprovalAnswer], ...]]: ...
@overload
def perform_all(effects: list[Refuse]) -> Flow[tuple[Outcome[None], ...]]: ...
def perform_all(effects: Sequence[TurnEffect]) -> Flow[tuple[AnyOutcome, ...]]:
    """Perform effects of one turn together; return their outcomes in declared order."""
    if not effects:
        return ()
    if len(effects) == 1:
        return ((yield from perform(effects[0])),)
    batch: Batch[SingleEffect] = Batch(effects=tuple(effects))
    return (yield from perform(batch)).value or ()


def _start_none(progress: Progress, calls: list[Call], reason: StopReason) -> Flow[None]:
    for call in calls:
        if call.refusal is None:
            call.refusal = ("not_started", "", reason.kind.value)
    outcomes = yield from perform_all([refusal_effect(progress, c) for c in calls])
    _see(progress, outcomes)


def _approve(progress: Progress, calls: list[Call]) -> Flow[StopReason | None]:
    waiting = [c for c in calls if wants_approval(progress, c)]
    if not waiting:
        return None
    header = progress.setup.header
    outcomes = yield from perform_all([_approval(progress, c) for c in waiting])
    _see(progress, outcomes)
    stops: list[StopReason] = []
    for call, outcome in zip(waiting, outcomes, strict=True):
        if outcome.failure is not None:
            stops.append(interrupted(outcome.failure))
            continue
        answer = outcome.value or _UNANSWERED
        match answer.decision:
            case "granted":
                pass
            case "timeout":
                call.refuse("denied", f"The approval of '{call.name}' was not given in time.", "approval")
                stops.append(StopReason(StopKind.APPROVAL_TIMEOUT))
            case _:
                why = f": {answer.reason}" if answer.reason else "."
                call.refuse("denied", f"The call of '{call.name}' was not approved{why}", "approval")
                stop = progress.refuse(
                    StopKind.APPROVAL_DENIED, call.name, stop=header.policy.on_denied == "stop"
                )
                if stop is not None:
                    stops.append(stop)
    # An approval can take hours. Read the switches again, and below the deadline.
    names = tuple(sorted({c.name for c in calls if c.refusal is None}))
    controls = yield from perform(ReadControls(lane=lane(progress.step, "controls"), tools=names))
    _see(progress, (controls,))
    stops += _switched_off(controls)
    late = check_time(header.budget, progress.spent)
    return first_stop([*stops, late] if late is not None else stops)


def _approval(progress: Progress, call: Call) -> AskApproval:
    header = progress.setup.header
    filled = call.filled is not None
    return AskApproval(
        lane=lane(progress.step, "approval", index=call.index),
        call_id=call.part.id,
        name=call.name,
        arguments=call.filled if filled else call.part.arguments,
        args_hash=fingerprint(call.filled) if filled else call.args_hash,
        policy_hash=header.policy_hash or "",
        timeout_s=header.policy.approval_timeout_s,
        given=call.part.arguments if filled else None,
        given_hash=call.args_hash if filled else None,
    )


def _switched_off(outcome: Outcome[Controls]) -> list[StopReason]:
    if outcome.failure is not None:
        return [interrupted(outcome.failure)]
    stops = []
    for switch in () if outcome.value is None else outcome.value.pulled:
        kind, _, tool = switch.partition(":")
        match kind:
            case "kill":
                stops.append(StopReason(StopKind.OPERATOR_KILL))
            case "tenant":
                stops.append(StopReason(StopKind.TENANT_DISABLED))
            case "tool":
                stops.append(StopReason(StopKind.TOOL_DISABLED, tool))
            case _:
                stops.append(StopReason(StopKind.CONTROL_UNAVAILABLE))
    return stops


def _groups(progress: Progress, calls: list[Call]) -> Flow[StopReason | None]:
    """Run the calls, at most `max_parallel` at one time; the others of the turn queue in declared order.

    A group begins when the one before it has ended, retries included, because which single call ends first is not
    known on replay. Deadline and admission are taken when a group begins, so what queues holds no slot.
    """
    budget = progress.setup.header.budget
    width = budget.max_parallel or max(len(calls), 1)
    for first in range(0, len(calls), width):
        stop = check_time(budget, progress.spent) if first else None
        behind = first
        if stop is None:
            behind = first + width
            stop = yield from _rounds(progress, calls[first:behind])
        if stop is not None:
            yield from _leave_unstarted(progress, calls[behind:], 1, stop)
            return stop
    return None


def _rounds(progress: Progress, calls: list[Call]) -> Flow[StopReason | None]:
    """Run the calls; those that failed and may be repeated are repeated together.

    Rounds, because a decision may depend on recorded outcomes only. If each call were repeated by itself, the one
    that failed first would take the last retry, and which one that was is not recorded.
    """
    retry = progress.setup.header.tool_retry
    attempt = 1
    while calls:
        stop = yield from _admit(progress, calls, attempt)
        if stop is not None:
            yield from _leave_unstarted(progress, calls, attempt, stop)
            return stop
        _slice(progress, calls)
        outcomes = yield from perform_all([_effect(progress, c, attempt) for c in calls])
        _see(progress, outcomes)
        again: list[Call] = []
        failed: list[StopReason] = []
        wait_s = 0.0
        for call, outcome in zip(calls, outcomes, strict=True):
            if isinstance(outcome.value, ToolResult):
                call.content, call.error = outcome.value.content, outcome.value.error
                progress.charge(outcome.value.used)
                continue
            failure = outcome.failure or Failure(kind=FailureKind.ERROR, message="no result was given")
            progress.charge(failure.used)
            # Retries of this round count already: the total is limited over all calls of the run.
            used = progress.tool_retries + len(again)
            stop = None
            patient = not asks_too_much(retry, failure, progress.setup.header.budget)
            may = patient and may_retry(retry, failure, attempt=attempt, retries_used=used)
            if may and _repeatable(call, failure):
                # The failed attempt is paid for, so the next one reserves a price of its own.
                stop = _reserve(progress, [call])
                if stop is None:
                    again.append(call)
                    # All are repeated together, so the longest requested wait counts.
                    wait_s = max(wait_s, failure.after_s or 0.0)
                    continue
            stop = stop or _exhausted(progress, call, failure)
            if stop is not None:
                failed.append(stop)
        # If one call ends the run, no other call of the turn is repeated.
        reason = first_stop(failed)
        if reason is not None or not again:
            return reason
        stop = yield from _pause(progress, len(again), attempt, wait_s)
        if stop is not None:
            return stop
        calls, attempt = again, attempt + 1
    return None


def _admit(progress: Progress, calls: list[Call], attempt: int) -> Flow[StopReason | None]:
    deadline_s = progress.setup.header.budget.max_seconds
    effects = [
        Admit(
            lane=lane(progress.step, "admit", index=c.index, attempt=attempt),
            subject="tool",
            name=c.name,
            limits=Limits(
                deadline_s=deadline_s, timeout_s=c.timeout_s, reserved_nanousd=c.cost_nanos or None
            ),
            call=_effect(progress, c, attempt),
        )
        for c in calls
    ]
    outcomes = yield from perform_all(effects)
    _see(progress, outcomes)
    stops = []
    for call, outcome in zip(calls, outcomes, strict=True):
        if outcome.failure is not None:
            stops.append(interrupted(outcome.failure))
        elif outcome.value is not None and not outcome.value.granted:
            stops.append(_not_admitted(outcome.value, call.name))
    return first_stop(stops)


def _leave_unstarted(progress: Progress, calls: list[Call], attempt: int, reason: StopReason) -> Flow[None]:
    """Record calls that were never started; calls that failed before keep their last attempt."""
    if attempt > 1:
        return
    for call in calls:
        call.refusal = ("not_started", "", reason.kind.value)
    _see(progress, (yield from perform_all([refusal_effect(progress, c) for c in calls])))


def _slice(progress: Progress, calls: list[Call]) -> None:
    parents = [c for c in calls if c.spec is not None and c.spec.decl.children]
    if parents:
        budget = progress.setup.header.budget
        for call, part in zip(parents, slice_budget(budget, progress.spent, parts=len(parents)), strict=True):
            call.child_budget = part


def _effect(progress: Progress, call: Call, attempt: int) -> CallTool:
    return CallTool(
        lane=lane(progress.step, "tool", index=call.index, attempt=attempt),
        call_id=call.part.id,
        name=call.name,
        arguments=call.part.arguments,
        args_hash=call.args_hash,
        write=call.write,
        limits=Limits(
            deadline_s=progress.setup.header.budget.max_seconds,
            timeout_s=call.timeout_s,
            reserved_nanousd=call.cost_nanos or None,
            idempotency_key=call.key,
            child_budget=call.child_budget,
        ),
        bound=call.value,
    )


def _repeatable(call: Call, failure: Failure) -> bool:
    """Return whether a repeat is harmless: the call certainly did not happen, is a read, or is idempotent."""
    if failure.phase == "connect" or failure.kind in {FailureKind.RATE_LIMITED, FailureKind.UNAVAILABLE}:
        return True
    return call.spec is None or call.spec.decl.repeatable


def _exhausted(progress: Progress, call: Call, failure: Failure) -> StopReason | None:
    """Return the stop reason of a call that is not retried; `None` if the model gets the failure as its result."""
    status = failure_status(failure, write=call.write)
    if failure.kind is FailureKind.INTERRUPTED:
        off = failure.cause == "disabled"
        reasons = [StopReason(StopKind.TOOL_DISABLED, call.name) if off else interrupted(failure)]
        if status == "in_doubt":
            reasons.append(StopReason(StopKind.IN_DOUBT, call.name))
        return first_stop(reasons)
    unanswered = failure.kind is FailureKind.TIMEOUT or failure.phase == "lost"
    lost = unanswered and not _repeatable(call, failure)
    if status == "in_doubt" or lost:
        return StopReason(StopKind.IN_DOUBT, call.name)
    call.content = call.error = f"Tool '{call.name}' failed: {failure.message}"
    if progress.setup.header.policy.on_failure == "tell":
        return progress.refuse(StopKind.TOOL_ERROR_EXHAUSTED, call.name, stop=False)
    if failure.kind is FailureKind.TIMEOUT:
        return StopReason(StopKind.TOOL_TIMEOUT, call.name)
    if failure.kind is FailureKind.RATE_LIMITED:
        return StopReason(StopKind.TOOL_RATE_LIMITED, call.name)
    return StopReason(StopKind.TOOL_ERROR_EXHAUSTED, call.name)


def _pause(progress: Progress, repeats: int, attempt: int, wait_s: float) -> Flow[StopReason | None]:
    header = progress.setup.header
    progress.tool_retries += repeats
    place = lane(progress.step, "toolwait", attempt=attempt + 1)
    seconds = max(backoff_s(header.tool_retry, attempt=attempt, seed=header.seed, purpose=place), wait_s)
    if header.budget.max_seconds is not None and progress.spent.at + seconds >= header.budget.max_seconds:
        return StopReason(StopKind.MAX_SECONDS)
    outcome = yield from perform(Wait(lane=place, seconds=seconds))
    _see(progress, (outcome,))
    return None if outcome.failure is None else interrupted(outcome.failure)


def _not_admitted(admission: Admission, tool: str) -> StopReason:
    match admission.cause:
        case "rate":
            return StopReason(StopKind.TOOL_RATE_LIMITED, tool)
        case "concurrency":
            return StopReason(StopKind.CONCURRENCY_LIMITED, tool)
        case "breaker":
            return StopReason(StopKind.TOOL_UNHEALTHY, tool)
        case "disabled":
            return StopReason(StopKind.TOOL_DISABLED, tool)
        case "spend":
            return StopReason(SHORT_OF.get(admission.unit or "nanos", StopKind.MAX_USD))
        case "tenant":
            return StopReason(StopKind.TENANT_DISABLED)
        case "kill":
            return StopReason(StopKind.OPERATOR_KILL)
        case _:
            return StopReason(StopKind.CONTROL_UNAVAILABLE)


def _no_progress(progress: Progress, calls: list[Call]) -> StopReason | None:
    """Return the stop reason of a turn that repeats the failures or results of earlier turns."""
    loops = progress.loops
    stuck = False
    for call in calls:
        stuck |= loops.fails(call.name, call.error, call.part.arguments)
        if call.error is None:
            stuck |= loops.gives(call.name, call.content, write=call.write)
    return StopReason(StopKind.LOOP_DETECTED) if stuck else None


def _see(progress: Progress, outcomes: tuple[AnyOutcome, ...]) -> None:
    for outcome in outcomes:
        progress.see(outcome)
