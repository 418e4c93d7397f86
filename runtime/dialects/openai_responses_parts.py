"""Pieces that requests, replies and streams of the OpenAI responses dialect share: items, usage, finish."""

from __future__ import annotations

from typing import Any

from runtime.core.messages import FinishReason, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from runtime.core.money import Usage
from runtime.dialects.fields import entries, first_count, mapping, string
from runtime.dialects.jsontext import parse_arguments

_INCOMPLETE: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
AGENT_CALLS = {
    "computer_call": "action",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
"""Calls of OpenAI's own tools that the agent carries out, and the field with their arguments."""


def normal_finish(status: str | None, reason: str, *, has_calls: bool) -> FinishReason | None:
    """Return the normalised finish reason of a status; `None` while the reply is not over.

    Args:
        status: The reply's status.
        reason: Why it is incomplete, if it is.
        has_calls: Whether it calls tools, which the status does not show.
    """
    match status:
        case "completed":
            return "tool_call" if has_calls else "stop"
        case "incomplete":
            return _INCOMPLETE.get(reason)
        case "failed" | "cancelled":
            return "error"
        case _:
            return None


def item_parts(item: dict[str, Any]) -> list[Part]:
    """Return the parts of an assistant's item; empty for kinds that a trace does not keep."""
    kind = item.get("type") or "message"
    match kind:
        case "message":
            return content_parts(item.get("content")) if item.get("role", "assistant") == "assistant" else []
        case "reasoning":
            return reasoning_parts(item)
        case "function_call":
            return [call_part(item, parse_arguments(item.get("arguments")))]
        case "custom_tool_call":
            return [call_part(item, string(item.get("input")))]
        case "tool_search_call" if item.get("execution") == "client":
            return [call_part(item, parse_arguments(item.get("arguments")), name="tool_search")]
        case str() if kind in AGENT_CALLS:
            arguments = parse_arguments(item.get(AGENT_CALLS[kind]))
            return [call_part(item, arguments, name=kind.removesuffix("_call"))]
        case _:
            return []


def call_part(item: dict[str, Any], arguments: Any, *, name: str = "") -> ToolCallPart:
    """Return the call of an item. Its results name `call_id`; the item's own id is for the provider."""
    call_id = string(item.get("call_id")) or string(item.get("id"))
    return ToolCallPart(id=call_id, name=name or string(item.get("name")), arguments=arguments)


def content_parts(content: Any) -> list[Part]:
    """Return text and refusals of a message's content, a text or a list of pieces."""
    if isinstance(content, str):
        return [TextPart(string(content))] if content else []
    parts: list[Part] = []
    for piece in entries(content):
        match piece.get("type"):
            case "output_text" | "text" | "input_text" if piece.get("text"):
                parts.append(TextPart(string(piece["text"])))
            case "refusal":
                parts.append(RefusalPart(content=string(piece.get("refusal"))))
            case _:
                pass
    return parts


def reasoning_parts(item: dict[str, Any]) -> list[Part]:
    """Return the thought of a reasoning item: its summary, or the text if the server shows it.

    The signature is the part that must be sent back: the item's id and its encrypted content, joined by a colon.
    """
    summary = "\n\n".join(string(piece.get("text")) for piece in entries(item.get("summary")))
    shown = "".join(string(piece.get("text")) for piece in entries(item.get("content")))
    encrypted = string(item.get("encrypted_content"))
    signature = f"{string(item.get('id'))}:{encrypted}" if encrypted else None
    thought = summary or shown
    return [ReasoningPart(content=thought, signature=signature)] if thought or signature else []


def decode_usage(wire: Any) -> Usage | None:
    """Decode a `usage` object; cached tokens are part of the input, reasoning of the output."""
    if not isinstance(wire, dict):
        return None
    input_details = mapping(wire.get("input_tokens_details"))
    output_details = mapping(wire.get("output_tokens_details"))
    usage = Usage(
        input_tokens=first_count(wire.get("input_tokens")),
        output_tokens=first_count(wire.get("output_tokens")),
        cache_read_tokens=first_count(input_details.get("cached_tokens")),
        cache_write_tokens=first_count(input_details.get("cache_write_tokens")),
        reasoning_tokens=first_count(output_details.get("reasoning_tokens")),
    )
    return None if usage == Usage() else usage
