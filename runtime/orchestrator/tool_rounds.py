"""The rounds of one turn's calls: admission, at most `max_parallel` at one time, retries.

Rounds, because a decision may depend on recorded outcomes only. If each call were repeated by itself, the one that
failed first would take the last retry, and which one that was is not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from runtime.control.budgets import reserve_tool_cost, slice_budget
from runtime.control.retries import asks_too_much, backoff_s, may_retry
from runtime.core.effects import (
    Admission,
    Admit,
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    Batch,
    CallTool,
    Failure,
    FailureKind,
    Flow,
    Limits,
    Outcome,
    QueuedCalls,
    Refuse,
    SingleEffect,
    Started,
    ToolResult,
    Wait,
    perform,
)
from runtime.core.fold import failure_status
from runtime.core.lanes import lane
from runtime.core.stop import StopKind, StopReason, first_stop, parse_stop
from runtime.orchestrator.call_checks import Call, refusal_effect
from runtime.orchestrator.model_step import SHORT_OF, interrupted
from runtime.orchestrator.progress import Progress

TurnEffect = CallTool | Admit | AskApproval | Refuse
_TELLABLE = frozenset({StopKind.TOOL_TIMEOUT, StopKind.TOOL_RATE_LIMITED, StopKind.TOOL_ERROR_EXHAUSTED})
"""Ends that a policy may tell the model in place of stopping."""


def reserve(progress: Progress, calls: list[Call]) -> StopReason | None:
    """Reserve the price of each call in declared order; what the money does not reach for is not started."""
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


def run_rounds(progress: Progress, calls: list[Call]) -> Flow[StopReason | None]:
    """Run the calls, at most `max_parallel` at one time; those that failed and may be repeated are repeated together.

    Rounds, because a decision may depend on recorded outcomes only. If each call were repeated by itself, the one
    that failed first would take the last retry, and which one that was is not recorded.
    """
    attempt = 1
    while calls:
        started = yield from _start(progress, calls, attempt)
        if isinstance(started, StopReason):
            yield from _leave_unstarted(progress, calls, attempt, started)
            return started
        again: list[Call] = []
        unstarted, failed = _unstarted(calls, started)
        wait_s = 0.0
        for call, ran in zip(calls, started, strict=True):
            outcome = ran.outcome
            if outcome is None:
                continue
            if isinstance(outcome.value, ToolResult):
                call.content, call.error = outcome.value.content, outcome.value.error
                progress.charge(outcome.value.used)
                continue
            failure = outcome.failure or Failure(kind=FailureKind.ERROR, message="no result was given")
            progress.charge(failure.used)
            # Retries of this round count already: the total is limited over all calls of the run.
            used = progress.tool_retries + len(again)
            stop = None
            if _may_repeat(progress, call, failure, attempt, used):
                # The failed attempt is paid for, so the next one reserves a price of its own.
                stop = reserve(progress, [call])
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
        if reason is not None:
            yield from _leave_unstarted(progress, unstarted, attempt, reason)
        if reason is not None or not again:
            return reason
        stop = yield from _pause(progress, len(again), attempt, wait_s)
        if stop is not None:
            return stop
        calls, attempt = again, attempt + 1
    return None


def _start(progress: Progress, calls: list[Call], attempt: int) -> Flow[tuple[Started, ...] | StopReason]:
    """Carry the calls out; return the stop reason if those that begin at once are not all admitted.

    No more than `max_parallel` run at one time. The others queue and are admitted when they begin, so what queues
    holds no slot; see `QueuedCalls`.
    """
    width = progress.setup.header.budget.max_parallel or max(len(calls), 1)
    admits = [_admission(progress, c, attempt) for c in calls[:width]]
    admissions = yield from perform_all(admits)
    see_all(progress, admissions)
    stop = first_stop(
        [s for c, a in zip(calls, admissions, strict=False) if (s := _admitted(c, a)) is not None]
    )
    if stop is not None:
        return stop
    _slice(progress, calls)
    effects = [_effect(progress, c, attempt) for c in calls]
    if len(calls) <= width:
        outcomes = yield from perform_all(effects)
        see_all(progress, outcomes)
        return tuple(Started(admission=None, outcome=outcome) for outcome in outcomes)
    retries = progress.tool_retries

    def ends(index: int, outcome: Outcome[ToolResult]) -> str | None:
        failure, call = outcome.failure, calls[index]
        if failure is None or _may_repeat(progress, call, failure, attempt, retries):
            return None
        reason = _ending(progress, call, failure)
        return None if reason is None else str(reason)

    queued = tuple(_admission(progress, c, attempt, queued=True) for c in calls[width:])
    turn = yield from perform(QueuedCalls(calls=tuple(effects), admits=queued, width=width, ends=ends))
    started = turn.value or ()
    for ran in started:
        see_all(progress, tuple(o for o in (ran.admission, ran.outcome) if o is not None))
    return started


def _admission(progress: Progress, call: Call, attempt: int, *, queued: bool = False) -> Admit:
    deadline_s = progress.setup.header.budget.max_seconds
    return Admit(
        lane=lane(progress.step, "admit", index=call.index, attempt=attempt),
        subject="tool",
        name=call.name,
        limits=Limits(
            deadline_s=deadline_s, timeout_s=call.timeout_s, reserved_nanousd=call.cost_nanos or None
        ),
        queued=queued,
        call=_effect(progress, call, attempt),
    )


def _admitted(call: Call, outcome: Outcome[Admission]) -> StopReason | None:
    """Return why a call was not admitted; `None` if it was."""
    if outcome.failure is not None:
        return interrupted(outcome.failure)
    if outcome.value is not None and not outcome.value.granted:
        return _not_admitted(outcome.value, call.name)
    return None


def _unstarted(calls: list[Call], started: tuple[Started, ...]) -> tuple[list[Call], list[StopReason]]:
    """Return the calls that queued and were not admitted, and why."""
    left, stops = [], []
    for call, ran in zip(calls, started, strict=True):
        stop = None if ran.admission is None else _admitted(call, ran.admission)
        if stop is not None:
            left.append(call)
            stops.append(stop)
    return left, stops


def _leave_unstarted(progress: Progress, calls: list[Call], attempt: int, reason: StopReason) -> Flow[None]:
    """Record calls that were never started; calls that failed before keep their last attempt."""
    if attempt > 1:
        return
    for call in calls:
        call.refusal = ("not_started", "", reason.kind.value)
    see_all(progress, (yield from perform_all([refusal_effect(progress, c) for c in calls])))


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
    """Return whether repeating cannot do harm: what surely did not happen, reads, and writes made safe."""
    if failure.phase == "connect" or failure.kind in {FailureKind.RATE_LIMITED, FailureKind.UNAVAILABLE}:
        return True
    return call.spec is None or call.spec.decl.repeatable


def _may_repeat(progress: Progress, call: Call, failure: Failure, attempt: int, used: int) -> bool:
    """Return whether a failed call is repeated in the next round."""
    retry = progress.setup.header.tool_retry
    patient = not asks_too_much(retry, failure, progress.setup.header.budget)
    may = patient and may_retry(retry, failure, attempt=attempt, retries_used=used)
    return may and _repeatable(call, failure)


def _exhausted(progress: Progress, call: Call, failure: Failure) -> StopReason | None:
    """Return the stop reason of a call that is not repeated; `None` if the model hears of it."""
    reason = _ending(progress, call, failure)
    if reason is not None and reason.kind not in _TELLABLE:
        return reason
    call.content = call.error = f"Tool '{call.name}' failed: {failure.message}"
    if reason is None:
        return progress.refuse(StopKind.TOOL_ERROR_EXHAUSTED, call.name, stop=False)
    return reason


def _ending(progress: Progress, call: Call, failure: Failure) -> StopReason | None:
    """Return the stop reason that the failure of a call gives the run; `None` where policy tells the model."""
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
    if progress.setup.header.policy.on_failure == "tell":
        return None
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
    see_all(progress, (outcome,))
    return None if outcome.failure is None else interrupted(outcome.failure)


def _not_admitted(admission: Admission, tool: str) -> StopReason:
    match admission.cause:
        case "stopped":
            return parse_stop(admission.detail or StopKind.INTERNAL_ERROR.value)
        case "deadline":
            return StopReason(StopKind.MAX_SECONDS)
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


def see_all(progress: Progress, outcomes: tuple[AnyOutcome, ...]) -> None:
    """Move the run's time on to the latest of some outcomes."""
    for outcome in outcomes:
        progress.see(outcome)
