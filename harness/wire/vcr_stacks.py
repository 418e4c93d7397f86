"""requests, urllib3, botocore, aiohttp, httplib2 and `http.client` through vcrpy's patches, on our store.

Theory of operation. vcrpy knows how to stand between each library and its connections; we use its stand-ins and
nothing else of it. They ask a cassette; ours (`_RoutedCassette`) looks up the recording of the calling context.

Rules.
1. Outside a recording nothing changes: a stand-in that is made there is the real connection (`__new__`).
2. Where vcrpy takes its patches off for a moment to reach the real classes, which would let the calls of other
   threads slip by, we set a mark in the context instead (`_passing`).
3. Of `http.client` the constructors are patched, for exactly its own two classes and not by name: a class that is
   derived from one during a recording is derived from the real one.
4. vcrpy reads an answer whole before it hands it on, so these stacks are recorded as one chunk.
5. A cassette of vcrpy's own never works beside a recording of ours; `neighbours` says why.
"""

from __future__ import annotations

import functools
import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, cast
from unittest import mock
from urllib.parse import urlencode

import vcr.patch
import vcr.stubs
from vcr.patch import CassettePatcherBuilder
from vcr.request import Request

from harness.wire.client_errors import aiohttp_error, connection_error
from harness.wire.encodings import decode_content
from harness.wire.exchange import Headers, HttpAnswer, SentRequest, header_value
from harness.wire.neighbours import holds_cassette, refuse_vcr, vcr_refused
from harness.wire.routing import Exchanging, Served, current, is_served, unserved
from runtime.errors import UsageError

_passing: ContextVar[bool] = ContextVar("goldrun_wire_passing", default=False)
"""Whether the real classes are meant: vcrpy makes or uses one."""
_begun: ContextVar[list[Request] | None] = ContextVar("goldrun_wire_begun", default=None)
"""Requests that an aiohttp call has begun."""
_GAVE_UP = "the recorded client gave up before an answer came; this one did not"
_MARK = "_goldrun_exchange"
_STANDARD = (http.client.HTTPConnection, http.client.HTTPSConnection)
_SKIPPED = ("httplib", "httpx", "httpx2")


def patch_stacks(undo: ExitStack) -> None:
    """Patch every stack that is installed; `undo` takes the patches back."""
    undo.enter_context(vcr_refused())
    undo.enter_context(mock.patch.object(vcr.patch, "force_reset", _force_reset_for(vcr.patch.force_reset)))
    cassette = _RoutedCassette()
    for patcher in cast("Iterator[Any]", _Builder(cassette).build()):
        target: Any = patcher.getter() if hasattr(patcher, "getter") else None
        if getattr(target, "__name__", "") == "ClientSession":
            from vcr.stubs.aiohttp_stubs import vcr_request

            original = target._request  # noqa: SLF001 - what vcrpy patches
            # vcrpy would send to the method it found when it was imported, past a mock that stands here now.
            patcher.new = _routed_aiohttp(original, vcr_request(cassette, original))
        undo.enter_context(patcher)
    _patch_http_client(undo)


def _force_reset_for(original: Any) -> Any:
    @contextmanager
    def force_reset() -> Iterator[None]:
        before = _passing.get()
        _passing.set(True)
        try:
            if http.client.HTTPSConnection is vcr.stubs.HTTPSConnection:
                yield
            else:  # a cassette of vcrpy's own is open too
                with original():
                    yield
        finally:
            _passing.set(before)

    return force_reset


def _is_bound() -> bool:
    return not _passing.get() and current() is not None


class _Routed:
    """Mixed into vcrpy's stand-ins for connections: real outside, and failures recorded."""

    cassette: _RoutedCassette
    close: Callable[[], None]
    real_connection: Any
    _baseclass: Any
    _vcr_request: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if _is_bound():
            return super().__new__(cls)
        return cls._baseclass(*args, **kwargs)

    def request(self, *args: Any, **kwargs: Any) -> None:
        super().request(*args, **kwargs)  # type: ignore[misc]  # the stand-in's
        if self._baseclass in _STANDARD and _is_bound():
            self._reach()

    def _reach(self) -> None:
        """Connect at once: callers of `http.client` expect a refusal here, vcrpy connects when it reads."""
        request, real = self._vcr_request, self.real_connection
        if self.cassette.can_play_response_for(request):
            answer = getattr(request, _MARK).answer
            if answer.error is not None and answer.error.phase == "connect":
                raise connection_error(answer.error, answer.end, self)
            return
        try:
            with vcr.patch.force_reset():
                if real.sock is None:
                    real.connect()
        except BaseException as error:
            self.cassette.failed(request, error)
            raise

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        request = self._vcr_request
        try:
            return super().getresponse(*args, **kwargs)  # type: ignore[misc]  # the stand-in's
        except BaseException as error:
            self.cassette.failed(request, error)
            served = getattr(request, _MARK, None)
            if isinstance(error, _Failed) and served is not None:
                answer = served.answer
                raise connection_error(answer.error, answer.end, self) from None
            raise

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().connect(*args, **kwargs)  # type: ignore[misc]  # the stand-in's
        except BaseException as error:
            if hasattr(self, "_vcr_request"):
                self.cassette.failed(self._vcr_request, error)
            raise


class _Failed(Exception):
    """A recorded failure on its way out of a stand-in, which makes it the library's own."""


class _Builder(CassettePatcherBuilder):  # type: ignore[misc]  # vcrpy is untyped
    """vcrpy's patches with our stand-ins."""

    def _build_cassette_subclass(self, base_class: Any) -> Any:
        return type(f"Routed{base_class.__name__}", (_Routed, base_class), {"cassette": self._cassette})

    def _patched_get_conn(self, connection_pool_class: Any, connection_class_getter: Any) -> Any:
        get_conn = connection_pool_class._get_conn  # noqa: SLF001 - what vcrpy patches

        @functools.wraps(get_conn)
        def patched_get_conn(pool: Any, timeout: Any = None, **kwargs: Any) -> Any:
            real = {stub._baseclass for stub in self._class_to_cassette_subclass}  # noqa: SLF001 - vcrpy's
            # A pool that contexts share holds connections of both kinds, at most as many as it has slots. What it
            # opens in an emptied slot is of the right kind, or of a class of the pool's own, which is left alone.
            for _ in range(pool.pool.maxsize + 1):
                connection = get_conn(pool, timeout, **kwargs)
                bound = _is_bound()
                if bound and holds_cassette(type(connection)):
                    refuse_vcr(f"{pool.scheme}://{pool.host}:{pool.port}")  # opened by another context
                if type(connection) not in real if bound else not isinstance(connection, _Routed):
                    return connection
                connection.close()
                pool._put_conn(None)  # noqa: SLF001 - keeps its slot in a blocking pool
            raise UsageError(
                f"the pool {type(pool).__name__!r} opens connections that cannot be recorded",
                where=f"{pool.scheme}://{pool.host}:{pool.port}",
                next_step="leave its ConnectionCls as it is, or close what changes it",
            )

        return patched_get_conn


class _RoutedCassette:
    """What vcrpy's stand-ins take for a cassette: every question goes to the recording of the context."""

    write_protected = False
    record_mode = None
    custom_patches = ()
    skip_patchers = _SKIPPED
    _path = "goldrun"

    def can_play_response_for(self, request: Request) -> bool:
        """Return whether a request is answered from a file; begins the exchange."""
        channel = current()
        if channel is None:
            return False
        if getattr(request, _MARK, None) is None:
            taken = channel.take(_sent(request))
            setattr(request, _MARK, _UNRECORDED if taken is None else taken)
            if (requests := _begun.get()) is not None:
                requests.append(request)
        return is_served(getattr(request, _MARK))

    def play_response(self, request: Request) -> dict[str, Any]:
        """Return the recorded answer in vcrpy's form.

        Raises:
            _Failed: If the recorded client got none.
        """
        if getattr(request, _MARK, None) is None:
            self.can_play_response_for(request)
        served: Served = getattr(request, _MARK)
        answer = served.answer
        if answer.end == "client_closed":
            served.refuse("cut_off", _GAVE_UP)
        if answer.error is not None:
            raise _Failed
        return _vcr_response(answer)

    def append(self, request: Request, response: dict[str, Any]) -> None:
        """End an exchange with its answer."""
        exchange = self._exchange_of(request)
        if exchange is None:
            return
        status = response["status"]
        exchange.head(status["code"], status["message"] or "", list(_flat(response["headers"])))
        body = response["body"].get("string", b"")
        exchange.chunk(body.encode() if isinstance(body, str) else bytes(body))
        exchange.done()

    def failed(self, request: Request, error: BaseException) -> None:
        """End an exchange that raised, if it is being recorded."""
        exchange = getattr(request, _MARK, None)
        if exchange is not None and not is_served(exchange):
            exchange.fail(error)

    def filter_request(self, request: Request) -> Request | None:
        """Return the request if it is to be recorded."""
        return None if current() is None else request

    def find_requests_with_most_matches(self, request: Request) -> list[tuple[Request]]:
        """Return the request itself: a redirect is looked up like any other."""
        return [(request,)]

    def _exchange_of(self, request: Request) -> Exchanging | None:
        """Return the exchange of a request; aiohttp's stand-in makes new requests for redirects."""
        exchange: Exchanging | None = getattr(request, _MARK, None)
        if exchange is not None:
            return exchange
        for begun in _begun.get() or ():
            if (begun.method, begun.uri) == (request.method, request.uri):
                return cast("Exchanging", getattr(begun, _MARK))
        channel = current()
        taken = None if channel is None else channel.take(_sent(request))
        return None if taken is None or is_served(taken) else unserved(taken)


class _Unrecorded:
    """Takes what is not recorded: a host that is passed through."""

    def head(self, status: int, reason: str, headers: list[tuple[str, str]]) -> None:
        """Take nothing."""

    def chunk(self, data: bytes) -> None:
        """Take nothing."""

    def done(self) -> None:
        """End nothing."""

    def closed(self) -> None:
        """End nothing."""

    def fail(self, error: BaseException) -> None:
        """End nothing."""


_UNRECORDED = _Unrecorded()


def _sent(request: Request) -> SentRequest:
    headers = tuple(_flat(request.headers))
    return SentRequest(
        stack="http",
        method=request.method.upper(),
        url=request.uri,
        headers=headers,
        body=_body(request, headers),
    )


def _body(request: Request, headers: Headers) -> bytes:
    body = request.body_bytes
    match body:
        case None:
            return b""
        case bytes() | bytearray():
            return bytes(body)
        case str():
            return body.encode()
        case dict() | list() | tuple():
            # aiohttp's `json` and `data` arrive as the values they were given.
            if "form" in (header_value(headers, "content-type") or ""):
                return urlencode(body, doseq=True).encode()
            return json.dumps(body, default=repr).encode()
        case _:
            return repr(type(body)).encode()


def _flat(headers: Any) -> Iterator[tuple[str, str]]:
    for name, values in headers.items():
        for value in values if isinstance(values, list | tuple) else [values]:
            yield str(name), value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _vcr_response(answer: HttpAnswer) -> dict[str, Any]:
    headers: dict[str, list[str]] = {}
    for name, value in answer.headers:
        headers.setdefault(name, []).append(value)
    content = answer.content
    encoding = header_value(answer.headers, "content-encoding")
    plain = None if encoding is None else decode_content(content, encoding)
    if plain is not None:
        # The stand-ins hand out what stands here; none of them undoes an encoding.
        content = plain
        headers = {name: v for name, v in headers.items() if name.lower() != "content-encoding"}
        headers = {
            name: [str(len(content))] if name.lower() == "content-length" else v
            for name, v in headers.items()
        }
    return {
        "status": {"code": answer.status, "message": answer.reason},
        "headers": headers,
        "body": {"string": content},
    }


def _routed_aiohttp(original: Any, recorded: Any) -> Any:
    @functools.wraps(original)
    async def request(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
        channel = current()
        if channel is None:
            return await original(self, method, url, **kwargs)
        token = _begun.set([])
        try:
            return await recorded(self, method, url, **kwargs)
        except BaseException as error:
            begun = _begun.get() or []
            if isinstance(error, _Failed):
                answer = getattr(begun[-1], _MARK).answer
                raise aiohttp_error(answer.error, answer.end, str(url)) from None
            for each in begun:
                if not is_served(taken := getattr(each, _MARK)):
                    taken.fail(error)
            raise
        finally:
            _begun.reset(token)

    return request


def _patch_http_client(undo: ExitStack) -> None:
    """Have the two connection classes of the standard library make stand-ins where a recording is bound."""
    cassette = _RoutedCassette()
    for real, stub in zip(
        _STANDARD, (vcr.stubs.VCRHTTPConnection, vcr.stubs.VCRHTTPSConnection), strict=True
    ):
        routed = type(f"Routed{stub.__name__}", (_Routed, stub), {"cassette": cassette})
        undo.enter_context(mock.patch.object(real, "__init__", _routed_init(real, routed)))


def _routed_init(real: Any, routed: Any) -> Any:
    original = real.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self) is real and _is_bound():
            self.__class__ = routed
            routed.__init__(self, *args, **kwargs)
        else:
            original(self, *args, **kwargs)

    return init
