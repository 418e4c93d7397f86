"""What live adapters over httpx share: one exchange of a dialect of JSON and server-sent events, streamed or not.

An adapter names its dialect, its address and its headers; all else is here.

Rules.
1. Whatever goes wrong at the provider or on the way is a `Failure`; see `ModelPort`.
2. One client per event loop, made at the first call: a program may call `asyncio.run` for each run.
3. An answer is read under a limit of bytes; see `answer_bytes`.
4. The adapter reads no wall clock: a `Retry-After` date is measured against the answer's own `Date`.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import msgspec

from runtime.core.effects import Failure, FailureKind, Limits
from runtime.core.messages import ModelReply, ModelRequest
from runtime.dialects.errors import DialectError
from runtime.dialects.jsontext import dump_json, parse_json
from runtime.dialects.sse import SseEvent, SseParser
from runtime.errors import UsageError
from runtime.models.answer_bytes import ACCEPT_ENCODING, AnswerTooLarge, bounded
from runtime.models.wire_names import WireNames
from runtime.ports.models import StreamObserver

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 600.0
"""Longest silence of a provider where a call has no limit of its own."""

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def perf_counter_s() -> float:
    """Return seconds of the finest clock. It is looked up at each call: a test may have frozen it meanwhile."""
    return time.perf_counter()


class HttpResponse(Protocol):
    """An answer that is being read, as `httpx.Response` has it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, looked up without regard to case."""
        ...

    @property
    def status_code(self) -> int:
        """The status."""
        ...

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """Return the body as it arrives, still encoded."""
        ...


class AsyncHttpClient(Protocol):
    """What an adapter needs of an HTTP client: the part of `httpx.AsyncClient` that it calls.

    A client of another make raises the errors of httpx.
    """

    def stream(
        self,
        method: str,
        url: str,
        *,
        content: bytes,
        headers: Mapping[str, str],
        timeout: tuple[float, float, float, float],
    ) -> AbstractAsyncContextManager[HttpResponse]:
        """Send a request; the answer is read within the block.

        Args:
            method: The HTTP method.
            url: The whole address.
            content: The body.
            headers: The headers.
            timeout: Longest waits in seconds: to connect, to read, to write, and for a free connection.
        """
        ...


class StreamDecoder(Protocol):
    """Collects one streamed reply; see the dialects."""

    error: Failure | None
    done: bool

    def feed(self, data: str) -> list[str]:
        """Take one payload and return its text deltas."""
        ...

    def finish(self) -> ModelReply:
        """Return everything that was received."""
        ...


class EncodeRequest(Protocol):
    """Writes the body of a request."""

    def __call__(
        self, request: ModelRequest, *, stream: bool = False, max_output_tokens: int | None = None
    ) -> dict[str, Any]:
        """Return the body, or raise `DialectError`."""
        ...


class DecodeError(Protocol):
    """Reads an error answer."""

    def __call__(self, status: int | None, body: Any, *, retry_after_s: float | None = None) -> Failure:
        """Return the failure it tells of."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The codec of one wire format as an adapter needs it."""

    encode_request: EncodeRequest
    decode_reply: Callable[[Any], ModelReply]
    decode_error: DecodeError
    stream_decoder: Callable[[], StreamDecoder]


class HttpModel:
    """A model port for one provider over HTTP; the base of the adapters."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        base_url: str,
        path: str,
        secret: str | None,
        provider: str,
        stream: bool,
        headers: Mapping[str, str],
        client: AsyncHttpClient | None,
        clock: Callable[[], float],
        rename_tools: bool | None = None,
    ) -> None:
        """Take what an adapter knows.

        Args:
            dialect: How the provider speaks.
            base_url: Address up to and without the path.
            path: Where messages are sent, from the base URL on.
            secret: The key that stands in the headers; never part of a message or failure.
            provider: Provider name of the replies, as in `gen_ai.provider.name`.
            stream: Whether to ask for a streamed answer.
            headers: Sent with each call, credentials included.
            client: Used in place of our own, in its own event loop only, and not closed by `aclose`.
            clock: Monotonic seconds, for chunk offsets.
            rename_tools: Whether tool names with other characters than providers take travel renamed; by default
                everywhere but to this machine's own loopback.

        Raises:
            UsageError: If the base URL is no http or https address.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{base_url!r} is no base URL", next_step="give an http or https address")
        self.provider = provider
        self._dialect = dialect
        self._url = base_url.rstrip("/") + path
        self._local = parts.hostname in _LOOPBACK_HOSTS
        self._rename_tools = not self._local if rename_tools is None else rename_tools
        self._secure = parts.scheme == "https"
        self._secret = secret
        self._stream = stream
        self._headers = {**headers, "Content-Type": "application/json", "Accept-Encoding": ACCEPT_ENCODING}
        self._given = client
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()
        self._tls: ssl.SSLContext | None = None
        self._clock = clock

    async def call(
        self, request: ModelRequest, limits: Limits, observer: StreamObserver | None = None
    ) -> ModelReply | Failure:
        """Ask the provider once; see `ModelPort.call`."""
        import httpx

        names = WireNames(request) if self._rename_tools else None
        try:
            body = self._dialect.encode_request(
                request if names is None else names.sent(request),
                stream=self._stream,
                max_output_tokens=limits.max_output_tokens,
            )
            content = dump_json(body).encode()
        except (DialectError, ValueError, TypeError) as error:
            return self._failure(FailureKind.ERROR, error, phase="request", retryable=False)
        progress = _Progress()
        try:
            answer = await self._exchange(content, limits, observer, progress)
        except httpx.TimeoutException as error:
            phase = _phase_of(error, progress)
            return self._failure(FailureKind.TIMEOUT, error, phase=phase, retryable=True)
        except httpx.TransportError as error:
            phase = _phase_of(error, progress)
            return self._failure(FailureKind.UNAVAILABLE, error, phase=phase, retryable=True)
        except AnswerTooLarge as error:
            return self._failure(FailureKind.ERROR, error, phase="response", retryable=False)
        except (httpx.RequestError, httpx.StreamError, DialectError) as error:
            # An answer that cannot be read is most often a cut or a proxy's page, so a retry may help.
            phase = "stream" if progress.streaming else "response"
            return self._failure(FailureKind.ERROR, error, phase=phase, retryable=True)
        if isinstance(answer, Failure):
            return msgspec.structs.replace(answer, message=self._without_secret(answer.message))
        if names is not None:
            answer = names.received(answer)
        return msgspec.structs.replace(
            answer, provider=self.provider, chunk_offsets=tuple(progress.chunk_offsets)
        )

    async def aclose(self) -> None:
        """Close the client of the running loop, unless the caller passed it in."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _exchange(
        self, content: bytes, limits: Limits, observer: StreamObserver | None, progress: _Progress
    ) -> ModelReply | Failure:
        silence_s = limits.timeout_s if limits.timeout_s is not None else READ_TIMEOUT_S
        timeout = (min(CONNECT_TIMEOUT_S, silence_s), silence_s, silence_s, silence_s)
        began = self._clock()
        call = self._client().stream(
            "POST", self._url, content=content, headers=self._headers, timeout=timeout
        )
        async with call as response:
            if response.status_code != 200:
                data = b"".join([piece async for piece in _body(response)])
                wait_s = retry_after_s(response.headers)
                return self._dialect.decode_error(response.status_code, data, retry_after_s=wait_s)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                return self._whole_answer(b"".join([piece async for piece in _body(response)]))
            progress.streaming = True
            return await self._read_stream(response, began, observer, progress)

    async def _read_stream(
        self, response: HttpResponse, began: float, observer: StreamObserver | None, progress: _Progress
    ) -> ModelReply | Failure:
        decoder = self._dialect.stream_decoder()
        async for event in _events(response):
            deltas = decoder.feed(event.data)
            if decoder.error is not None:
                return decoder.error
            if not decoder.done:
                progress.chunk_offsets.append(round(self._clock() - began, 6))
            if observer is not None:
                for delta in deltas:
                    observer.on_text(delta)
        reply = decoder.finish()
        return reply if decoder.error is None else decoder.error

    def _whole_answer(self, data: bytes) -> ModelReply | Failure:
        body = parse_json(data)
        if isinstance(body, dict) and body.get("error"):
            return self._dialect.decode_error(200, body)  # gateways report a provider's error under 200
        return self._dialect.decode_reply(body)

    def _client(self) -> AsyncHttpClient:
        import httpx

        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        client: AsyncHttpClient | None = self._clients.get(loop)
        if client is None:
            if self._tls is None:
                # Loading root certificates takes tens of milliseconds, and a plain address needs none.
                secure = self._secure
                self._tls = httpx.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            # A proxy of the environment cannot reach this machine's own loopback.
            client = httpx.AsyncClient(verify=self._tls, trust_env=not self._local)
            self._clients[loop] = client
        return client

    def _failure(self, kind: FailureKind, error: Exception, *, phase: str, retryable: bool) -> Failure:
        name = type(error).__name__
        text = self._without_secret(str(error))
        return Failure(
            kind=kind,
            message=f"{name}: {text}" if text else name,
            retryable=retryable,
            phase=phase,
            error_type=name,
        )

    def _without_secret(self, text: str) -> str:
        return text.replace(self._secret, "<secret>") if self._secret else text


class _Progress:
    """How far an exchange came, for the failure that may end it."""

    __slots__ = ("chunk_offsets", "streaming")

    def __init__(self) -> None:
        self.streaming = False
        self.chunk_offsets: list[float] = []


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a provider asks to wait, at least 0; `None` if it does not or is unclear.

    Reads `Retry-After-Ms`, then `Retry-After` as seconds or as an HTTP date (RFC 9110, 10.2.3), which is
    measured against `Date`.

    Args:
        headers: Headers of the answer, looked up without regard to case or in lower case.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        until = parsedate_to_datetime(headers["retry-after"])
        return max(0.0, (until - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None


def _phase_of(error: Exception, progress: _Progress) -> str:
    import httpx

    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout() | httpx.ProxyError():
            return "connect"
        case httpx.WriteError() | httpx.WriteTimeout():
            return "request"
        case _:
            # It was sent and no answer came, so the provider may have done all the work.
            return "stream" if progress.streaming else "lost"


def _body(response: HttpResponse) -> AsyncIterator[bytes]:
    return bounded(response.aiter_raw(), response.headers.get("content-encoding"))


async def _events(response: HttpResponse) -> AsyncIterator[SseEvent]:
    parser = SseParser()
    async for chunk in _body(response):
        for event in parser.feed(chunk):
            yield event
    for event in parser.finish():
        yield event
