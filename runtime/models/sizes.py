"""Token counts from sizes, for models that report none: four bytes a token, at least one token."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.core.canonical import canonical_bytes
from runtime.core.messages import ModelRequest, Part, ToolCallPart, ToolResponsePart
from runtime.core.money import Usage

BYTES_PER_TOKEN = 4
"""The usual rule of thumb for English text."""


def sized_usage(request: ModelRequest, parts: Iterable[Part]) -> Usage:
    """Return the usage of a call, computed from what was sent and answered; equal inputs, equal usage."""
    sent = sum(_part_bytes(part) for message in request.messages for part in message.parts)
    if request.tools:
        sent += len(canonical_bytes(request.tools))
    answered = sum(_part_bytes(part) for part in parts)
    return Usage(input_tokens=_tokens(sent), output_tokens=_tokens(answered))


def _tokens(size_bytes: int) -> int:
    return max(1, round(size_bytes / BYTES_PER_TOKEN))


def _part_bytes(part: Part) -> int:
    match part:
        case ToolCallPart():
            return len(part.name) + len(canonical_bytes(part.arguments))
        case ToolResponsePart():
            return len(canonical_bytes(part.response))
        case _:
            return len(canonical_bytes(getattr(part, "content", part)))
