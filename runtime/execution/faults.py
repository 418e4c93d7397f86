"""What an exception of a tool says: what failed, whether anything was sent, whether it may be repeated."""

from __future__ import annotations

from collections.abc import Callable

from runtime.core.canonical import valid_text
from runtime.core.effects import Failure, FailureKind

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


def failure_of(error: Exception) -> Failure:
    """Return the failure of an exception a tool raised.

    An exception that says itself whether it may be repeated (`retryable`, `after_s`) is believed. Of others, those
    of connections may be repeated; `phase` says whether anything was sent.
    """
    names = {f"{c.__module__.partition('.')[0]}.{c.__name__}" for c in type(error).__mro__}
    unsent, lost = bool(names & _UNSENT), bool(names & _LOST)
    retryable = bool(getattr(error, "retryable", unsent or lost))
    after: Callable[[], float] | float | None = getattr(error, "after_s", None)
    return Failure(
        kind=FailureKind.TIMEOUT if names & _TIMEOUTS else FailureKind.ERROR,
        message=clipped(valid_text(f"{type(error).__name__}: {error}")),
        retryable=retryable,
        phase="connect" if unsent else "lost" if lost else "run",
        error_type=type(error).__name__,
        after_s=after if isinstance(after, int | float) else None,
    )


def clipped(text: str) -> str:
    """Return a message short enough for a log, a journal and a model."""
    return text if len(text) <= _MESSAGE_CHARS else f"{text[:_MESSAGE_CHARS]}... [cut]"
