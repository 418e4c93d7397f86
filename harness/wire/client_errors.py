"""Failures of HTTP clients as values, and back: the class a client raised is the class it raises on replay."""

from __future__ import annotations

import builtins
import http.client
import importlib
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from harness.wire.exchange import End, ErrorPhase, HttpError

_CONNECT = (
    "connect",
    "newconnection",
    "nameresolution",
    "gaierror",
    "ssl",
    "proxy",
    "pool",
    "dns",
    "certificate",
)
_REFUSED = frozenset({"NewConnectionError", "NameResolutionError"})
"""urllib3 derives these from its timeout of connecting, for compatibility."""
_SEND = ("write", "brokenpipe", "localprotocol", "unsupportedprotocol")
_READ = ("read", "remote", "disconnected", "payload", "protocol", "reset", "incomplete", "network")


def describe_error(error: BaseException) -> HttpError:
    """Return what to keep of an exception; its text is not redacted yet."""
    return HttpError(type=type(error).__name__, phase=_phase(error), message=str(error))


def end_of(error: BaseException) -> End:
    """Return how an exchange ended that this exception ended."""
    if not isinstance(error, Exception):
        return "client_closed"  # cancelled, interrupted, or its generator closed
    if type(error).__name__ in _REFUSED:
        return "reset"
    names = [kind.__name__ for kind in type(error).__mro__]
    return "timeout" if any("timeout" in name.lower() for name in names) else "reset"


def _phase(error: BaseException) -> ErrorPhase:
    name = type(error).__name__.lower()
    if name in {"connectionreseterror", "connectionabortederror"}:
        return "read"
    for phase, words in (("connect", _CONNECT), ("send", _SEND), ("read", _READ)):
        if any(word in name for word in words):
            return phase  # type: ignore[return-value]  # the literals above
    return "read" if "timeout" in name else "other"


def httpx_error(module: ModuleType, error: HttpError, end: End, request: Any) -> Exception:
    """Return the exception of httpx or httpx2 for a recorded failure, whichever client recorded it."""
    kind = getattr(module, error.type, None)
    if not (isinstance(kind, type) and issubclass(kind, module.RequestError)):
        kind = _httpx_kind(module, error, end)
    made: Exception = kind(error.message, request=request)
    return made


def _httpx_kind(module: ModuleType, error: HttpError, end: End) -> Any:
    if end == "timeout":
        return module.ConnectTimeout if error.phase == "connect" else module.ReadTimeout
    return {"connect": module.ConnectError, "send": module.WriteError}.get(error.phase, module.ReadError)


def connection_error(error: HttpError, end: End, connection: Any) -> Exception:
    """Return the exception a connection of `http.client` or urllib3 raises for a recorded failure."""
    kind = getattr(builtins, error.type, None)
    if isinstance(kind, type) and issubclass(kind, OSError):
        return kind(error.message)
    if error.type == "RemoteDisconnected":
        return http.client.RemoteDisconnected(error.message)
    made = _urllib3_error(error, connection)
    if made is not None:
        return made
    if end == "timeout":
        return TimeoutError(error.message)
    return (ConnectionRefusedError if error.phase == "connect" else ConnectionResetError)(error.message)


def _urllib3_error(error: HttpError, connection: Any) -> Exception | None:
    try:
        exceptions: Any = importlib.import_module("urllib3.exceptions")
    except ImportError:
        return None
    made: Exception
    match error.type:
        case "NewConnectionError" | "NameResolutionError":
            made = exceptions.NewConnectionError(
                connection, error.message.partition(": ")[2] or error.message
            )
        case "ConnectTimeoutError":
            made = exceptions.ConnectTimeoutError(connection, error.message)
        case "ProtocolError":
            made = exceptions.ProtocolError(error.message)
        case "SSLError":
            made = exceptions.SSLError(error.message)
        case _:
            return None
    return made


def aiohttp_error(error: HttpError, end: End, url: str) -> Exception:
    """Return the exception of aiohttp for a recorded failure."""
    aiohttp: Any = importlib.import_module("aiohttp")
    kind = getattr(aiohttp, error.type, None)
    split = urlsplit(url)
    if error.type in {"ClientConnectorError", "ClientConnectorDNSError"} and isinstance(kind, type):
        place = SimpleNamespace(
            host=split.hostname, port=split.port, ssl=True, is_ssl=split.scheme == "https"
        )
        made: Exception = kind(place, OSError(0, error.message))
        return made
    plain = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
    if isinstance(kind, type) and issubclass(kind, plain) and not issubclass(kind, aiohttp.ClientOSError):
        made = kind(error.message)
    elif end == "timeout":
        made = aiohttp.ServerTimeoutError(error.message)
    else:
        made = aiohttp.ClientConnectionError(error.message)
    return made
