"""Asking people about a call: at a desk of the caller's, or through the control store.

Through the store another process, or somebody at a console, decides. What fails to answer denies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from runtime.control.approvals import Approval, Binding
from runtime.core.effects import ApprovalAnswer, AskApproval
from runtime.execution.bounded import TimeLimitError, Watch, bounded
from runtime.execution.governor import RunGovernor
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable
from runtime.ports.faults import failure_of
from runtime.ports.tools import ApprovalDesk

_POLL_S = 0.1


async def ask_desk(
    desk: ApprovalDesk | None, effect: AskApproval, limit_s: float | None, *, watch: Watch | None
) -> ApprovalAnswer | None:
    """Return a desk's answer; `None` if it gave none within the limit.

    Args:
        desk: Whom to ask; without one the call is denied.
        effect: The call.
        limit_s: Seconds; `None` for no limit.
        watch: What else may stop the waiting.

    Raises:
        HaltedError: If the watch stopped it.
    """
    if desk is None:
        return _denied("nobody is there to approve")
    try:
        asked: Awaitable[object] = desk.ask(effect)
        answer = await bounded(asked, limit_s, watch=watch, lane=effect.lane)
    except TimeLimitError:
        return None
    except Exception as error:  # noqa: BLE001 - the edge where a desk's exception becomes data
        return _denied(failure_of(error).message)
    return answer if isinstance(answer, ApprovalAnswer) else _denied(f"the desk gave {type(answer).__name__}")


def _denied(why: str) -> ApprovalAnswer:
    return ApprovalAnswer(decision="denied", by="rule", reason=why)


async def ask_through_store(
    store: ControlStore, governor: RunGovernor, effect: AskApproval, elapsed_s: Callable[[], float]
) -> ApprovalAnswer | str:
    """Return the answer to a call, or why it is not waited for any longer, as `Failure.cause` names it."""
    header = governor.header
    binding = Binding(
        tenant=header.tenant,
        environment=header.environment,
        request_id=header.request_id,
        lane=effect.lane,
        tool=effect.name,
        args_hash=effect.args_hash,
        policy_hash=effect.policy_hash,
    )
    deadline = header.budget.max_seconds
    try:
        governor.asked = True
        opened = store.open_approval(
            binding, arguments=effect.arguments, now=governor.now(), ttl_s=effect.timeout_s
        )
        while True:
            if governor.halted is not None:
                return governor.halted
            if deadline is not None and elapsed_s() >= deadline:
                return "deadline"
            answer = _answer(store, governor, opened.id, binding)
            if answer is not None:
                return answer
            await asyncio.sleep(_POLL_S)
    except ControlUnavailable:
        return "control_unavailable"


def _answer(
    store: ControlStore, governor: RunGovernor, approval: str, binding: Binding
) -> ApprovalAnswer | None:
    found = store.read_approval(approval, now=governor.now())
    if found is None or found.state == "pending":
        return None
    if found.state == "granted":  # the one place where a grant is used up
        used = store.use_approval(approval, binding=binding, now=governor.now())
        if not used.applied:
            return ApprovalAnswer(decision="denied", by=found.by, reason=f"the grant is {used.why}")
    return _as_answer(found)


def _as_answer(found: Approval) -> ApprovalAnswer:
    match found.state:
        case "granted":
            return ApprovalAnswer(decision="granted", by=found.by, reason=found.reason)
        case "used":
            # Its one use was another process's; what that one started is under the call's claim.
            return ApprovalAnswer(decision="denied", by=found.by, reason="the grant is used")
        case "denied":
            return ApprovalAnswer(decision="denied", by=found.by, reason=found.reason)
        case _:
            return ApprovalAnswer(decision="timeout")
