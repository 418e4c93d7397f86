"""Pieces that requests and replies of the Gemini dialect share: parts, calls, usage, finish."""

from __future__ import annotations

from collections import Counter
from typing import Any

from runtime.core.messages import (
    FinishReason,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
)
from runtime.core.money import Usage
from runtime.dialects.fields import entries, field, first_count, mapping, string, total, word
from runtime.dialects.file_parts import file_at, foreign_part, inline_file, modality_of
from runtime.dialects.jsontext import dump_json, parse_arguments

_STOPPED = ("STOP",)
_CUT = ("MAX_TOKENS",)
_FILTERED = (
    *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "OTHER"),
)
_FAILED = (
    *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "NO_IMAGE", "IMAGE_OTHER"),
    *("MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE"),
)
_NUMBERS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER", 6: "BLOCKLIST"} | {
    7: "PROHIBITED_CONTENT",
    8: "SPII",
    9: "MALFORMED_FUNCTION_CALL",
}
"""The enumeration `FinishReason` with the numbers of Vertex AI's protocol."""
_FINISH: dict[str, FinishReason] = {
    **dict.fromkeys(_STOPPED, "stop"),
    **dict.fromkeys(_CUT, "length"),
    **dict.fromkeys(_FILTERED, "content_filter"),
    **dict.fromkeys(_FAILED, "error"),
}


def normal_finish(raw: str | None, *, has_calls: bool) -> FinishReason | None:
    """Return the normalised finish reason; `STOP` is the same with and without calls, hence `has_calls`."""
    if raw is None:
        return None
    name = _NUMBERS.get(int(raw[:3]), raw) if raw.isascii() and raw.isdigit() else raw
    known = _FINISH.get(name)
    return "tool_call" if known == "stop" and has_calls else known


def part_of(wire: dict[str, Any], seen: Counter[str]) -> list[Part]:
    """Return a part as one part, or as two if it has a signature.

    Args:
        wire: The part.
        seen: Number of earlier calls and results of each function; this function updates it.
    """
    signature = string(field(wire, "thoughtSignature", "thought_signature")) or None
    if wire.get("thought") is True:
        thought = string(wire.get("text"))
        return [ReasoningPart(content=thought, signature=signature)] if thought or signature else []
    before: list[Part] = [] if signature is None else [ReasoningPart(content="", signature=signature)]
    said = _said(wire, seen)
    return [*before, *said]


def _said(wire: dict[str, Any], seen: Counter[str]) -> list[Part]:
    if isinstance(wire.get("text"), str):
        return [TextPart(string(wire["text"]))] if wire["text"] else []
    if isinstance(call := field(wire, "functionCall", "function_call"), dict):
        name = string(call.get("name"))
        arguments = parse_arguments(call.get("args"))
        return [ToolCallPart(id=_call_id(call, "call", name, seen), name=name, arguments=arguments)]
    if isinstance(answer := field(wire, "functionResponse", "function_response"), dict):
        call_id = _call_id(answer, "result", string(answer.get("name")), seen)
        return [ToolResponsePart(id=call_id, response=_response_text(answer.get("response")))]
    if isinstance(data := field(wire, "inlineData", "inline_data"), dict):
        mime_type = string(field(data, "mimeType", "mime_type"))
        return [inline_file(modality_of(mime_type), mime_type, string(data.get("data")))]
    if isinstance(data := field(wire, "fileData", "file_data"), dict):
        mime_type = string(field(data, "mimeType", "mime_type"))
        return [file_at(modality_of(mime_type), string(field(data, "fileUri", "file_uri")), mime_type)]
    known = [name for name in wire if name not in _BESIDE]
    return [foreign_part(wire[known[0]], known[0])] if known else []


_BESIDE = frozenset(
    {"text", "thought", "thoughtSignature", "thought_signature", "videoMetadata", "partMetadata"}
)


def _call_id(wire: dict[str, Any], kind: str, name: str, seen: Counter[str]) -> str:
    """Return the id of a call or result; without one, it is made from the function and its position."""
    key = f"{kind}:{name}"
    seen[key] += 1
    return string(wire.get("id")) or f"{name}#{seen[key] - 1}"


def _response_text(response: Any) -> str:
    """Return a result as text; a single field `output` or `result` is unwrapped."""
    match response:
        case {"output": value} | {"result": value} if len(response) == 1:
            return string(value) if isinstance(value, str) else dump_json(value)
        case None:
            return ""
        case _:
            return dump_json(response)


def decode_usage(wire: Any) -> Usage | None:
    """Decode `usageMetadata` in our counting: thoughts are output, results of Google's tools are input."""
    counted = provider_usage(wire)
    if counted is None:
        return None
    tools = first_count(field(mapping(wire), "toolUsePromptTokenCount", "tool_use_prompt_token_count"))
    return Usage(
        input_tokens=total(counted.input_tokens, tools),
        output_tokens=total(counted.output_tokens, counted.reasoning_tokens),
        cache_read_tokens=counted.cache_read_tokens,
        reasoning_tokens=counted.reasoning_tokens,
    )


def provider_usage(wire: Any) -> Usage | None:
    """Decode `usageMetadata` in the provider's own counting; `None` if it has no counts."""
    if not isinstance(wire, dict):
        return None
    usage = Usage(
        input_tokens=first_count(field(wire, "promptTokenCount", "prompt_token_count")),
        output_tokens=first_count(
            field(wire, "candidatesTokenCount", "candidates_token_count", "responseTokenCount")
        ),
        cache_read_tokens=first_count(field(wire, "cachedContentTokenCount", "cached_content_token_count")),
        reasoning_tokens=first_count(field(wire, "thoughtsTokenCount", "thoughts_token_count")),
    )
    return None if usage == Usage() else usage


def first_candidate(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return candidate 0, which may have no index."""
    return next((c for c in entries(body.get("candidates")) if c.get("index") in (0, None)), None)


def finish_text(body: dict[str, Any], candidate: dict[str, Any] | None) -> str | None:
    """Return the provider's finish reason; a refused prompt has a block reason instead of a candidate."""
    if candidate is not None and (raw := word(field(candidate, "finishReason", "finish_reason"))):
        return raw
    feedback = mapping(field(body, "promptFeedback", "prompt_feedback"))
    return word(field(feedback, "blockReason", "block_reason"))
