"""Whole (not streamed) replies of the Anthropic messages dialect, in both directions."""

from __future__ import annotations

from typing import Any

from runtime.core.messages import ModelReply
from runtime.dialects.anthropic_messages_parts import (
    assistant_blocks,
    block_part,
    decode_usage,
    encode_usage,
    normal_finish,
    wire_finish,
)
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import reply_object, string

RESPONSE_ID = "msg_goldrun"
"""Id of an encoded reply without an id of its own."""


def decode_reply(body: Any) -> ModelReply:
    """Return the reply of a `message` body.

    Raises:
        DialectError: If the body is not a reply; for an error body use `decode_error`.
    """
    body = reply_object(body, "messages reply")
    content = body.get("content")
    if not isinstance(content, list):
        raise DialectError(
            f"no messages reply: content is {type(content).__name__}; fields are {sorted(map(str, body))[:8]}"
        )
    parts = [block_part(block) for block in content if isinstance(block, dict)]
    raw = string(body.get("stop_reason")) or None
    return ModelReply(
        parts=tuple(part for part in parts if part is not None),
        finish_reason=normal_finish(raw),
        raw_finish_reason=raw,
        response_model=string(body.get("model")) or None,
        response_id=string(body.get("id")) or None,
        usage=decode_usage(body.get("usage")),
    )


def encode_reply(reply: ModelReply, *, model: str, response_id: str = RESPONSE_ID) -> dict[str, Any]:
    """Return the `message` body of a reply; this dialect has no field for its price.

    Args:
        reply: The reply; a refusal is written as text.
        model: Model id the body names.
        response_id: Id the body names.
    """
    return {
        **message_head(model=model, response_id=response_id),
        "content": assistant_blocks(reply.parts, unsigned=True),
        "stop_reason": wire_finish(reply),
        "stop_sequence": None,
        "usage": {} if reply.usage is None else encode_usage(reply.usage),
    }


def message_head(*, model: str, response_id: str) -> dict[str, Any]:
    """Return the header fields of a message."""
    return {"id": response_id, "type": "message", "role": "assistant", "model": model}
