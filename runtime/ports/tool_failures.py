"""What an exception of a tool says: what failed, whether anything was sent, whether it may be repeated."""

from __future__ import annotations

import math
from collections.abc import Callable

from runtime.core.canonical import said
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
"""Errors after which it is unknown whether the other side carried out the request."""
_TIMEOUTS = frozenset(
    {"builtins.TimeoutError", "httpx.TimeoutException", "requests.Timeout", "urllib3.TimeoutError"}
)


def failure_of(error: BaseException, *, clean: Callable[[str], str] | None = None) -> Failure:
    """Return the failure of an exception a tool raised.

    An exception that says itself whether it may be repeated (`retryable`, `after_s`) is believed, and one that has
    a `failure` is that failure. Of others, those of connections may be repeated; `phase` says whether anything was
    sent. Of a group nothing was sent if that holds of all its members, and it was lost if one of them was.

    Args:
        error: What was raised.
        clean: Takes secrets out of its text; before it is cut, so that no head of one is left.
    """
    own = _of_its_own(error, "failure")
    if isinstance(own, Failure):
        return own
    text = f"{type(error).__name__}: {said(error)}"
    found = [_names(each) for each in _members(error)]
    unsent = all(names & _UNSENT for names in found)
    lost = any(names & _LOST and not names & _UNSENT for names in found)
    late = any(names & _TIMEOUTS for names in found)
    believed, after = _of_its_own(error, "retryable"), _of_its_own(error, "after_s")
    return Failure(
        kind=FailureKind.TIMEOUT if late else FailureKind.ERROR,
        message=clipped(text if clean is None else clean(text)),
        retryable=unsent or lost if believed is None else believed not in (False, 0),
        phase="connect" if unsent else "lost" if lost else "run",
        error_type=type(error).__name__,
        after_s=after if isinstance(after, int | float) and 0 <= after < math.inf else None,
    )


def _members(error: BaseException) -> list[BaseException]:
    """Return the exceptions that say what happened: those of a group, and the reason that `urllib` wraps."""
    if isinstance(error, BaseExceptionGroup):
        return [member for each in error.exceptions for member in _members(each)]
    names = {f"{c.__module__}.{c.__name__}" for c in type(error).__mro__}
    reason = _of_its_own(error, "reason") if "urllib.error.URLError" in names else None
    return [reason] if isinstance(reason, BaseException) else [error]


def _names(error: BaseException) -> set[str]:
    return {f"{c.__module__.partition('.')[0]}.{c.__name__}" for c in type(error).__mro__}


def _of_its_own(error: BaseException, name: str) -> object:
    """Return an exception's own text; `None` if it has none or its `__str__` raises."""
    try:
        found: object = getattr(error, name, None)
    except Exception:  # noqa: BLE001 - foreign code runs here, and describing a failure must not fail
        return None
    return found


def clipped(text: str) -> str:
    """Return a message short enough for a log, a journal and a model."""
    return text if len(text) <= _MESSAGE_CHARS else f"{text[:_MESSAGE_CHARS]}... [cut]"
