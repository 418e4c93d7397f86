"""Pieces that requests, replies and streams of the OpenAI chat dialect share: content, calls, usage, finish."""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.core.messages import FinishReason, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from runtime.core.money import STANDARD_TIERS, Usage, usd_to_nanos
from runtime.dialects.fields import count, first_count, mapping, string
from runtime.dialects.jsontext import mend_text, parse_arguments

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "tool_calls": "tool_call",
    "tool_call": "tool_call",
    "tool_use": "tool_call",
    "function_call": "tool_call",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "error": "error",
    "abort": "error",
    "insufficient_system_resource": "error",
}
WIRE_FINISH: dict[FinishReason, str] = {
    "stop": "stop",
    "tool_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
    "error": "error",
}


def normal_finish(raw: str | None) -> FinishReason | None:
    """Return the normalised finish reason; `None` for a missing or unknown one."""
    return None if raw is None else _FINISH.get(raw.lower())


def content_pieces(content: Any) -> list[Part]:
    """Return text, thought and refusal of a content field (a string or a list of pieces); others are omitted."""
    if isinstance(content, str):
        return [TextPart(mend_text(content))] if content else []
    parts: list[Part] = []
    for piece in content if isinstance(content, list) else ():
        if isinstance(piece, str):
            parts.append(TextPart(mend_text(piece)))
        elif isinstance(piece, dict):
            match piece.get("type"):
                case "text" | "output_text" | "input_text":
                    parts.append(TextPart(string(piece.get("text"))))
                case "refusal":
                    parts.append(RefusalPart(content=string(piece.get("refusal"))))
                case "thinking":
                    parts.append(ReasoningPart(content=thinking_text(piece.get("thinking"))))
                case _:
                    pass
    return parts


def thinking_text(value: Any) -> str:
    """Return the text of a `thinking` piece, a string or a list of text pieces (Mistral)."""
    if isinstance(value, str):
        return mend_text(value)
    return "".join(p.content for p in content_pieces(value) if isinstance(p, TextPart))


def reasoning_text(message: dict[str, Any]) -> str:
    """Return the reasoning of a message or delta. Some servers have it in two fields, with the same text."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            return string(message[name])
    return ""


def legacy_call_id(name: str) -> str:
    """Return the id of a legacy `function_call`, which has none on the wire."""
    return f"function_call:{name}"


def call_parts(message: dict[str, Any]) -> list[ToolCallPart]:
    """Return the calls of a message, in order; a missing id is made from the position."""
    calls: list[ToolCallPart] = []
    wires = message.get("tool_calls")
    for index, wire in enumerate(wires if isinstance(wires, list) else ()):
        function = wire.get("function") if isinstance(wire, dict) else None
        custom = wire.get("custom") if isinstance(wire, dict) else None
        if isinstance(function, dict):
            name, arguments = string(function.get("name")), parse_arguments(function.get("arguments"))
        elif isinstance(custom, dict):
            name, arguments = string(custom.get("name")), string(custom.get("input"))
        else:
            continue
        call_id = string(wire.get("id")) or f"call_{index}"
        calls.append(ToolCallPart(id=call_id, name=name, arguments=arguments))
    legacy = message.get("function_call")
    if isinstance(legacy, dict) and legacy.get("name"):
        name = string(legacy["name"])
        arguments = parse_arguments(legacy.get("arguments"))
        calls.append(ToolCallPart(id=legacy_call_id(name), name=name, arguments=arguments))
    return calls


def decode_usage(wire: Any) -> Usage | None:
    """Decode a `usage` object, in the provider's own counting; `None` if it has no counts."""
    if not isinstance(wire, dict):
        return None
    prompt = mapping(wire.get("prompt_tokens_details"))
    completion = mapping(wire.get("completion_tokens_details"))
    usage = Usage(
        input_tokens=count(wire.get("prompt_tokens")),
        output_tokens=count(wire.get("completion_tokens")),
        cache_read_tokens=first_count(
            prompt.get("cached_tokens"), wire.get("prompt_cache_hit_tokens"), wire.get("num_cached_tokens")
        ),
        cache_write_tokens=first_count(prompt.get("cache_write_tokens")),
        reasoning_tokens=first_count(completion.get("reasoning_tokens"), wire.get("reasoning_tokens")),
    )
    return None if usage == Usage() else usage


def billed(usage: Usage | None, service_tier: Any) -> Usage | None:
    """Return usage with the service tier it is billed at, where that is not the standard one."""
    if usage is None or not isinstance(service_tier, str) or service_tier in {"", *STANDARD_TIERS}:
        return usage
    return msgspec.structs.replace(usage, billed_as=service_tier)


def encode_usage(usage: Usage | None, cost_nanousd: int | None) -> dict[str, Any] | None:
    """Return the `usage` object; `None` if there are no counts."""
    wire: dict[str, Any] = {}
    if usage is not None:
        wire["prompt_tokens"] = usage.input_tokens
        wire["completion_tokens"] = usage.output_tokens
        if usage.input_tokens is not None and usage.output_tokens is not None:
            wire["total_tokens"] = usage.input_tokens + usage.output_tokens
        prompt = {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": usage.cache_write_tokens}
        wire["prompt_tokens_details"] = {k: v for k, v in prompt.items() if v is not None}
        completion = {"reasoning_tokens": usage.reasoning_tokens}
        wire["completion_tokens_details"] = {k: v for k, v in completion.items() if v is not None}
    if cost_nanousd is not None:
        wire["cost"] = cost_nanousd / 1_000_000_000
    return wire or None


_TICKS_PER_USD = 10_000_000_000


def stated_cost(wire: Any) -> int | None:
    """Return the price in a `usage` object, in nano-dollars; `None` if it has none.

    OpenRouter states dollars in `cost`, Perplexity an object with `total_cost`, xAI ticks in `cost_in_usd_ticks`.
    """
    stated = mapping(wire)
    cost = stated.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if (ticks := count(stated.get("cost_in_usd_ticks"))) is not None and cost is None:
        cost = ticks / _TICKS_PER_USD
    if isinstance(cost, bool) or not isinstance(cost, (int, float)):
        return None
    try:
        return usd_to_nanos(cost)
    except ValueError:
        return None
