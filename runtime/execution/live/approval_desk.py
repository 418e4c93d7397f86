"""Asking a desk of the caller's about a call. A desk that fails to answer denies."""

from __future__ import annotations

from collections.abc import Awaitable

from runtime.core.effects import ApprovalAnswer, AskApproval
from runtime.execution.time_limit import TimeLimitError, Watch, bounded
from runtime.ports.tool_failures import failure_of
from runtime.ports.tools import ApprovalDesk


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
        pending: Awaitable[object] = desk.ask(effect)
        answer = await bounded(pending, limit_s, watch=watch, lane=effect.lane)
    except TimeLimitError:
        return None
    except Exception as error:  # noqa: BLE001 - the edge where a desk's exception becomes data
        return _denied(failure_of(error).message)
    return answer if isinstance(answer, ApprovalAnswer) else _denied(f"the desk gave {type(answer).__name__}")


def _denied(why: str) -> ApprovalAnswer:
    return ApprovalAnswer(decision="denied", by="rule", reason=why)
