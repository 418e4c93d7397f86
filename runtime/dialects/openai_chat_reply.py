"""Whole (not streamed) replies of the OpenAI chat dialect, in both directions."""

from __future__ import annotations

from typing import Any

from runtime.core.messages import ModelReply, Part, ReasoningPart, RefusalPart, TextPart
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import reply_object, string
from runtime.dialects.jsontext import arguments_text
from runtime.dialects.openai_chat_parts import (
    WIRE_FINISH,
    billed,
    call_parts,
    content_pieces,
    decode_usage,
    encode_usage,
    normal_finish,
    reasoning_text,
    stated_cost,
)

RESPONSE_ID = "chatcmpl-goldrun"
"""Id of an encoded reply without an id of its own."""


def decode_reply(body: Any) -> ModelReply:
    """Return the reply of a `chat.completion` body: its choice 0.

    Raises:
        DialectError: If the body is not a reply; for an error body use `decode_error`.
    """
    body = reply_object(body, "chat reply")
    message, choice = _first_message(body)
    raw = finish_text(choice)
    parts: list[Part] = []
    if thought := reasoning_text(message):
        parts.append(ReasoningPart(content=thought))
    parts += content_pieces(message.get("content"))
    if isinstance(message.get("refusal"), str):
        parts.append(RefusalPart(content=string(message["refusal"])))
    parts += call_parts(message)
    usage = body.get("usage")
    return ModelReply(
        parts=tuple(parts),
        finish_reason=normal_finish(raw),
        raw_finish_reason=raw,
        response_model=string(body.get("model")) or None,
        response_id=string(body.get("id")) or None,
        usage=billed(decode_usage(usage), body.get("service_tier")),
        cost_nanousd=stated_cost(usage),
    )


def finish_text(choice: dict[str, Any]) -> str | None:
    """Return a choice's own finish reason."""
    raw = choice.get("finish_reason")
    return None if raw is None else string(str(raw))


def encode_reply(
    reply: ModelReply, *, model: str, created: int = 0, response_id: str = RESPONSE_ID
) -> dict[str, Any]:
    """Return the `chat.completion` body of a reply.

    Args:
        reply: The reply; its texts become one content string.
        model: Model id the body names.
        created: Creation time in the body, in epoch seconds.
        response_id: Id the body names.
    """
    body: dict[str, Any] = {
        "id": response_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": _encode_message(reply),
                "logprobs": None,
                "finish_reason": wire_finish(reply),
            }
        ],
    }
    usage = encode_usage(reply.usage, reply.cost_nanousd)
    if usage is not None:
        body["usage"] = usage
    return body


def wire_finish(reply: ModelReply) -> str | None:
    """Return the finish reason as the dialect writes it: the recorded one, or else a translation."""
    if reply.raw_finish_reason is not None:
        return reply.raw_finish_reason
    return None if reply.finish_reason is None else WIRE_FINISH[reply.finish_reason]


def _encode_message(reply: ModelReply) -> dict[str, Any]:
    texts = [p for p in reply.parts if isinstance(p, TextPart)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.text if texts else None,
        "refusal": reply.refusal,
    }
    thoughts = [p.content for p in reply.parts if isinstance(p, ReasoningPart)]
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": arguments_text(call.arguments)},
            }
            for call in reply.tool_calls
        ]
    return message


def _first_message(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise DialectError(f"no chat reply: choices is {choices!r}; fields are {sorted(map(str, body))[:8]}")
    entries = [c for c in choices if isinstance(c, dict)]
    choice = next((c for c in entries if c.get("index", 0) == 0), entries[0] if entries else None)
    if choice is None:
        raise DialectError(f"no chat reply: choices[0] is {type(choices[0]).__name__}")
    message = choice.get("message")
    if not isinstance(message, dict):
        # A filtered reply (Azure) or a failed one (OpenRouter) has a finish reason but no message.
        if choice.get("error") is not None or choice.get("finish_reason") is not None:
            return {}, choice
        raise DialectError(f"no chat reply: choices[0].message is {type(message).__name__}")
    return message, choice
