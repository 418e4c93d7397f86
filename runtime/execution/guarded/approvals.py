"""Approvals through the control store: another process, or somebody at a console, decides about one exact call.

The run opens an approval and polls for its decision, because the store is the only thing that both sides share. The
approval is bound to the call's lane, arguments and policy, and a grant is used up here, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runtime.control.approvals import Approval, Binding
from runtime.core.effects import ApprovalAnswer, AskApproval
from runtime.execution.run_guard import RunGuard
from runtime.execution.time_limit import finish
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable

_POLL_S = 0.1


async def ask_through_store(
    guard: RunGuard, effect: AskApproval, elapsed_s: Callable[[], float]
) -> ApprovalAnswer | str:
    """Return the answer to a call, or why it is not waited for any longer, as `Failure.cause` names it."""
    header, store = guard.header, guard.store
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
        guard.may_have_approvals = True
        opened = await store.open_approval(
            binding,
            arguments=effect.arguments,
            now=guard.now(),
            ttl_s=effect.timeout_s,
            run=guard.owner,
        )
        while True:
            if guard.halted is not None:
                return guard.halted
            if deadline is not None and elapsed_s() >= deadline:
                return "deadline"
            answer = await _answer(store, guard, opened.id, binding)
            if answer is not None:
                return answer
            await asyncio.sleep(_POLL_S)
    except ControlUnavailable:
        return "control_unavailable"


async def _answer(
    store: ControlStore, guard: RunGuard, approval_id: str, binding: Binding
) -> ApprovalAnswer | None:
    approval = await store.read_approval(approval_id, now=guard.now())
    if approval is None or approval.state == "pending":
        return None
    if approval.state == "granted":  # the one place where a grant is used up
        used = await finish(
            store.use_approval(approval_id, binding=binding, now=guard.now(), run=guard.owner)
        )
        if not used.applied:
            return ApprovalAnswer(decision="denied", by=approval.by, reason=f"the grant is {used.why}")
    return _as_answer(approval)


def _as_answer(approval: Approval) -> ApprovalAnswer:
    match approval.state:
        case "granted":
            return ApprovalAnswer(decision="granted", by=approval.by, reason=approval.reason)
        case "used":
            # Its one use was another process's; what that one started is under the call's claim.
            return ApprovalAnswer(decision="denied", by=approval.by, reason="the grant is used")
        case "denied":
            return ApprovalAnswer(decision="denied", by=approval.by, reason=approval.reason)
        case _:
            return ApprovalAnswer(decision="timeout")
