"""Answers of the loopback provider in each dialect: replies, streams and failures as the real provider sends them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from runtime.core.effects import Failure, FailureKind
from runtime.core.messages import ModelReply, ModelRequest
from runtime.dialects import anthropic_messages, openai_chat
from runtime.dialects.jsontext import dump_json
from runtime.testing.scripted import complete_turn, says

CHAT_PATH = "/v1/chat/completions"
MESSAGES_PATH = "/v1/messages"

_BROKEN = frozenset({"connect", "request"})


class WireAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer on the wire: one body, or the events of a stream; `broken` cuts the connection after them."""

    status: int = 200
    body: bytes = b""
    events: tuple[str, ...] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    broken: bool = False


class ServedDialect(msgspec.Struct, frozen=True, kw_only=True):
    """The dialect of one provider.

    Attributes:
        id_prefix: Prefix of the ids of its answers.
        decode_request: Reads a body; raises `DialectError`.
        encode_reply: Writes a whole answer.
        encode_stream: Writes the payloads of a streamed answer.
        encode_error: Writes the error body of a status, a message and a code.
        statuses: Status of a failure by its kind; others are 500 or 400.
        event_name: Returns the event name of a payload, if the provider names events.
    """

    id_prefix: str
    decode_request: Callable[[Any], ModelRequest]
    encode_reply: Callable[..., dict[str, Any]]
    encode_stream: Callable[..., list[str]]
    encode_error: Callable[[int, str, str | None], dict[str, Any]]
    statuses: Mapping[FailureKind, int]
    event_name: Callable[[str], str] | None = None

    def replied(self, reply: ModelReply, request: ModelRequest, token: str, *, streamed: bool) -> WireAnswer:
        """Return the answer for a reply; `token` is part of its id."""
        name, model = reply.response_id or self.id_prefix + token, reply.response_model or request.model
        if streamed:
            return WireAnswer(events=self._frames(self.encode_stream(reply, model=model, response_id=name)))
        return WireAnswer(body=dump_json(self.encode_reply(reply, model=model, response_id=name)).encode())

    def failed(self, failure: Failure, request: ModelRequest, token: str, *, streamed: bool) -> WireAnswer:
        """Return the answer for a failure: a status and an error body, or a connection that breaks."""
        if failure.phase in _BROKEN:
            return WireAnswer(broken=True)
        if failure.phase == "stream" and streamed:
            begun = complete_turn(says(failure.message), request, provider="loopback")
            assert isinstance(begun, ModelReply)
            whole = self.replied(begun, request, token, streamed=True).events or ()
            return WireAnswer(events=whole[: len(whole) // 2], broken=True)
        status = self.statuses.get(failure.kind, 500 if failure.retryable else 400)
        answer = self.refused(status, failure.message, failure.error_type or failure.kind.value)
        if failure.after_s is None:
            return answer
        # The standard header has whole seconds only. Providers add the other one for shorter waits.
        waits = (
            ("Retry-After", str(math.ceil(failure.after_s))),
            ("Retry-After-Ms", str(round(failure.after_s * 1000))),
        )
        return msgspec.structs.replace(answer, headers=waits)

    def refused(self, status: int, message: str, code: str | None) -> WireAnswer:
        """Return an error answer; without a code it has the provider's default code of the status."""
        return WireAnswer(status=status, body=dump_json(self.encode_error(status, message, code)).encode())

    def _frames(self, payloads: list[str]) -> tuple[str, ...]:
        named = self.event_name
        if named is None:
            return tuple(f"data: {payload}\n\n" for payload in payloads)
        return tuple(f"event: {named(payload)}\ndata: {payload}\n\n" for payload in payloads)


def _chat_error(status: int, message: str, code: str | None) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code or "bad_request"}}


CHAT = ServedDialect(
    id_prefix="chatcmpl-",
    decode_request=openai_chat.decode_request,
    encode_reply=openai_chat.encode_reply,
    encode_stream=openai_chat.encode_stream,
    encode_error=_chat_error,
    statuses={FailureKind.RATE_LIMITED: 429, FailureKind.UNAVAILABLE: 503, FailureKind.TIMEOUT: 408},
)
MESSAGES = ServedDialect(
    id_prefix="msg_",
    decode_request=anthropic_messages.decode_request,
    encode_reply=anthropic_messages.encode_reply,
    encode_stream=anthropic_messages.encode_stream,
    encode_error=anthropic_messages.encode_error,
    statuses={FailureKind.RATE_LIMITED: 429, FailureKind.UNAVAILABLE: 529, FailureKind.TIMEOUT: 504},
    event_name=anthropic_messages.event_name,
)
SERVED: dict[str, ServedDialect] = {CHAT_PATH: CHAT, MESSAGES_PATH: MESSAGES}
"""Dialects by the path of the request."""
