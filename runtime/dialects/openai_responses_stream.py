"""Streamed replies of the OpenAI responses dialect: convert events to a reply.

Theory of operation. `response.output_item.added` opens an item, and deltas that name item and piece extend it.
`response.output_item.done` repeats the item as a whole, and this form counts. The last event (`response.completed`,
`.incomplete` or `.failed`) repeats the reply. Status, usage and items that were not streamed are taken from it. A
status before that event is not a finish reason. Format:
https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from typing import Any

from runtime.core.messages import ModelReply, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import count, entries, mapping, string
from runtime.dialects.jsontext import mend_text, parse_arguments
from runtime.dialects.openai_responses_parts import call_part, item_parts
from runtime.dialects.openai_responses_reply import reply_of
from runtime.dialects.streams import JsonStream

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_TEXTS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "thought",
    "response.reasoning_summary_text.delta": "summary",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "arguments",
}
_KINDS = {"text": "message", "refusal": "message", "thought": "reasoning", "summary": "reasoning"}


class _Item:
    """One item while its deltas arrive: texts by kind and by piece."""

    __slots__ = ("opening", "texts", "whole")

    def __init__(self, opening: dict[str, Any]) -> None:
        self.opening = opening
        self.texts: dict[tuple[str, int], list[str]] = {}
        self.whole: dict[str, Any] | None = None

    def parts(self) -> list[Part]:
        """Return the parts of the item so far."""
        if self.whole is not None:
            return item_parts(self.whole)
        kind = self.opening.get("type")
        if kind in ("function_call", "custom_tool_call"):
            text = self._joined("arguments")
            # If the call is still open, missing arguments are not read as empty.
            arguments = parse_arguments(text) if kind == "function_call" and text.strip() else text
            return [call_part(self.opening, arguments)]
        said: list[Part] = []
        if thought := self._joined("summary", "\n\n") or self._joined("thought"):
            said.append(ReasoningPart(content=thought))
        for name, piece in sorted(self.texts, key=lambda key: key[1]):
            text = mend_text("".join(self.texts[name, piece]))
            if name == "text" and text:
                said.append(TextPart(text))
            elif name == "refusal" and text:
                said.append(RefusalPart(content=text))
        return said

    def _joined(self, name: str, between: str = "") -> str:
        pieces = sorted(key for key in self.texts if key[0] == name)
        return mend_text(between.join("".join(self.texts[key]) for key in pieces))


class StreamDecoder(JsonStream):
    """Collects one streamed reply from its SSE data payloads; attributes as in `JsonStream`."""

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[int, _Item] = {}
        self._begun: dict[str, Any] = {}
        self._last: dict[str, Any] | None = None

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one event and return its text deltas; never raises."""
        kind = string(event.get("type"))
        if kind in _TEXTS:
            return self._grow(event, _TEXTS[kind])
        match kind:
            case "response.output_item.added":
                self._items.setdefault(_place(event), _Item(mapping(event.get("item"))))
            case "response.output_item.done":
                opening = mapping(event.get("item"))
                self._items.setdefault(_place(event), _Item(opening)).whole = opening
            case "response.created" | "response.in_progress" | "response.queued":
                self._begun = mapping(event.get("response")) or self._begun
            case "error":
                self.fail(decode_error(None, event))
            case _ if kind in _LAST:
                self._end(mapping(event.get("response")))
            case _ if event.get("error"):
                self.fail(decode_error(None, event))
            case _:
                pass  # events that repeat others, of tools the provider runs, and of versions to come
        return []

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        self.fail_if_cut(complete=self._last is not None)
        parts = [part for place in sorted(self._items) for part in self._items[place].parts()]
        if self._last is not None:
            return reply_of(self._last, parts)
        begun = {name: self._begun.get(name) for name in ("id", "model")}
        return reply_of(begun, [part for part in parts if not _is_unnamed(part)])

    def _grow(self, event: dict[str, Any], name: str) -> list[str]:
        delta = event.get("delta")
        if not isinstance(delta, str) or not delta:
            return []
        unopened = {"type": _KINDS.get(name, "function_call"), "id": event.get("item_id")}
        item = self._items.setdefault(_place(event), _Item(unopened))
        piece = count(event.get("summary_index" if name == "summary" else "content_index")) or 0
        item.texts.setdefault((name, piece), []).append(delta)
        return [mend_text(delta)] if name == "text" else []

    def _end(self, response: dict[str, Any]) -> None:
        self.done = True
        self._last = response
        for place, item in enumerate(entries(response.get("output"))):
            if place not in self._items:
                self._items[place] = _Item(item)
                self._items[place].whole = item
        if response.get("error"):
            self.fail(decode_error(None, response))


def _place(event: dict[str, Any]) -> int:
    return count(event.get("output_index")) or 0


def _is_unnamed(part: Part) -> bool:
    """Return whether a part is a call whose opening event is missing."""
    return isinstance(part, ToolCallPart) and not part.name
