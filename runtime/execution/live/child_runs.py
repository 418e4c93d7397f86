"""Make a call's answer say what its child runs did: what they used, and that they wrote."""

from __future__ import annotations

import msgspec

from runtime.core.effects import CallTool, Failure, FailureKind, ToolResult, Used
from runtime.ports.tools import ChildRuns

_NOTHING = Used()


def with_children(
    call: CallTool, answer: ToolResult | Failure, runs: ChildRuns, *, claimed: bool
) -> ToolResult | Failure:
    """Return a call's answer with what its child runs used; a failure is not retryable if they wrote.

    Args:
        call: The call.
        answer: What it gave.
        runs: Its child runs.
        claimed: Whether writes are claimed, so that those of a repeated child are answered with the first result.
    """
    if isinstance(answer, Failure):
        if runs.in_doubt:
            message = f"{answer.message}; a child run of '{call.name}' left a write in doubt"
            answer = Failure(
                kind=FailureKind.IN_DOUBT, message=message, phase="run", error_type=answer.error_type
            )
        elif runs.wrote and not claimed:
            answer = msgspec.structs.replace(answer, retryable=False)
    return answer if runs.used == _NOTHING else msgspec.structs.replace(answer, used=runs.used)
