"""Pieces that requests, replies and streams of the Anthropic messages dialect share: blocks, usage, finish."""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.core.messages import (
    FinishReason,
    ModelReply,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)
from runtime.core.money import STANDARD_TIERS, Usage
from runtime.dialects.fields import count, mapping, string
from runtime.dialects.jsontext import parse_arguments

_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "compaction": "stop",
    "tool_use": "tool_call",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "error": "error",
}
_WIRE_FINISH: dict[FinishReason, str] = {
    "stop": "end_turn",
    "tool_call": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
    "error": "error",
}
REDACTED = "redacted:"
"""Prefix of the signature of a thought whose text the provider withheld. Signatures are base64 and have no colon."""


def normal_finish(raw: str | None) -> FinishReason | None:
    """Return the normalised stop reason; `None` for a missing or unknown one."""
    return None if raw is None else _FINISH.get(raw)


def wire_finish(reply: ModelReply) -> str | None:
    """Return the stop reason as the dialect writes it: the recorded one if it is valid, else a translation."""
    if reply.raw_finish_reason in _FINISH:
        return reply.raw_finish_reason
    return None if reply.finish_reason is None else _WIRE_FINISH[reply.finish_reason]


def block_part(block: dict[str, Any]) -> Part | None:
    """Return an assistant's block as a part; `None` for an empty block and for kinds that a trace does not keep."""
    match block.get("type"):
        case "text":
            text = string(block.get("text"))
            return TextPart(text) if text else None
        case "thinking":
            return reasoning_part(string(block.get("thinking")), string(block.get("signature")))
        case "redacted_thinking":
            return ReasoningPart(content="", signature=REDACTED + string(block.get("data")))
        case "tool_use":
            return ToolCallPart(
                id=string(block.get("id")),
                name=string(block.get("name")),
                arguments=decode_input(block.get("input")),
            )
        case _:
            return None


def reasoning_part(thought: str, signature: str) -> ReasoningPart | None:
    """Return a thought. A signed thought may be empty, because a request can ask to omit its text."""
    return ReasoningPart(content=thought, signature=signature or None) if thought or signature else None


def assistant_blocks(parts: tuple[Part, ...], *, unsigned: bool) -> list[dict[str, Any]]:
    """Return the blocks of an assistant's parts; files and empty texts have none.

    Args:
        parts: The assistant's parts.
        unsigned: Whether to write thoughts without a signature; a provider refuses them in a request.
    """
    blocks: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case TextPart(content=text) | RefusalPart(content=text) if text:
                blocks.append({"type": "text", "text": text})
            case ReasoningPart(signature=str(signature)) if signature.startswith(REDACTED):
                blocks.append({"type": "redacted_thinking", "data": signature.removeprefix(REDACTED)})
            case ReasoningPart() if unsigned or part.signature is not None:
                blocks.append(
                    {"type": "thinking", "thinking": part.content, "signature": part.signature or ""}
                )
            case ToolCallPart():
                wire = {"id": part.id, "name": part.name, "input": encode_input(part.arguments)}
                blocks.append({"type": "tool_use", **wire})
            case _:
                pass
    return blocks


def decode_input(value: Any) -> Any:
    """Return a call's arguments: an object, or the raw text if it is not a JSON object."""
    arguments = parse_arguments(value)
    match arguments:
        case {"INVALID_JSON": str(text)} if len(arguments) == 1:
            return text
        case _:
            return arguments


def encode_input(arguments: Any) -> dict[str, Any]:
    """Return a call's input, which must be an object; text is wrapped in one, as the reference advises."""
    return arguments if isinstance(arguments, dict) else {"INVALID_JSON": arguments}


def decode_usage(wire: Any) -> Usage | None:
    """Decode a `usage` object, with cached tokens as part of the input; `None` if it has no counts."""
    if not isinstance(wire, dict):
        return None
    details = wire.get("output_tokens_details")
    fresh = count(wire.get("input_tokens"))
    read = count(wire.get("cache_read_input_tokens"))
    written = count(wire.get("cache_creation_input_tokens"))
    usage = Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=count(wire.get("output_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=count(mapping(wire.get("cache_creation")).get("ephemeral_1h_input_tokens")),
        reasoning_tokens=count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
        billed_as=_billed_as(wire),
    )
    return None if usage == Usage() else usage


def _billed_as(wire: dict[str, Any]) -> str | None:
    """Return what the listed rates do not hold for: calls of the provider's own tools, or a service tier."""
    if any(mapping(wire.get("server_tool_use")).values()):
        return "tools"
    tier = wire.get("service_tier")
    return tier if isinstance(tier, str) and tier not in {"", *STANDARD_TIERS} else None


def provider_usage(usage: Usage) -> Usage:
    """Return usage in the provider's own counting, in which input tokens exclude cached ones."""
    if usage.input_tokens is None:
        return usage
    cached = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
    return msgspec.structs.replace(usage, input_tokens=max(0, usage.input_tokens - cached))


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Return the `usage` object without unknown counts."""
    counted = provider_usage(usage)
    wire: dict[str, Any] = {
        "input_tokens": counted.input_tokens,
        "cache_creation_input_tokens": counted.cache_write_tokens,
        "cache_read_input_tokens": counted.cache_read_tokens,
        "output_tokens": counted.output_tokens,
    }
    if counted.cache_write_1h_tokens is not None:
        minutes = (counted.cache_write_tokens or 0) - counted.cache_write_1h_tokens
        wire["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(0, minutes),
            "ephemeral_1h_input_tokens": counted.cache_write_1h_tokens,
        }
    if counted.reasoning_tokens is not None:
        wire["output_tokens_details"] = {"thinking_tokens": counted.reasoning_tokens}
    return {name: value for name, value in wire.items() if value is not None}
