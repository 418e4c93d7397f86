"""Streamed replies of the Anthropic messages dialect: convert events to a reply, and a reply to events.

Theory of operation. `message_start` names the message. Blocks are opened, extended by deltas and closed, each by its
index. `message_delta` has the stop reason, and `message_stop` ends the stream. Usage is cumulative: counts in
`message_delta` replace those in `message_start`. Nothing raises: the reply of a damaged or cut stream has everything
that arrived, and `error` holds the failure.
"""

from __future__ import annotations

from typing import Any

from runtime.core.messages import ModelReply, Part, TextPart, ToolCallPart
from runtime.dialects.anthropic_messages_error import decode_error
from runtime.dialects.anthropic_messages_parts import (
    assistant_blocks,
    block_part,
    decode_input,
    decode_usage,
    encode_usage,
    normal_finish,
    reasoning_part,
    wire_finish,
)
from runtime.dialects.anthropic_messages_reply import RESPONSE_ID, message_head
from runtime.dialects.fields import string
from runtime.dialects.jsontext import arguments_text, dump_json, mend_text, parse_json
from runtime.dialects.streams import JsonStream

_KIND_OF_DELTA = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_use",
}
_DELTA_FIELD = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class _Block:
    """One block while its deltas arrive. Texts are kept as pieces, because two deltas may split a character."""

    __slots__ = ("closed", "opening", "pieces", "signatures")

    def __init__(self, opening: dict[str, Any]) -> None:
        self.opening = opening
        self.pieces: list[str] = []
        self.signatures: list[str] = []
        self.closed = False

    def part(self) -> Part | None:
        """Return the block as parts. If the block is still open, missing arguments are not read as empty."""
        text = mend_text("".join(self.pieces))
        match self.opening.get("type"):
            case "text":
                whole = string(self.opening.get("text")) + text
                return TextPart(whole) if whole else None
            case "thinking":
                signature = string(self.opening.get("signature")) + "".join(self.signatures)
                return reasoning_part(string(self.opening.get("thinking")) + text, mend_text(signature))
            case "tool_use":
                given = self.opening.get("input")
                arguments = decode_input(text if text.strip() or not given else given)
                if not self.closed and not text.strip() and not given:
                    arguments = text
                return ToolCallPart(
                    id=string(self.opening.get("id")),
                    name=string(self.opening.get("name")),
                    arguments=arguments,
                )
            case _:
                return block_part(self.opening)


class StreamDecoder(JsonStream):
    """Collects one streamed reply from its SSE data payloads.

    Attributes:
        error: The first failure: an error event inside the stream, a payload that is not JSON, or a stream that ended
            before its reply did (known after `finish()`); `None` if there is none.
        done: Whether `message_stop` was seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, _Block] = {}
        self._finish: str | None = None
        self._model: str | None = None
        self._id: str | None = None
        self._usage: dict[str, Any] = {}

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        self.fail_if_cut(complete=self._finish is not None or self.done)
        parts = [self._blocks[index].part() for index in sorted(self._blocks)]
        return ModelReply(
            parts=tuple(part for part in parts if part is not None),
            finish_reason=normal_finish(self._finish),
            raw_finish_reason=self._finish,
            response_model=self._model,
            response_id=self._id,
            usage=decode_usage(self._usage),
        )

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one event and return its text deltas; never raises."""
        match event.get("type"):
            case "message_start":
                message = _object(event.get("message"))
                self._model = string(message.get("model")) or self._model
                self._id = string(message.get("id")) or self._id
                self._finish = string(message.get("stop_reason")) or self._finish
                self._take_usage(message.get("usage"))
            case "content_block_start":
                return self._open(event)
            case "content_block_delta":
                return self._grow(event)
            case "content_block_stop":
                block = self._blocks.get(_index(event))
                if block is not None:
                    block.closed = True
            case "message_delta":
                self._finish = string(_object(event.get("delta")).get("stop_reason")) or self._finish
                self._take_usage(event.get("usage"))
            case "message_stop":
                self.done = True
            case "error":
                self.fail(decode_error(None, event))
            case _:
                pass  # `ping`, and events of later versions, which clients must ignore
        return []

    def _open(self, event: dict[str, Any]) -> list[str]:
        opening = _object(event.get("content_block"))
        self._blocks[_index(event)] = _Block(opening)
        text = string(opening.get("text")) if opening.get("type") == "text" else ""
        return [text] if text else []

    def _grow(self, event: dict[str, Any]) -> list[str]:
        delta = _object(event.get("delta"))
        kind = string(delta.get("type"))
        if kind not in _KIND_OF_DELTA:
            return []
        block = self._blocks.setdefault(_index(event), _Block({"type": _KIND_OF_DELTA[kind]}))
        if kind == "signature_delta":
            block.signatures.append(string(delta.get("signature")))
            return []
        piece = delta.get(_DELTA_FIELD[kind])
        if not isinstance(piece, str) or not piece:
            return []
        block.pieces.append(piece)
        return [mend_text(piece)] if kind == "text_delta" else []

    def _take_usage(self, usage: Any) -> None:
        self._usage |= {name: value for name, value in _object(usage).items() if value is not None}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _index(event: dict[str, Any]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0


def encode_stream(
    reply: ModelReply, *, model: str, response_id: str = RESPONSE_ID, piece_chars: int = 16
) -> list[str]:
    """Return the data payloads of a streamed reply, `message_stop` last; `event_name` names their events.

    Args:
        reply: The reply; a refusal is written as text.
        model: Model id the stream names.
        response_id: Id the stream names.
        piece_chars: Maximum length of one delta, at least 1.
    """
    usage = {} if reply.usage is None else encode_usage(reply.usage)
    head = message_head(model=model, response_id=response_id)
    begun = {**usage, "output_tokens": 0} if "output_tokens" in usage else usage
    opening: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": begun}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**head, **opening}}]
    calls = iter(reply.tool_calls)
    for index, block in enumerate(assistant_blocks(reply.parts, unsigned=True)):
        arguments = arguments_text(next(calls).arguments) if block["type"] == "tool_use" else ""
        empty, deltas = _opened(block, arguments, piece_chars)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": wire_finish(reply), "stop_sequence": None}
    events.append({"type": "message_delta", "delta": ending, "usage": usage})
    events.append({"type": "message_stop"})
    return [dump_json(event) for event in events]


def event_name(payload: str) -> str:
    """Return the name of a payload of `encode_stream` for its `event:` line."""
    return string(_object(parse_json(payload)).get("type"))


def _opened(block: dict[str, Any], arguments: str, size: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block's opening form, and the deltas that fill it."""

    def deltas(kind: str, text: str) -> list[dict[str, Any]]:
        starts = range(0, len(text), size)
        return [{"type": kind, _DELTA_FIELD[kind]: text[start : start + size]} for start in starts]

    match block["type"]:
        case "text":
            return {**block, "text": ""}, deltas("text_delta", block["text"])
        case "thinking":
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return (
                {**block, "thinking": "", "signature": ""},
                [*deltas("thinking_delta", block["thinking"]), signed],
            )
        case "tool_use":
            return {**block, "input": {}}, deltas("input_json_delta", arguments)
        case _:
            return block, []
