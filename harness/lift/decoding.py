"""One exchange becomes what it means: provider, request, reply or failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from harness.lift.codecs import BEDROCK_INVOKE, DIALECTS, OF_VENDOR, Codec, Stream, told_usage
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
    """What one exchange means.

    Attributes:
        idx: Position in the file, from 0.
        endpoint: Whom it was sent to.
        status: HTTP status.
        is_streamed: Whether the answer was streamed.
        request: What the model was asked; `None` where the request is not of a known dialect.
        reply: What the model answered; also what a failed stream told before it failed.
        told: Usage in the provider's own counting.
        is_cost_stated: Whether the reply's price is the provider's word, and not computed from its tokens.
        failure: How the call failed, if it did.
        error: What to report of the exchange: a failure, or why it was not decoded.
        is_ignored: Whether it is no model's traffic.
        at: Seconds since the recording began, at the sending; `None` where unknown.
        duration_s: Seconds until it ended; `None` where unknown.
    """

    idx: int
    endpoint: Endpoint
    status: int | None = None
    is_streamed: bool = False
    request: ModelRequest | None = None
    reply: ModelReply | None = None
    told: Usage | None = None
    is_cost_stated: bool = False
    failure: Failure | None = None
    error: str | None = None
    is_ignored: bool = False
    at: float | None = None
    duration_s: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a dialect makes of a response: a reply, a failure, or both where a stream failed on its way."""

    reply: ModelReply | None = None
    failure: Failure | None = None
    told: Usage | None = None


def decode_exchange(exchange: Exchange, dialect: str | None = None) -> LiftedExchange:
    """Return what an exchange means; never raises, what cannot be decoded is told in `error`.

    Args:
        exchange: Request and answer.
        dialect: A name of `DIALECTS`, for endpoints whose URL does not tell it.
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
    """Return whom an exchange was sent to; a stated dialect holds for what the URL does not tell."""
    found = (
        identify(exchange.url, exchange.method) if exchange.url else Endpoint(provider="unknown", name="bare")
    )
    if dialect is None or found.dialect not in (None, BEDROCK_INVOKE):
        return found
    return found if _is_other(exchange, found) else msgspec.structs.replace(found, dialect=dialect)


def _is_other(exchange: Exchange, endpoint: Endpoint) -> bool:
    """Tell whether an exchange is no model's: an act beside models, or a foreign host's without a request's form."""
    if endpoint.dialect is not None:
        return False
    return endpoint.is_other or (endpoint.is_foreign and not looks_like_a_request(exchange.request_json))


def _codec(exchange: Exchange, endpoint: Endpoint) -> Codec | None:
    if endpoint.dialect != BEDROCK_INVOKE:
        return DIALECTS[endpoint.dialect or ""]
    vendor = vendor_of(endpoint.deployment or "", exchange.request_json, exchange.reply_json)
    return None if vendor is None else OF_VENDOR[vendor]


def _of_unknown_form(lifted: LiftedExchange, exchange: Exchange) -> LiftedExchange:
    """Return an exchange with a model whose form no one tells; an error is read all the same."""
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
        told=answer.told,
        is_cost_stated=stated,
        failure=answer.failure,
        error=_joined(
            None if answer.failure is None else _failure_text(answer.failure),
            request_error,
            exchange.problem,
        ),
    )


def _request(exchange: Exchange, codec: Codec) -> tuple[ModelRequest | None, str | None]:
    """Return the request, or why there is none; a reply that is fetched later has none and needs none."""
    if exchange.request_json is None and (exchange.method == "GET" or not exchange.url):
        return None, None
    try:
        return codec.request(exchange.request_json), None
    except DialectError as error:
        return None, f"request not decoded: {error.what}"


def _request_alone(exchange: Exchange, codec: Codec, answer: Answer) -> tuple[ModelRequest | None, Answer]:
    """Return a body that was kept by itself as a request, if it is one and no reply."""
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
    told = told_usage(codec, reply.usage, body, None)
    if reply.finish_reason == "error":
        what = f"the provider ended the answer with {reply.raw_finish_reason!r}"
        return Answer(reply=reply, failure=_unreadable(what), told=told)
    return Answer(reply=reply, told=told)


def _failed(exchange: Exchange, codec: Codec) -> Failure:
    body = exchange.reply_json if exchange.reply_json is not None else exchange.content
    named = exchange.headers.get("x-amzn-errortype")
    if named and isinstance(body, dict):
        body = {"__type": named, **body}
    if exchange.framing is Framing.SSE:
        body = next((event.data for event in parse_sse(exchange.content)), exchange.content)
    return codec.failure(exchange.status or 200, body, retry_after_s=_wait(exchange))


def _counted(exchange: Exchange) -> Usage | None:
    """Return the tokens that Bedrock states in headers, where the model's own body states none."""
    stated = {
        name: count(int(text)) if (text := exchange.headers.get(header, "")).isdecimal() else None
        for name, header in (
            ("input_tokens", "x-amzn-bedrock-input-token-count"),
            ("output_tokens", "x-amzn-bedrock-output-token-count"),
        )
    }
    usage = Usage(**stated)
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
    return Answer(reply=reply, failure=stream.error, told=told_usage(codec, reply.usage, None, inner))


def _events(exchange: Exchange, stream: Stream) -> Iterator[str | dict[str, Any]]:
    """Yield the events of a stream, as text or as values; damage of the stream itself goes to its decoder."""
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

    Fields of an exchange that was not decoded are null; usage is what the provider said, in its own counting, and
    the finish reason in its own words.
    """
    request, reply, told = lifted.request, lifted.reply, lifted.told
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
        "usage": {name: None if told is None else getattr(told, name) for name in _USAGE},
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
    """Return the seconds a `retry-after` header asks to wait; a date says nothing without a clock."""
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
