"""Whole (not streamed) replies of the OpenAI responses dialect."""

from __future__ import annotations

from typing import Any

from runtime.core.messages import ModelReply, Part, ToolCallPart
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import entries, mapping, reply_object, string
from runtime.dialects.openai_chat_parts import stated_cost
from runtime.dialects.openai_responses_parts import decode_usage, item_parts, normal_finish


def decode_reply(body: Any) -> ModelReply:
    """Return the reply of a `response` body, which may be still queued or a compaction.

    Raises:
        DialectError: If the body is not a reply; for an error body use `decode_error`.
    """
    body = reply_object(body, "responses reply")
    output = body.get("output")
    if not isinstance(output, list):
        raise DialectError(
            f"no responses reply: output is {type(output).__name__}; fields are {sorted(map(str, body))[:8]}"
        )
    return reply_of(body, [part for item in entries(output) for part in item_parts(item)])


def reply_of(body: dict[str, Any], parts: list[Part]) -> ModelReply:
    """Return a reply with the given parts, and with the status and usage of the body."""
    raw = string(body.get("status")) or None
    reason = string(mapping(body.get("incomplete_details")).get("reason"))
    has_calls = any(isinstance(part, ToolCallPart) for part in parts)
    usage = body.get("usage")
    return ModelReply(
        parts=tuple(parts),
        finish_reason=normal_finish(raw, reason, has_calls=has_calls),
        raw_finish_reason=raw,
        response_model=string(body.get("model")) or None,
        response_id=string(body.get("id")) or None,
        usage=decode_usage(usage),
        cost_nanousd=stated_cost(usage),
    )
