"""Pieces that requests and replies of the Bedrock converse dialect share: blocks, usage, finish."""

from __future__ import annotations

from typing import Any

from runtime.core.messages import FinishReason, Part, ReasoningPart, TextPart, ToolCallPart
from runtime.core.money import Usage
from runtime.dialects.fields import entries, first_count, mapping, string
from runtime.dialects.file_parts import digested_file, file_at, foreign_part, inline_file
from runtime.dialects.jsontext import parse_arguments

REDACTED = "redacted:"
"""Prefix of the signature of a thought whose text the provider withheld. Signatures are base64 and have no colon."""

_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_call",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
_FILES = ("image", "document", "video", "audio")


def normal_finish(raw: str | None) -> FinishReason | None:
    """Return the normalised stop reason; `None` for a missing or unknown one."""
    return None if raw is None else _FINISH.get(raw)


def block_part(block: dict[str, Any]) -> Part | None:
    """Return a block as a part; files and other kinds are kept by reference; `None` for an empty block."""
    if isinstance(block.get("text"), str):
        return TextPart(string(block["text"])) if block["text"] else None
    if isinstance(call := block.get("toolUse"), dict):
        # Tools that the provider runs are not calls of the agent.
        if call.get("type") == "server_tool_use":
            return foreign_part(call, "server_tool_use")
        arguments = parse_arguments(call.get("input"))
        return ToolCallPart(
            id=string(call.get("toolUseId")), name=string(call.get("name")), arguments=arguments
        )
    if isinstance(thought := block.get("reasoningContent"), dict):
        return reasoning_part(thought)
    if isinstance(cited := block.get("citationsContent"), dict):
        text = "".join(string(piece.get("text")) for piece in entries(cited.get("content")))
        return TextPart(text) if text else None
    if isinstance(guarded := mapping(block.get("guardContent")).get("text"), dict):
        return TextPart(string(guarded.get("text")))
    kind = next((name for name in block if name in _FILES), None)
    if kind is not None:
        return _file(kind, mapping(block[kind]))
    known = next(iter(block), None)
    return None if known is None or known == "cachePoint" else foreign_part(block[known], known)


def reasoning_part(thought: dict[str, Any]) -> ReasoningPart | None:
    """Return a thought; a withheld one has only a signature."""
    if "redactedContent" in thought:
        return ReasoningPart(content="", signature=REDACTED + string(thought["redactedContent"]))
    shown = mapping(thought.get("reasoningText"))
    text, signature = string(shown.get("text")), string(shown.get("signature"))
    return ReasoningPart(content=text, signature=signature or None) if text or signature else None


def _file(kind: str, wire: dict[str, Any]) -> Part:
    modality = "file" if kind == "document" else kind
    mime_type = f"{kind}/{string(wire.get('format'))}" if kind != "document" else string(wire.get("format"))
    match wire.get("source"):
        case {"bytes": str(data)}:
            return inline_file(modality, mime_type, data)
        case {"s3Location": {"uri": str(uri)}}:
            return file_at(modality, uri, mime_type)
        case {"text": str(text)}:
            return digested_file(modality, mime_type, text.encode("utf-8", "replace"))
        case _:
            return foreign_part(wire, kind)


def decode_usage(wire: Any) -> Usage | None:
    """Decode a `usage` object, with cached tokens as part of the input; `None` if it has no counts.

    Cached tokens are in `cacheReadInputTokens`, or in Nova's own bodies in `cacheReadInputTokenCount`.
    """
    if not isinstance(wire, dict):
        return None
    fresh = first_count(wire.get("inputTokens"))
    read = first_count(wire.get("cacheReadInputTokens"), wire.get("cacheReadInputTokenCount"))
    written = first_count(wire.get("cacheWriteInputTokens"), wire.get("cacheWriteInputTokenCount"))
    usage = Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=first_count(wire.get("outputTokens")),
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=_written_for_an_hour(wire),
    )
    return None if usage == Usage() else usage


def _written_for_an_hour(wire: dict[str, Any]) -> int | None:
    hours = [d.get("inputTokens") for d in entries(wire.get("cacheDetails")) if d.get("ttl") == "1h"]
    return first_count(*hours)
