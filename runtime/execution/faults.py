"""What an exception of a tool says: what failed, whether anything was sent, whether it may be repeated."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable

import msgspec

from runtime.core.canonical import said
from runtime.core.effects import CallTool, Failure, FailureKind, ToolResult, Used
from runtime.errors import Signal
from runtime.ports.tools import ChildRuns

_MESSAGE_CHARS = 4_000
_UNSENT = frozenset(
    {
        "builtins.ConnectionRefusedError",
        "socket.gaierror",
        "httpx.ConnectError",
        "httpx.ConnectTimeout",
        "httpx.PoolTimeout",
        "httpx.UnsupportedProtocol",
        "aiohttp.ClientConnectorError",
        "requests.ConnectTimeout",
        "urllib3.NewConnectionError",
    }
)
"""Errors that are raised before anything is sent; `<package>.<class>`."""
_LOST = frozenset(
    {
        "builtins.ConnectionError",
        "builtins.TimeoutError",
        "httpx.TransportError",
        "aiohttp.ClientConnectionError",
        "aiohttp.ClientPayloadError",
        "requests.ConnectionError",
        "requests.Timeout",
        "requests.ChunkedEncodingError",
        "urllib3.TimeoutError",
        "urllib3.ProtocolError",
    }
)
"""Errors after which nobody knows whether the other side did what it was asked."""
_TIMEOUTS = frozenset(
    {"builtins.TimeoutError", "httpx.TimeoutException", "requests.Timeout", "urllib3.TimeoutError"}
)


def failure_of(error: BaseException) -> Failure:
    """Return the failure of an exception a tool raised.

    An exception that says itself whether it may be repeated (`retryable`, `after_s`) is believed. Of others, those
    of connections may be repeated; `phase` says whether anything was sent.
    """
    names = {f"{c.__module__.partition('.')[0]}.{c.__name__}" for c in type(error).__mro__}
    unsent, lost = bool(names & _UNSENT), bool(names & _LOST)
    believed, after = _of_its_own(error, "retryable"), _of_its_own(error, "after_s")
    return Failure(
        kind=FailureKind.TIMEOUT if names & _TIMEOUTS else FailureKind.ERROR,
        message=clipped(f"{type(error).__name__}: {said(error)}"),
        retryable=unsent or lost if believed is None else believed not in (False, 0),
        phase="connect" if unsent else "lost" if lost else "run",
        error_type=type(error).__name__,
        after_s=after if isinstance(after, int | float) and 0 <= after < math.inf else None,
    )


def _of_its_own(error: BaseException, name: str) -> object:
    """Return what an exception says of itself; `None` if it does not, or raises when asked."""
    try:
        found: object = getattr(error, name, None)
    except Exception:  # noqa: BLE001 - foreign code runs here, and what is told of a failure must not fail
        return None
    return found


def clipped(text: str) -> str:
    """Return a message short enough for a log, a journal and a model."""
    return text if len(text) <= _MESSAGE_CHARS else f"{text[:_MESSAGE_CHARS]}... [cut]"


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
