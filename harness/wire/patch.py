"""Patches of the client libraries: made once for the process, routed by context, taken back after the last session.

httpx and httpx2 are patched at their network transports. In-process transports (ASGI, WSGI, mocks) are left alone:
what goes through them is no traffic, and a test's own application must run on replay too.
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from harness.wire.routing import Channel, ThreadCarrier, current
from harness.wire.transports import exchange_async, exchange_sync

_HTTPX = ("httpx", "httpx2")


class _Installed:
    """The patches of the process and how many sessions need them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.undo = ExitStack()


_installed = _Installed()


def install() -> None:
    """Patch the client libraries, unless an open session has."""
    with _installed.lock:
        if _installed.users == 0:
            with ExitStack() as undo:
                _patch_everything(undo)
                _installed.undo = undo.pop_all()
        _installed.users += 1


def remove() -> None:
    """Take the patches back, if this was the last open session."""
    with _installed.lock:
        _installed.users -= 1
        if _installed.users == 0:
            _installed.undo.close()


def _patch_everything(undo: ExitStack) -> None:
    carrier = ThreadCarrier()
    carrier.install()
    undo.callback(carrier.remove)
    if find_spec("vcr") is not None:
        from harness.wire.vcr_stacks import patch_stacks

        # First, because vcrpy keeps what it finds at its own import as the originals.
        patch_stacks(undo)
    for name in _HTTPX:
        if find_spec(name) is not None:
            _patch_httpx(undo, importlib.import_module(name))


def _patch_httpx(undo: ExitStack, module: ModuleType) -> None:
    _replace(undo, module.HTTPTransport, "handle_request", _routed_sync)
    _replace(undo, module.AsyncHTTPTransport, "handle_async_request", _routed_async)


def _replace(
    undo: ExitStack, owner: Any, name: str, wrap: Callable[[Any, Callable[[], Channel | None]], Any]
) -> None:
    original = getattr(owner, name)
    installed = True

    def channel() -> Channel | None:
        return current() if installed else None

    wrapper = wrap(original, channel)
    setattr(owner, name, wrapper)

    def restore() -> None:
        nonlocal installed
        installed = False
        # What someone else wrapped around us meanwhile is theirs to take off. Then ours stays, and only passes on:
        # below the wrapper of a later session it would record every call a second time.
        if owner.__dict__.get(name) is wrapper:
            setattr(owner, name, original)

    undo.callback(restore)


def _routed_sync(original: Callable[[Any, Any], Any], channel_of: Callable[[], Channel | None]) -> Any:
    @functools.wraps(original)
    def handle_request(self: Any, request: Any) -> Any:
        channel = channel_of()
        if channel is None:
            return original(self, request)
        return exchange_sync(channel, functools.partial(original, self), request)

    return handle_request


def _routed_async(original: Callable[[Any, Any], Any], channel_of: Callable[[], Channel | None]) -> Any:
    @functools.wraps(original)
    async def handle_async_request(self: Any, request: Any) -> Any:
        channel = channel_of()
        if channel is None:
            return await original(self, request)
        return await exchange_async(channel, functools.partial(original, self), request)

    return handle_async_request
