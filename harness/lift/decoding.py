"""One exchange becomes what it means: provider, request, reply or failure.

A further dialect joins by its codec in `runtime.dialects` and an entry in `_DECODERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from harness.lift.endpoints import CHAT, MESSAGES, Endpoint, identify
from harness.lift.exchanges import Exchange
from runtime.core.effects import Failure, FailureKind
from runtime.core.messages import ModelReply, ModelRequest
from runtime.core.money import Usage, usd_text
from runtime.dialects import anthropic_messages, openai_chat
from runtime.dialects.errors import DialectError
from runtime.dialects.sse import parse_sse


class LiftedExchange(msgspec.Struct, frozen=True, kw_only=True):
    """What one exchange means.

    Attributes:
        idx: Position in the file, from 0.
        endpoint: Whom it was sent to.
        status: HTTP status.
        is_streamed: Whether the answer was streamed.
        request: What the model was asked; `None` where the request is not of a supported dialect.
        reply: What the model answered; also what a failed stream told before it failed.
        failure: How the call failed, if it did.
        error: What to report of the exchange: a failure, or why it was not decoded.
    """

    idx: int
    endpoint: Endpoint
    status: int | None = None
    is_streamed: bool = False
    request: ModelRequest | None = None
    reply: ModelReply | None = None
    failure: Failure | None = None
    error: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a dialect makes of a response: a reply, a failure, or both where a stream failed on its way."""

    reply: ModelReply | None = None
    failure: Failure | None = None


class _Decoder(msgspec.Struct, frozen=True):
    """The codec of one dialect as lift needs it.

    Attributes:
        request: Reads a request's body.
        answer: Reads a response.
        told_usage: Turns usage back to the provider's own counting, where that differs from ours.
    """

    request: Callable[[Any], ModelRequest]
    answer: Callable[[Exchange], Answer]
    told_usage: Callable[[Usage], Usage] | None = None


class _Stream(Protocol):
    """The stream decoder of a dialect of server-sent events."""

    error: Failure | None

    def feed(self, data: str) -> list[str]: ...

    def finish(self) -> ModelReply: ...


def decode_exchange(exchange: Exchange) -> LiftedExchange:
    """Return what an exchange means; never raises, what cannot be decoded is told in `error`."""
    endpoint = identify(exchange.url)
    lifted = LiftedExchange(
        idx=exchange.idx, endpoint=endpoint, status=exchange.status, is_streamed=exchange.is_streamed
    )
    decoder = _DECODERS.get(endpoint.name) if endpoint.is_known else None
    if decoder is None:
        return msgspec.structs.replace(lifted, error=_unsupported(exchange, endpoint))
    try:
        request = decoder.request(exchange.request_json)
    except DialectError as error:
        return msgspec.structs.replace(lifted, error=f"request not decoded: {error.what}")
    if not request.model and endpoint.deployment is not None:
        request = msgspec.structs.replace(request, model=endpoint.deployment)
    answer = decoder.answer(exchange)
    reply = answer.reply
    if reply is not None:
        reply = msgspec.structs.replace(reply, provider=endpoint.provider)
    return msgspec.structs.replace(
        lifted,
        request=request,
        reply=reply,
        failure=answer.failure,
        error=_error_text(answer.failure, exchange),
    )


def exchange_json(lifted: LiftedExchange) -> dict[str, Any]:
    """Return the entry of an exchange in a `goldrun.lift/1` document.

    Fields of an exchange that was not decoded are null; usage is what the provider said, in its own counting, and
    the finish reason in its own words.
    """
    request, reply = lifted.request, lifted.reply
    was_decoded = request is not None
    usage = _told_usage(lifted)
    calls = () if reply is None else reply.tool_calls
    return {
        "idx": lifted.idx,
        "provider": lifted.endpoint.provider,
        "endpoint": lifted.endpoint.name,
        "status": lifted.status,
        "streamed": lifted.is_streamed,
        "request_model": None if request is None else request.model or None,
        "response_model": None if reply is None else reply.response_model,
        "finish_reason": None if reply is None else reply.raw_finish_reason,
        "tool_calls": [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in calls]
        if was_decoded
        else None,
        "text": (reply.text if reply is not None else "") if was_decoded else None,
        "usage": {
            name: None if usage is None else getattr(usage, name)
            for name in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")
        },
        "cost_usd": None if reply is None else usd_text(reply.cost_nanousd),
        "error": lifted.error,
    }


def _told_usage(lifted: LiftedExchange) -> Usage | None:
    usage = None if lifted.reply is None else lifted.reply.usage
    decoder = _DECODERS.get(lifted.endpoint.name)
    if usage is None or decoder is None or decoder.told_usage is None:
        return usage
    return decoder.told_usage(usage)


def _chat_answer(exchange: Exchange) -> Answer:
    if exchange.is_streamed:
        return _streamed(exchange, openai_chat.StreamDecoder())
    return _whole(exchange, openai_chat.decode_reply, openai_chat.decode_error)


def _messages_answer(exchange: Exchange) -> Answer:
    if exchange.is_streamed:
        return _streamed(exchange, anthropic_messages.StreamDecoder())
    return _whole(exchange, anthropic_messages.decode_reply, anthropic_messages.decode_error)


def _whole(
    exchange: Exchange, decode_reply: Callable[[Any], ModelReply], decode_error: Callable[..., Failure]
) -> Answer:
    body = exchange.reply_json if exchange.reply_json is not None else exchange.content
    is_error = isinstance(body, dict) and bool(body.get("error"))
    if is_error or (exchange.status is not None and exchange.status >= 400):
        return Answer(failure=decode_error(exchange.status or 200, body, retry_after_s=_wait(exchange)))
    try:
        reply = decode_reply(body)
    except DialectError as error:
        return Answer(failure=_unreadable(error.what))
    if reply.finish_reason == "error":
        return Answer(reply=reply, failure=_unreadable("the provider ended the answer with an error"))
    return Answer(reply=reply)


def _streamed(exchange: Exchange, decoder: _Stream) -> Answer:
    for event in parse_sse(exchange.content):
        decoder.feed(event.data)
    reply = decoder.finish()
    return Answer(reply=reply, failure=decoder.error)


def _unreadable(what: str) -> Failure:
    return Failure(kind=FailureKind.ERROR, message=what, phase="response", error_type="invalid_reply")


def _wait(exchange: Exchange) -> float | None:
    """Return the seconds a `retry-after` header asks to wait; a date says nothing without a clock."""
    try:
        seconds = float(exchange.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e9 else None


def _error_text(failure: Failure | None, exchange: Exchange) -> str | None:
    words = [] if failure is None else [_failure_text(failure)]
    if exchange.problem is not None:
        words.append(exchange.problem)
    return "; ".join(words) or None


def _failure_text(failure: Failure) -> str:
    return failure.message if failure.error_type is None else f"{failure.error_type}: {failure.message}"


def _unsupported(exchange: Exchange, endpoint: Endpoint) -> str:
    if endpoint.is_known:
        return f"dialect not supported yet: {endpoint.provider} {endpoint.name}"
    return f"unknown endpoint: {exchange.method} {endpoint.provider} {endpoint.name}"


_DECODERS: dict[str, _Decoder] = {
    CHAT: _Decoder(openai_chat.decode_request, _chat_answer),
    MESSAGES: _Decoder(
        anthropic_messages.decode_request, _messages_answer, told_usage=anthropic_messages.told_usage
    ),
}
