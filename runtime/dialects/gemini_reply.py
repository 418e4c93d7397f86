"""Replies of the Gemini dialect. Each chunk of a stream has the form of a whole reply and holds a piece of it.

A stream is server-sent events (`alt=sse`) or one JSON array. Usage is cumulative, so the last counts are used.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from msgspec.structs import replace

from runtime.core.messages import ModelReply, Part, ReasoningPart, TextPart, ToolCallPart
from runtime.core.money import Usage
from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import entries, field, mapping, reply_object, string
from runtime.dialects.gemini_partial import continues, grow
from runtime.dialects.gemini_parts import (
    decode_usage,
    finish_text,
    first_candidate,
    normal_finish,
    part_of,
    provider_usage,
)
from runtime.dialects.streams import JsonStream, joined

_REPLY_FIELDS = ("candidates", "promptFeedback", "prompt_feedback", "usageMetadata", "usage_metadata")


def decode_reply(body: Any) -> ModelReply:
    """Return the reply of a `generateContent` body: its candidate 0.

    Raises:
        DialectError: If the body is not a reply; for an error body use `decode_error`.
    """
    body = reply_object(body, "Gemini reply")
    if not any(name in body for name in _REPLY_FIELDS):
        raise DialectError(f"no Gemini reply: no candidates; fields are {sorted(map(str, body))[:8]}")
    decoder = StreamDecoder()
    decoder.take(body)
    return decoder.finish()


class StreamDecoder(JsonStream):
    """Collects one streamed reply from its chunks; attributes as in `JsonStream`."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[Part] = []
        self._open: dict[str, Any] | None = None
        self._seen: Counter[str] = Counter()
        self._finish: str | None = None
        self._model: str | None = None
        self._id: str | None = None
        self._usage: dict[str, Any] = {}

    @property
    def provider_usage(self) -> Usage | None:
        """Usage in the provider's own counting."""
        return provider_usage(self._usage)

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one chunk and return its text deltas; never raises."""
        if event.get("error"):
            self.fail(decode_error(None, event))
        self._model = string(field(event, "modelVersion", "model_version")) or self._model
        self._id = self._id or string(field(event, "responseId", "response_id")) or None
        self._usage |= mapping(field(event, "usageMetadata", "usage_metadata"))
        candidate = first_candidate(event)
        self._finish = finish_text(event, candidate) or self._finish
        fresh: list[Part] = []
        for wire in entries(mapping(mapping(candidate).get("content")).get("parts")):
            call = field(wire, "functionCall", "function_call")
            if isinstance(call, dict) and self._continue(call):
                continue
            fresh += [p for p in part_of(wire, self._seen) if isinstance(p, _SAID)]
            if isinstance(call, dict) and continues(call) and isinstance(fresh[-1], ToolCallPart):
                self._open = dict(mapping(fresh[-1].arguments))
                fresh[-1] = replace(fresh[-1], arguments=self._open)
                grow(self._open, call)
        self._parts += fresh
        return [p.content for p in fresh if isinstance(p, TextPart)]

    def _continue(self, call: dict[str, Any]) -> bool:
        """Add a part to the open call; return `False` if it begins a new call instead."""
        if call.get("name"):
            return False
        if self._open is not None:
            grow(self._open, call)
            self._open = self._open if continues(call) else None
        return True

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        self.fail_if_cut(complete=self._finish is not None or self.done)
        has_calls = any(isinstance(part, ToolCallPart) for part in self._parts)
        return ModelReply(
            parts=joined(self._parts),
            finish_reason=normal_finish(self._finish, has_calls=has_calls),
            raw_finish_reason=self._finish,
            response_model=self._model,
            response_id=self._id,
            usage=decode_usage(self._usage),
        )


_SAID = (TextPart, ReasoningPart, ToolCallPart)
