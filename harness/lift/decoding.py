"""Decode one exchange into its meaning: provider, request, and reply or failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from harness.lift.codecs import BEDROCK_INVOKE, DIALECTS, OF_VENDOR, Codec, Stream, provider_usage
from harness.lift.endpoints import Endpoint, identify, looks_like_a_request
from harness.lift.exchanges import Exchange, Framing
from harness.lift.pricing import priced
from runtime.core.effects import Failure, FailureKind
from runtime.core.messages import ModelReply, ModelRequest
from runtime.core.money import Usage, usd_text
from runtime.dialects.aws_eventstream import parse_eventstream
from runtime.dialects.bedrock_converse import event_of
from runtime.dialects.bedrock_invoke import InvokeStream, answers_in_text, chunk_of, guarded, vendor_of
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import count, entries, mapping
from runtime.dialects.framing import JsonArrayParser, parse_json_lines
from runtime.dialects.sse import parse_sse
from runtime.dialects.streams import stream_failure


class LiftedExchange(msgspec.Struct, frozen=True, kw_only=True):
    """One decoded exchange.

    Attributes:
        idx: Position in the file, from 0.
        endpoint: The endpoint it was sent to.
        status: HTTP status.
        is_streamed: Whether the reply was streamed.
        request: The request to the model; `None` if its dialect is not known.
        reply: The model's reply; also the part of a failed stream that arrived.
        provider_usage: Usage in the provider's own counting.
        is_cost_stated: Whether the provider stated the reply's price; otherwise it is computed from the tokens.
        failure: The failure, if the call failed.
        error: The problem to report: a failure, or why the exchange was not decoded.
        is_ignored: Whether it is not a model call.
        at: Seconds since the recording began, at the sending; `None` if unknown.
        duration_s: Seconds until it ended; `None` if unknown.
    """

    idx: int
    endpoint: Endpoint
    status: int | None = None
    is_streamed: bool = False
    request: ModelRequest | None = None
    reply: ModelReply | None = None
    provider_usage: Usage | None = None
    is_cost_stated: bool = False
    failure: Failure | None = None
    error: str | None = None
    is_ignored: bool = False
    at: float | None = None
    duration_s: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded response: a reply, a failure, or both if a stream failed midway."""

    reply: ModelReply | None = None
    failure: Failure | None = None
    provider_usage: Usage | None = None


def decode_exchange(exchange: Exchange, dialect: str | None = None) -> LiftedExchange:
    """Decode an exchange. It never raises: `error` says why something could not be decoded.

    Args:
        exchange: Request and response.
        dialect: A name of `DIALECTS`, for endpoints whose URL does not reveal it.
    """
    endpoint = _endpoint(exchange, dialect)
    lifted = LiftedExchange(
        idx=exchange.idx,
        endpoint=endpoint,
        status=exchange.status,
        is_streamed=exchange.framing is not None,
        at=exchange.at,
        duration_s=exchange.duration_s,
    )
    if endpoint.dialect is None:
        is_other = _is_other(exchange, endpoint)
        error = None if is_other else _unknown(exchange, endpoint)
        return msgspec.structs.replace(lifted, error=error, is_ignored=is_other)
    codec = _codec(exchange, endpoint)
    if codec is None and not answers_in_text(endpoint.deployment or ""):
        return msgspec.structs.replace(lifted, is_ignored=True)
    if codec is None:
        return _of_unknown_form(lifted, exchange)
    return _decoded(lifted, exchange, codec)


def _endpoint(exchange: Exchange, dialect: str | None) -> Endpoint:
    """Return the endpoint of an exchange; a stated dialect applies only if the URL does not reveal one."""
    found = (
        identify(exchange.url, exchange.method) if exchange.url else Endpoint(provider="unknown", name="bare")
    )
    if dialect is None or found.dialect not in (None, BEDROCK_INVOKE):
        return found
    return found if _is_other(exchange, found) else msgspec.structs.replace(found, dialect=dialect)


def _is_other(exchange: Exchange, endpoint: Endpoint) -> bool:
    """Return whether an exchange is not a model call.

    Such are other calls to a model provider, and calls to unknown hosts whose body does not look like a request.
    """
    if endpoint.dialect is not None:
        return False
    return endpoint.is_other or (endpoint.is_foreign and not looks_like_a_request(exchange.request_json))


def _codec(exchange: Exchange, endpoint: Endpoint) -> Codec | None:
    if endpoint.dialect != BEDROCK_INVOKE:
        return DIALECTS[endpoint.dialect or ""]
    vendor = vendor_of(endpoint.deployment or "", exchange.request_json, exchange.reply_json)
    return None if vendor is None else OF_VENDOR[vendor]


def _of_unknown_form(lifted: LiftedExchange, exchange: Exchange) -> LiftedExchange:
    """Return an exchange whose dialect is unknown; an error response is still decoded."""
    what = f"the form of model {lifted.endpoint.deployment!r} is not known: state it with --dialect"
    if exchange.status is None or exchange.status < 400:
        return msgspec.structs.replace(lifted, error=_joined(what, exchange.problem))
    failure = _failed(exchange, DIALECTS["bedrock-converse"])
    return msgspec.structs.replace(lifted, failure=failure, error=_joined(_failure_text(failure), what))


def _decoded(lifted: LiftedExchange, exchange: Exchange, codec: Codec) -> LiftedExchange:
    endpoint = lifted.endpoint
    request, request_error = _request(exchange, codec)
    if request is not None and not request.model and endpoint.deployment is not None:
        request = msgspec.structs.replace(request, model=endpoint.deployment)
    answer = _answer(exchange, codec)
    if request is None and answer.reply is None and not exchange.url and exchange.status is None:
        request, answer = _request_alone(exchange, codec, answer)
    reply = answer.reply
    stated = reply is not None and reply.cost_nanousd is not None
    if reply is not None:
        model = reply.response_model or (request.model if request is not None else "") or endpoint.deployment
        reply = priced(msgspec.structs.replace(reply, provider=endpoint.provider), model)
    return msgspec.structs.replace(
        lifted,
        request=request,
        reply=reply,
        provider_usage=answer.provider_usage,
        is_cost_stated=stated,
        failure=answer.failure,
        error=_joined(
            None if answer.failure is None else _failure_text(answer.failure),
            request_error,
            exchange.problem,
        ),
    )


def _request(exchange: Exchange, codec: Codec) -> tuple[ModelRequest | None, str | None]:
    """Return the request, or why there is none. A request that fetches a background reply has none and needs none."""
    if exchange.request_json is None and (exchange.method == "GET" or not exchange.url):
        return None, None
    try:
        return codec.request(exchange.request_json), None
    except DialectError as error:
        return None, f"request not decoded: {error.what}"


def _request_alone(exchange: Exchange, codec: Codec, answer: Answer) -> tuple[ModelRequest | None, Answer]:
    """Return a body that was recorded alone as a request, if it is a request and not a reply."""
    try:
        return codec.request(exchange.reply_json), Answer()
    except DialectError:
        return None, answer


def _answer(exchange: Exchange, codec: Codec) -> Answer:
    if exchange.status is not None and exchange.status >= 400:
        return Answer(failure=_failed(exchange, codec))
    if exchange.framing is not None:
        return _streamed(exchange, codec)
    body = exchange.reply_json if exchange.reply_json is not None else exchange.content
    if body == b"":
        return Answer(failure=_unreadable("the body of the answer was not recorded"))
    if isinstance(body, dict) and body.get("error"):
        return Answer(failure=_failed(exchange, codec))
    try:
        reply = codec.reply(body)
    except DialectError as error:
        return Answer(failure=_unreadable(error.what))
    if exchange.url.endswith("/invoke"):
        reply = guarded(reply, mapping(body))
    if reply.usage is None and (counted := _counted(exchange)) is not None:
        reply = msgspec.structs.replace(reply, usage=counted)
    usage = provider_usage(codec, reply.usage, body, None)
    if reply.finish_reason == "error":
        what = f"the provider ended the answer with {reply.raw_finish_reason!r}"
        return Answer(reply=reply, failure=_unreadable(what), provider_usage=usage)
    return Answer(reply=reply, provider_usage=usage)


def _failed(exchange: Exchange, codec: Codec) -> Failure:
    body = exchange.reply_json if exchange.reply_json is not None else exchange.content
    named = exchange.headers.get("x-amzn-errortype")
    if named and isinstance(body, dict):
        body = {"__type": named, **body}
    if exchange.framing is Framing.SSE:
        body = next((event.data for event in parse_sse(exchange.content)), exchange.content)
    return codec.failure(exchange.status or 200, body, retry_after_s=_wait(exchange))


def _counted(exchange: Exchange) -> Usage | None:
    """Return the token counts in Bedrock's headers, for models whose body has none."""
    stated = [
        count(int(text)) if (text := exchange.headers.get(header, "")).isdecimal() else None
        for header in ("x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count")
    ]
    usage = Usage(input_tokens=stated[0], output_tokens=stated[1])
    return None if usage == Usage() else usage


def _streamed(exchange: Exchange, codec: Codec) -> Answer:
    inner = codec.stream()
    stream: Any = InvokeStream(inner) if exchange.framing is Framing.EVENT_STREAM else inner
    for event in _events(exchange, inner):
        if isinstance(event, str):
            stream.feed(event)
        else:
            stream.take(event)
    reply = stream.finish()
    return Answer(
        reply=reply, failure=stream.error, provider_usage=provider_usage(codec, reply.usage, None, inner)
    )


def _events(exchange: Exchange, stream: Stream) -> Iterator[str | dict[str, Any]]:
    """Yield the events of a stream, as text or parsed; damage to the framing goes to the decoder's `fail`."""
    match exchange.framing:
        case Framing.EVENT_STREAM:
            yield from _aws_events(exchange, stream)
        case Framing.JSON_ARRAY if exchange.content:
            yield from JsonArrayParser().feed(exchange.content)
        case Framing.JSON_ARRAY:
            yield from entries(exchange.reply_json)
        case Framing.JSON_LINES:
            yield from parse_json_lines(exchange.content)
        case _:
            yield from (event.data for event in parse_sse(exchange.content))


def _aws_events(exchange: Exchange, stream: Stream) -> Iterator[dict[str, Any]]:
    messages, problem = parse_eventstream(exchange.content)
    read = event_of if exchange.url.endswith("/converse-stream") else chunk_of
    for message in messages:
        try:
            yield read(message)
        except DialectError as error:
            stream.fail(stream_failure(error.what, "invalid_chunk"))
    if problem is not None:
        stream.fail(stream_failure(problem.what, "invalid_stream"))


def exchange_json(lifted: LiftedExchange) -> dict[str, Any]:
    """Return the entry of an exchange in a `goldrun.lift/1` document.

    Fields of an exchange that was not decoded are null. Usage is in the provider's own counting, and the finish
    reason in the provider's own words.
    """
    request, reply, usage = lifted.request, lifted.reply, lifted.provider_usage
    was_decoded = request is not None or reply is not None
    calls = () if reply is None else reply.tool_calls
    cost = None if reply is None else reply.cost_nanousd
    return {
        "idx": lifted.idx,
        "provider": lifted.endpoint.provider,
        "endpoint": lifted.endpoint.name,
        "status": lifted.status,
        "streamed": lifted.is_streamed,
        "request_model": (request.model if request is not None else None) or lifted.endpoint.deployment,
        "response_model": None if reply is None else reply.response_model,
        "finish_reason": None if reply is None else reply.raw_finish_reason,
        "tool_calls": [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in calls]
        if was_decoded
        else None,
        "text": (reply.text if reply is not None else "") if was_decoded else None,
        "usage": {name: None if usage is None else getattr(usage, name) for name in _USAGE},
        "cost_usd": usd_text(cost),
        "cost_source": None if cost is None else "stated" if lifted.is_cost_stated else "tokens",
        "ignored": lifted.is_ignored,
        "error": lifted.error,
    }


_USAGE = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)


def _unreadable(what: str) -> Failure:
    return Failure(kind=FailureKind.ERROR, message=what, phase="response", error_type="invalid_reply")


def _wait(exchange: Exchange) -> float | None:
    """Return the seconds of a `retry-after` header. A date is ignored: it has no meaning without a clock."""
    try:
        seconds = float(exchange.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _joined(*words: str | None) -> str | None:
    return "; ".join(word for word in words if word) or None


def _failure_text(failure: Failure) -> str:
    return failure.message if failure.error_type is None else f"{failure.error_type}: {failure.message}"


def _unknown(exchange: Exchange, endpoint: Endpoint) -> str:
    what = f"unknown endpoint: {exchange.method} {endpoint.provider} {endpoint.name}"
    if looks_like_a_request(exchange.request_json) or not exchange.url:
        return f"{what}; state its dialect with --dialect"
    return what
