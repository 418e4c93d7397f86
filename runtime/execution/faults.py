"""What an exception of a tool says: what failed, whether anything was sent, whether it may be repeated."""

from __future__ import annotations

import math

import msgspec

from runtime.core.canonical import said
from runtime.core.effects import CallTool, Failure, FailureKind
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


def after_children(effect: CallTool, runs: ChildRuns, failure: Failure, *, claimed: bool) -> Failure:
    """Return the failure of a call as its child runs leave it: what they wrote must not be written again.

    Args:
        effect: The call.
        runs: Its child runs.
        failure: How it failed.
        claimed: Whether writes are claimed, so that those of a repeated child are answered with the first result.
    """
    if runs.in_doubt:
        message = f"{failure.message}; a child run of '{effect.name}' left a write in doubt"
        return Failure(kind=FailureKind.IN_DOUBT, message=message, phase="run", error_type=failure.error_type)
    return failure if claimed or not runs.wrote else msgspec.structs.replace(failure, retryable=False)
