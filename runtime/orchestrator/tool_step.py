"""The tool calls of one turn: guard order, retries in rounds, and the results that the model sees.

Pure checks of all calls -> approvals in one batch -> switches and deadline again -> prices and denials -> admissions
-> the calls together. If there is a stop reason after the pure checks, no call of the turn has started.
"""

from __future__ import annotations

from runtime.control.budgets import check_steps, check_time, check_tool_calls
from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    ApprovalAnswer,
    AskApproval,
    Controls,
    Flow,
    Outcome,
    ReadControls,
    perform,
)
from runtime.core.lanes import lane
from runtime.core.messages import ToolCallPart, tool_message
from runtime.core.stop import StopKind, StopReason, first_stop
from runtime.orchestrator.call_checks import Call, check_calls, refusal_effect, wants_approval
from runtime.orchestrator.model_step import interrupted
from runtime.orchestrator.progress import Progress
from runtime.orchestrator.tool_rounds import perform_all, reserve, run_rounds, see_all

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
    broke = reserve(progress, [c for c in calls if c.refusal is None])
    yield from perform_all([refusal_effect(progress, c) for c in calls if c.refusal is not None])
    startable = [c for c in calls if c.refusal is None]
    progress.spent.tool_calls += len(startable)
    for call in startable:
        if call.write:
            call.key = progress.next_key(call.name, call.args_hash)
    reason = (yield from run_rounds(progress, startable)) or broke
    if reason is not None:
        return reason
    progress.messages += [tool_message(c.part.id, c.content) for c in calls]
    return _no_progress(progress, calls)


def _start_none(progress: Progress, calls: list[Call], reason: StopReason) -> Flow[None]:
    for call in calls:
        if call.refusal is None:
            call.refusal = ("not_started", "", reason.kind.value)
    outcomes = yield from perform_all([refusal_effect(progress, c) for c in calls])
    see_all(progress, outcomes)


def _approve(progress: Progress, calls: list[Call]) -> Flow[StopReason | None]:
    waiting = [c for c in calls if wants_approval(progress, c)]
    if not waiting:
        return None
    header = progress.setup.header
    outcomes = yield from perform_all([_approval(progress, c) for c in waiting])
    see_all(progress, outcomes)
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
    see_all(progress, (controls,))
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


def _no_progress(progress: Progress, calls: list[Call]) -> StopReason | None:
    """Return the stop reason of a turn that repeats the failures or results of earlier turns."""
    loops = progress.loops
    loops.next_turn()
    stuck = False
    for call in calls:
        stuck |= loops.fails(call.name, call.error, call.part.arguments)
        if call.error is None:
            polls = call.spec is not None and call.spec.decl.polls
            given = call.part.arguments
            stuck |= loops.gives(call.name, call.content, write=call.write, arguments=given, polls=polls)
    return StopReason(StopKind.LOOP_DETECTED) if stuck else None
