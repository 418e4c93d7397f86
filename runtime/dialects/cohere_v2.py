"""The Cohere chat dialect, version 2 (`/v2/chat`): request, reply and server-sent events.

Format: https://docs.cohere.com/v2/reference/chat and https://docs.cohere.com/v2/docs/streaming. Messages and tools are
those of the OpenAI chat dialect. A call may have a `tool_plan`, which is read as a thought. Usage has counted tokens
(`tokens`) and billed ones (`billed_units`); the counted tokens are read.
"""

from __future__ import annotations

from typing import Any

from runtime.core.messages import (
    FinishReason,
    Message,
    ModelReply,
    ModelRequest,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
)
from runtime.core.money import Usage
from runtime.dialects import openai_chat_request
from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import count, entries, first_count, json_object, mapping, string
from runtime.dialects.jsontext import dump_json, mend_text, parse_arguments
from runtime.dialects.openai_chat_parts import call_parts, content_pieces
from runtime.dialects.streams import JsonStream, joined

__all__ = [
    "DialectError",
    "StreamDecoder",
    "decode_error",
    "decode_reply",
    "decode_request",
    "encode_request",
]

_FINISH: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "TOOL_CALL": "tool_call",
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",
    "ERROR_TOXIC": "content_filter",
    "ERROR": "error",
    "TIMEOUT": "error",
    "USER_CANCEL": "error",
}


def normal_finish(raw: str | None) -> FinishReason | None:
    """Return the normalised finish reason; `None` for a missing or unknown one."""
    return None if raw is None else _FINISH.get(raw.upper())


def decode_request(body: Any) -> ModelRequest:
    """Decode a request's body.

    Raises:
        DialectError: If the body is not a request of this dialect.
    """
    request = openai_chat_request.decode_request(body)
    wires = entries(body["messages"])
    messages = [_whole(message, wire) for message, wire in zip(request.messages, wires, strict=True)]
    return ModelRequest(
        model=request.model, messages=tuple(messages), tools=request.tools, parameters=request.parameters
    )


def _whole(message: Message, wire: dict[str, Any]) -> Message:
    """Return a message with the parts that OpenAI's dialect does not have: plans, and documents in results."""
    plan = string(wire.get("tool_plan"))
    if message.role == "assistant" and plan:
        return Message(role="assistant", parts=(ReasoningPart(content=plan), *message.parts))
    if message.role == "tool" and isinstance(wire.get("content"), list):
        texts = [_document_text(piece) for piece in entries(wire["content"])]
        answer = ToolResponsePart(id=string(wire.get("tool_call_id")), response="".join(texts))
        return Message(role="tool", parts=(answer,))
    return message


def _document_text(piece: dict[str, Any]) -> str:
    if piece.get("type") != "document":
        return string(piece.get("text"))
    data = mapping(piece.get("document")).get("data")
    return string(data) if isinstance(data, str) else dump_json(data)


def encode_request(
    request: ModelRequest, *, stream: bool = False, max_output_tokens: int | None = None
) -> dict[str, Any]:
    """Return the request's body.

    Args:
        request: The request; its `parameters` pass through unchanged.
        stream: Whether to stream the reply.
        max_output_tokens: Limit of this call.

    Raises:
        DialectError: If a file part has no uri to send.
    """
    body = openai_chat_request.encode_request(request, max_output_tokens=max_output_tokens)
    if "max_completion_tokens" in body:
        body["max_tokens"] = body.pop("max_completion_tokens")
    body["stream"] = stream
    return body


def decode_reply(body: Any) -> ModelReply:
    """Return the reply of a body that was not streamed.

    Raises:
        DialectError: If the body is not a reply; for an error body use `decode_error`.
    """
    body = json_object(body, "Cohere reply")
    message = body.get("message")
    if not isinstance(message, dict):
        raise DialectError(f"no Cohere reply: no message; fields are {sorted(map(str, body))[:8]}")
    parts: list[Part] = []
    if plan := string(message.get("tool_plan")):
        parts.append(ReasoningPart(content=plan))
    parts += content_pieces(message.get("content"))
    parts += call_parts(message)
    raw = string(body.get("finish_reason")) or None
    return ModelReply(
        parts=joined(parts),
        finish_reason=normal_finish(raw),
        raw_finish_reason=raw,
        response_id=string(body.get("id")) or None,
        usage=decode_usage(body.get("usage")),
    )


def decode_usage(wire: Any) -> Usage | None:
    """Decode a `usage` (or, in version 1, `meta`) object; `None` if it has no counts."""
    if not isinstance(wire, dict):
        return None
    tokens, billed = mapping(wire.get("tokens")), mapping(wire.get("billed_units"))
    usage = Usage(
        input_tokens=first_count(tokens.get("input_tokens"), billed.get("input_tokens")),
        output_tokens=first_count(tokens.get("output_tokens"), billed.get("output_tokens")),
        cache_read_tokens=first_count(wire.get("cached_tokens")),
    )
    return None if usage == Usage() else usage


class StreamDecoder(JsonStream):
    """Collects one streamed reply from its SSE data payloads; attributes as in `JsonStream`."""

    def __init__(self) -> None:
        super().__init__()
        self._plan: list[str] = []
        self._blocks: dict[int, list[Part]] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._arguments: dict[int, list[str]] = {}
        self._closed: set[int] = set()
        self._finish: str | None = None
        self._id: str | None = None
        self._usage: Usage | None = None

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one event and return its text deltas; never raises."""
        delta = mapping(event.get("delta"))
        message = mapping(delta.get("message"))
        place = count(event.get("index")) or 0
        match event.get("type"):
            case "message-start":
                self._id = string(event.get("id")) or self._id
            case "content-start" | "content-delta":
                return self._grow(place, mapping(message.get("content")))
            case "tool-plan-delta":
                self._plan.append(string(message.get("tool_plan")))
            case "tool-call-start":
                self._calls.setdefault(place, mapping(message.get("tool_calls")))
                self._add_arguments(place, message)
            case "tool-call-delta":
                self._add_arguments(place, message)
            case "tool-call-end":
                self._closed.add(place)
            case "message-end":
                self.done = True
                self._finish = string(delta.get("finish_reason")) or self._finish
                self._usage = decode_usage(delta.get("usage")) or self._usage
                if delta.get("error"):
                    self.fail(decode_error(None, {"message": delta["error"]}))
            case None if event.get("message") or event.get("error"):
                self.fail(decode_error(None, event))
            case _:
                pass  # citations, debug events, and events of later versions
        return []

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        self.fail_if_cut(complete=self.done)
        parts: list[Part] = [ReasoningPart(content=plan)] if (plan := "".join(self._plan)) else []
        for place in sorted(self._blocks):
            parts += self._blocks[place]
        parts += [self._call(place) for place in sorted(self._calls)]
        return ModelReply(
            parts=joined(parts),
            finish_reason=normal_finish(self._finish),
            raw_finish_reason=self._finish,
            response_id=self._id,
            usage=self._usage,
        )

    def _grow(self, place: int, content: dict[str, Any]) -> list[str]:
        said = self._blocks.setdefault(place, [])
        if isinstance(content.get("thinking"), str) and content["thinking"]:
            said.append(ReasoningPart(content=content["thinking"]))
        text = content.get("text")
        if not isinstance(text, str) or not text:
            return []
        said.append(TextPart(text))
        return [mend_text(text)]

    def _add_arguments(self, place: int, message: dict[str, Any]) -> None:
        function = mapping(mapping(message.get("tool_calls")).get("function"))
        if isinstance(function.get("arguments"), str):
            self._arguments.setdefault(place, []).append(function["arguments"])

    def _call(self, place: int) -> ToolCallPart:
        """Return a call. If it is still open, missing arguments are not read as empty."""
        opening = self._calls[place]
        text = mend_text("".join(self._arguments.get(place, ())))
        arguments = parse_arguments(text) if text.strip() or place in self._closed else text
        name = string(mapping(opening.get("function")).get("name"))
        return ToolCallPart(id=string(opening.get("id")) or f"call_{place}", name=name, arguments=arguments)
