"""What becomes of a tool's exceptions, and of an answer whose child runs wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec

from runtime.core.effects import CallTool, Failure, FailureKind, ToolResult, Used
from runtime.errors import Signal
from runtime.ports.faults import failure_of
from runtime.ports.tools import ChildRuns


async def held_in(call: Awaitable[ToolResult]) -> ToolResult | Failure:
    """Return what a tool's call gives; what would end the process with all its runs is a failure of this call.

    Raises:
        Exception: What the tool raised.
        KeyboardInterrupt: If the person at the terminal wants an end.
        Signal: If something below the tool ends the run.
    """
    try:
        return await call
    except (Exception, asyncio.CancelledError, KeyboardInterrupt, Signal):
        raise
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a tool, and what is like it
        return failure_of(error)


def with_children(
    call: CallTool, answer: ToolResult | Failure, runs: ChildRuns, *, claimed: bool
) -> ToolResult | Failure:
    """Return a call's answer as its child runs leave it: with what they used, and not to be repeated if they wrote.

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


_NOTHING = Used()
