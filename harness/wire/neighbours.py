"""Other libraries that stand between a client and the network: a second recorder is refused, a mock is named.

Rules.
1. vcrpy and a recording of ours never take the same calls. Whichever opens second is refused, whatever its mode: of
   two recorders one would store what the other replays, and which one does differs by client library.
2. A mock that answers above us leaves nothing to record, one that answers below us is recorded like a server. Both
   are allowed, and a recording that was made so says it with a warning.
"""

from __future__ import annotations

import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, NoReturn
from unittest import mock

from harness.wire.routing import current
from runtime.errors import UsageError

MOCKS = ("aioresponses", "httpretty", "mocket", "pook", "pytest_httpx", "requests_mock", "respx", "responses")
_OURS = "harness"
_BELOW = (
    ("httpcore", "ConnectionPool", "handle_request"),
    ("httpcore", "AsyncConnectionPool", "handle_async_request"),
    ("httpcore2", "ConnectionPool", "handle_request"),
    ("httpcore2", "AsyncConnectionPool", "handle_async_request"),
)
"""What the clients call after us."""
_AROUND = (
    ("httpx", "HTTPTransport", "handle_request"),
    ("httpx", "AsyncHTTPTransport", "handle_async_request"),
    ("httpx2", "HTTPTransport", "handle_request"),
    ("httpx2", "AsyncHTTPTransport", "handle_async_request"),
    ("aiohttp", "ClientSession", "_request"),
)
"""What we wrap ourselves: what stood there before is below us."""


def refuse_open_vcr(where: str) -> None:
    """Refuse to record or replay while a cassette of vcrpy is open anywhere in the process.

    Raises:
        UsageError: If one is.
    """
    if "vcr" in sys.modules and _is_vcr_open():
        refuse_vcr(where)


def refuse_vcr(where: str) -> NoReturn:
    """Say that vcrpy and a recording of ours meet.

    Raises:
        UsageError: Always.
    """
    raise UsageError(
        "a cassette of vcrpy and a recording of goldrun are open for the same calls",
        where=where,
        next_step="open one of them; in a test keep one of the marks `vcr` and `cassette`",
    )


@contextmanager
def vcr_refused() -> Iterator[None]:
    """Refuse each cassette of vcrpy that opens where a recording of ours is bound."""
    from vcr.cassette import CassetteContextDecorator

    enter = CassetteContextDecorator.__enter__

    def refusing(cassette: Any) -> Any:
        if current() is not None:
            refuse_vcr("vcr.use_cassette")
        return enter(cassette)

    with mock.patch.object(CassetteContextDecorator, "__enter__", refusing):
        yield


def mocks_below() -> tuple[str, ...]:
    """Return the mock libraries that may answer what we send on, as far as they can be seen."""
    if not loaded_mocks():
        return ()
    wrapped = [_wrapped(each) for each in map(_attribute, _AROUND) if _owner(each) == _OURS]
    owners = {_owner(each) for each in (*map(_attribute, _BELOW), *wrapped)}
    owners.add(socket.socket.__module__.partition(".")[0])
    return tuple(name for name in MOCKS if name in owners)


def loaded_mocks() -> tuple[str, ...]:
    """Return the mock libraries that this process has loaded."""
    return tuple(name for name in MOCKS if name in sys.modules)


def _attribute(place: tuple[str, str, str]) -> Any:
    module, owner, name = place
    return getattr(getattr(sys.modules.get(module), owner, None), name, None)


def _wrapped(function: Any) -> Any:
    """Return what a wrapper of ours calls in the end."""
    while _owner(function) == _OURS:
        function = getattr(function, "__wrapped__", None)
    return function


def _owner(function: Any) -> str:
    """Return the package whose code a function is; what `functools.wraps` copied says nothing of that."""
    if not isinstance(function, FunctionType):
        return ""
    return str(function.__globals__.get("__name__", "")).partition(".")[0]


def _is_vcr_open() -> bool:
    import vcr.patch

    patched = [(patch.getter(), patch.attribute) for patch in vcr.patch.reset_patchers()]
    if "aiohttp" in sys.modules:
        patched.append((sys.modules["aiohttp"].ClientSession, "_request"))
    return any(holds_cassette(getattr(owner, name, None)) for owner, name in patched)


def holds_cassette(stand_in: Any) -> bool:
    """Return whether a class or function works for a cassette of vcrpy's own; ours are built of the same parts."""
    from vcr.cassette import Cassette

    if isinstance(stand_in, type):
        return isinstance(getattr(stand_in, "cassette", None), Cassette)
    cells = getattr(stand_in, "__closure__", None) or ()
    return any(isinstance(cell.cell_contents, Cassette) for cell in cells)


def warn_of_mocks(where: str, mocks: tuple[str, ...], count: int) -> None:
    """Warn of a recording that holds a mock's answers, or nothing.

    Args:
        where: The recording.
        mocks: Mocks that answered below it.
        count: Exchanges it holds.
    """
    if mocks:
        warnings.warn(
            f"{where}: answers of {', '.join(mocks)} were recorded as a server's; "
            "take the mock away to record the server, or the recording to test against the mock",
            RuntimeWarning,
            stacklevel=4,
        )
    elif count == 0:
        loaded = ", ".join(loaded_mocks())
        hint = f"; a mock may have answered first, loaded here: {loaded}" if loaded else ""
        warnings.warn(
            f"{where}: nothing was recorded, no request reached the network{hint}",
            RuntimeWarning,
            stacklevel=4,
        )
