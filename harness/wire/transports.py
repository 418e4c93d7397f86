"""httpx and httpx2, sync and async: streams pass through piece by piece while they are recorded.

Both libraries have the same shapes, so everything is made for the module that the request comes from.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any

from harness.wire.client_errors import httpx_error
from harness.wire.exchange import HttpAnswer, SentRequest, unpack
from harness.wire.routing import Channel, Exchanging, Served, is_served, unserved

_GRACE_S = 1.0
"""How much longer than recorded a replay waits to be cancelled where the recorded client was."""
_CANCELLED = "the recorded client was cancelled here ({} pieces received); this one goes on"
_READ_ON = "the recorded client stopped reading after {} pieces; this one reads on"
_NO_HEAD = "the recorded client gave up before an answer came; this one did not"


def exchange_sync(channel: Channel, send: Callable[[Any], Any], request: Any) -> Any:
    """Send a request of a sync client through a recording and return the response."""
    taken = channel.take(_sent(request, request.read()))
    if taken is None:
        return send(request)
    if is_served(taken):
        return _replay_sync(channel, request, taken)
    exchange = unserved(taken)
    try:
        response = send(request)
    except BaseException as error:
        exchange.fail(error)
        raise
    _take_head(exchange, response)
    if not _took_whole(exchange, response):
        response.stream = _shapes(_module(request)).tee(response.stream, exchange)
    return response


async def exchange_async(channel: Channel, send: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
    """Send a request of an async client through a recording and return the response."""
    taken = channel.take(_sent(request, await request.aread()))
    if taken is None:
        return await send(request)
    if is_served(taken):
        return await _replay_async(channel, request, taken)
    exchange = unserved(taken)
    try:
        response = await send(request)
    except BaseException as error:
        exchange.fail(error)
        raise
    _take_head(exchange, response)
    if not _took_whole(exchange, response):
        response.stream = _shapes(_module(request)).async_tee(response.stream, exchange)
    return response


class RecordedTransport:
    """A transport of a sync client that records or replays what goes through it, whatever the context.

    Give it to a client: `httpx.Client(transport=RecordedTransport(httpx.HTTPTransport(), session))`.
    """

    def __init__(self, inner: Any, channel: Channel) -> None:
        self._inner = inner
        self._channel = channel

    def handle_request(self, request: Any) -> Any:
        """Send one request."""
        return exchange_sync(self._channel, self._inner.handle_request, request)

    def close(self) -> None:
        """Close the transport inside."""
        self._inner.close()

    def __enter__(self) -> RecordedTransport:
        self._inner.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._inner.__exit__(*exc)


class AsyncRecordedTransport:
    """A transport of an async client that records or replays what goes through it, whatever the context."""

    def __init__(self, inner: Any, channel: Channel) -> None:
        self._inner = inner
        self._channel = channel

    async def handle_async_request(self, request: Any) -> Any:
        """Send one request."""
        return await exchange_async(self._channel, self._inner.handle_async_request, request)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()

    async def __aenter__(self) -> AsyncRecordedTransport:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._inner.__aexit__(*exc)


def _module(request: Any) -> ModuleType:
    return sys.modules[type(request).__module__.partition(".")[0]]


def _sent(request: Any, body: bytes) -> SentRequest:
    return SentRequest(
        stack=type(request).__module__.partition(".")[0],
        method=request.method,
        url=str(request.url),
        headers=_pairs(request.headers.raw),
        body=body,
    )


def _pairs(raw: Any) -> tuple[tuple[str, str], ...]:
    return tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw])


def _take_head(exchange: Exchanging, response: Any) -> None:
    phrase = response.extensions.get("reason_phrase", b"")
    exchange.head(response.status_code, phrase.decode("latin-1"), list(_pairs(response.headers.raw)))


def _took_whole(exchange: Exchanging, response: Any) -> bool:
    """Record an answer that was made with its body, as mocks make them; nobody will read its stream."""
    if not response.is_stream_consumed:
        return False
    for chunk in response.stream:
        exchange.chunk(chunk)
    exchange.done()
    return True


def _replay_sync(channel: Channel, request: Any, served: Served) -> Any:
    answer, module = served.answer, _module(request)
    if answer.status is None:
        _wait(channel.pace * served.duration_s)
        if answer.error is None or answer.end == "client_closed":
            served.refuse("cut_off", _NO_HEAD)
        raise httpx_error(module, answer.error, answer.end, request)
    return _response(module, answer, _shapes(module).replayed(served, channel.pace, request))


async def _replay_async(channel: Channel, request: Any, served: Served) -> Any:
    answer, module = served.answer, _module(request)
    if answer.status is None:
        if answer.error is None or answer.end == "client_closed":
            await _sleep(served.duration_s + _GRACE_S)
            served.refuse("cut_off", _NO_HEAD)
        await _sleep(channel.pace * served.duration_s)
        raise httpx_error(module, answer.error, answer.end, request)
    return _response(module, answer, _shapes(module).async_replayed(served, channel.pace, request))


def _response(module: ModuleType, answer: HttpAnswer, stream: Any) -> Any:
    extensions: dict[str, Any] = {"http_version": b"HTTP/1.1"}
    if answer.reason:
        extensions["reason_phrase"] = answer.reason.encode("latin-1", "replace")
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    return module.Response(answer.status, headers=headers, stream=stream, extensions=extensions)


def _wait(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        import anyio  # what httpx runs on, so that trio is served too

        await anyio.sleep(seconds)


class _Shapes:
    """The stream classes for one module; its clients check the base class."""

    def __init__(self, module: ModuleType) -> None:
        self.tee = type("Tee", (_Tee, module.SyncByteStream), {})
        self.async_tee = type("AsyncTee", (_AsyncTee, module.AsyncByteStream), {})
        self.replayed = type("Replayed", (_Replayed, module.SyncByteStream), {})
        self.async_replayed = type("AsyncReplayed", (_AsyncReplayed, module.AsyncByteStream), {})


@lru_cache(maxsize=8)
def _shapes(module: ModuleType) -> Any:
    return _Shapes(module)


class _Tee:
    """A stream that tells a recording what it passes on."""

    def __init__(self, inner: Any, exchange: Exchanging) -> None:
        self._inner = inner
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        exchange = self._exchange
        try:
            for chunk in self._inner:
                exchange.chunk(chunk)
                yield chunk
        except GeneratorExit:
            raise  # the client left; `close` says so
        except BaseException as error:
            exchange.fail(error)
            raise
        exchange.done()

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._exchange.closed()


class _AsyncTee:
    """A stream that tells a recording what it passes on."""

    def __init__(self, inner: Any, exchange: Exchanging) -> None:
        self._inner = inner
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        exchange = self._exchange
        try:
            async for chunk in self._inner:
                exchange.chunk(chunk)
                yield chunk
        except GeneratorExit:
            raise  # the client left; `aclose` says so
        except BaseException as error:
            exchange.fail(error)
            raise
        exchange.done()

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._exchange.closed()


class _Recorded:
    """What both replayed streams know."""

    def __init__(self, served: Served, pace: float, request: Any) -> None:
        self._served = served
        self._pace = pace
        self._request = request

    def _steps(self) -> Iterator[tuple[float, bytes]]:
        """Yield how long to wait, and the piece to give then."""
        before = 0.0
        for at, stored in self._served.answer.chunks:
            yield self._pace * max(0.0, at - before), unpack(stored)
            before = at

    def _end(self) -> None:
        """Do what the recorded stream did at its end."""
        answer = self._served.answer
        if answer.end == "done":
            return
        count = len(answer.chunks)
        if answer.end == "client_closed":
            self._served.refuse("read_on", (_READ_ON if answer.error is None else _CANCELLED).format(count))
        assert answer.error is not None
        raise httpx_error(_module(self._request), answer.error, answer.end, self._request)


class _Replayed(_Recorded):
    """A recorded stream for a sync client."""

    def __iter__(self) -> Iterator[bytes]:
        for seconds, chunk in self._steps():
            _wait(seconds)
            yield chunk
        self._end()

    def close(self) -> None:
        """There is nothing to close."""


class _AsyncReplayed(_Recorded):
    """A recorded stream for an async client."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for seconds, chunk in self._steps():
            await _sleep(seconds)
            yield chunk
        answer = self._served.answer
        if answer.end == "client_closed" and answer.error is not None:
            await _sleep(
                self._served.duration_s + _GRACE_S
            )  # to be cancelled here, as the recorded client was
        self._end()

    async def aclose(self) -> None:
        """There is nothing to close."""
