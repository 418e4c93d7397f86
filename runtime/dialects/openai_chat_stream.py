"""Streamed replies of the OpenAI chat dialect: convert chunks to a reply, and a reply to chunks.

Theory of operation. Tool calls arrive in fragments. A fragment belongs to the call with its `index`. Without an index
it belongs to the call with its `id`, or else to the last call. Some servers give every call the index 0, so a fragment
with another id and a name begins a new call. Nothing raises: the reply of a damaged or cut stream has everything that
arrived, and `error` holds the failure.
"""

from __future__ import annotations

from typing import Any

from runtime.core.messages import ModelReply, Part, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from runtime.core.money import Usage
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import entries, mapping, string
from runtime.dialects.jsontext import arguments_text, dump_json, mend_text, parse_arguments
from runtime.dialects.openai_chat_parts import (
    billed,
    content_pieces,
    decode_usage,
    encode_usage,
    legacy_call_id,
    normal_finish,
    stated_cost,
)
from runtime.dialects.openai_chat_reply import RESPONSE_ID, finish_text, wire_finish
from runtime.dialects.streams import DONE, JsonStream


class _Call:
    """One call while its fragments arrive."""

    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def part(self, position: int, *, cut: bool) -> ToolCallPart:
        """Return the call. If the stream was cut, missing arguments are not read as empty."""
        text = mend_text("".join(self.arguments))
        arguments = text if cut and not text.strip() else parse_arguments(text)
        return ToolCallPart(id=self.id or f"call_{position}", name=self.name, arguments=arguments)


class StreamDecoder(JsonStream):
    """Collects one streamed reply from its SSE data payloads.

    Attributes:
        error: The first failure: an error event inside the stream, a payload that is not JSON, or a stream that ended
            before its reply did (known after `finish()`); `None` if there is none.
        done: Whether `[DONE]` was seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._refusals: list[str] = []
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._legacy: _Call | None = None
        self._finish: str | None = None
        self._model: str | None = None
        self._id: str | None = None
        self._usage: Usage | None = None
        self._tier = ""
        self._cost: int | None = None

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        cut = self._finish is None and not self.done
        self.fail_if_cut(complete=not cut)
        parts: list[Part] = []
        if thought := mend_text("".join(self._thoughts)):
            parts.append(ReasoningPart(content=thought))
        if text := mend_text("".join(self._texts)):
            parts.append(TextPart(text))
        if refusal := mend_text("".join(self._refusals)):
            parts.append(RefusalPart(content=refusal))
        parts += self._call_parts(cut=cut)
        return ModelReply(
            parts=tuple(parts),
            finish_reason=normal_finish(self._finish),
            raw_finish_reason=self._finish,
            response_model=self._model,
            response_id=self._id,
            usage=billed(self._usage, self._tier),
            cost_nanousd=self._cost,
        )

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one chunk and return its text deltas; never raises."""
        if event.get("error"):
            self.fail(decode_error(None, event))
        self._model = string(event.get("model")) or self._model
        self._id = self._id or string(event.get("id")) or None
        self._take_usage(event)
        choices = event.get("choices")
        deltas: list[str] = []
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index") not in (0, None):
                continue
            if isinstance(choice.get("error"), dict):
                self.fail(decode_error(None, choice))
            # A last chunk that only reports an error must not overwrite the finish reason.
            if self._finish is None or not event.get("error"):
                self._finish = finish_text(choice) or self._finish
            delta = choice.get("delta")
            if isinstance(delta, dict):
                deltas += self._take_delta(delta)
        return deltas

    def _take_usage(self, chunk: dict[str, Any]) -> None:
        # Groq puts usage into its own field, and Moonshot into the choice.
        own = [mapping(chunk.get("x_groq")), *entries(chunk.get("choices"))[:1]]
        wire = chunk.get("usage") or next((each["usage"] for each in own if each.get("usage")), None)
        self._tier = string(chunk.get("service_tier")) or self._tier
        usage = decode_usage(wire)
        if usage is not None:
            self._usage = usage
        cost = stated_cost(wire)
        if cost is not None:
            self._cost = cost

    def _take_delta(self, delta: dict[str, Any]) -> list[str]:
        for name in ("reasoning_content", "reasoning"):
            if isinstance(delta.get(name), str) and delta[name]:
                self._thoughts.append(delta[name])
                break
        texts = self._take_content(delta.get("content"))
        if isinstance(delta.get("refusal"), str):
            self._refusals.append(delta["refusal"])
        calls = delta.get("tool_calls")
        for fragment in calls if isinstance(calls, list) else ():
            if isinstance(fragment, dict):
                self._take_fragment(fragment)
        legacy = delta.get("function_call")
        if isinstance(legacy, dict):
            self._legacy = self._legacy or _Call(None)
            _extend(self._legacy, legacy)
        return texts

    def _take_content(self, content: Any) -> list[str]:
        # Strings are kept as pieces, because two chunks may split a surrogate pair.
        if isinstance(content, str):
            texts = [content] if content else []
        else:
            parts = content_pieces(content)
            self._thoughts += [p.content for p in parts if isinstance(p, ReasoningPart)]
            texts = [p.content for p in parts if isinstance(p, TextPart) and p.content]
        self._texts += texts
        return [mend_text(text) for text in texts]

    def _take_fragment(self, fragment: dict[str, Any]) -> None:
        raw_index = fragment.get("index")
        index = raw_index if isinstance(raw_index, int) else None
        function = fragment.get("function")
        function = function if isinstance(function, dict) else {}
        call_id = string(fragment.get("id"))
        call = self._find(index, call_id, named=bool(function.get("name")))
        if call is None:
            call = _Call(index)
            self._calls.append(call)
            if index is not None:
                self._by_index[index] = call
        call.id = call.id or call_id
        if call.id:
            self._by_id[call.id] = call
        _extend(call, function)

    def _find(self, index: int | None, call_id: str, *, named: bool) -> _Call | None:
        """Return the call a fragment belongs to; `None` if it begins a new one."""
        if index is None:
            if call_id:
                return self._by_id.get(call_id)
            return None if named or not self._calls else self._calls[-1]
        found = self._by_index.get(index)
        if found is not None and named and call_id and found.id and call_id != found.id:
            return None
        return found

    def _call_parts(self, *, cut: bool) -> list[ToolCallPart]:
        calls = self._calls
        if all(c.index is not None for c in calls):
            calls = sorted(calls, key=lambda c: c.index or 0)
        parts = [call.part(position, cut=cut) for position, call in enumerate(calls)]
        if self._legacy is not None:
            self._legacy.id = legacy_call_id(self._legacy.name)
            parts.append(self._legacy.part(len(parts), cut=cut))
        return parts


def _extend(call: _Call, function: dict[str, Any]) -> None:
    name = string(function.get("name"))
    if name and name != call.name:
        call.name += name
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        call.arguments.append(arguments)
    elif arguments is not None:
        call.arguments.append(dump_json(arguments))


def encode_stream(
    reply: ModelReply,
    *,
    model: str,
    created: int = 0,
    response_id: str = RESPONSE_ID,
    piece_chars: int = 16,
) -> list[str]:
    """Return the data payloads of a streamed reply, `[DONE]` last.

    Args:
        reply: The reply; texts of one kind are joined.
        model: Model id the chunks name.
        created: Creation time in the chunks, in epoch seconds.
        response_id: Id the chunks name.
        piece_chars: Maximum length of the text of one chunk, at least 1.
    """
    head = {"id": response_id, "object": "chat.completion.chunk", "created": created, "model": model}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return dump_json({**head, "choices": [choice]})

    payloads = [chunk({"role": "assistant", "content": ""})]
    thought = "".join(p.content for p in reply.parts if isinstance(p, ReasoningPart))
    for name, text in (("reasoning_content", thought), ("content", reply.text), ("refusal", reply.refusal)):
        payloads += [chunk({name: piece}) for piece in _pieces(text or "", piece_chars)]
    for index, call in enumerate(reply.tool_calls):
        opening = {"index": index, "id": call.id, "type": "function"}
        payloads.append(
            chunk({"tool_calls": [{**opening, "function": {"name": call.name, "arguments": ""}}]})
        )
        for piece in _pieces(arguments_text(call.arguments), piece_chars):
            payloads.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    payloads.append(chunk({}, wire_finish(reply)))
    usage = encode_usage(reply.usage, reply.cost_nanousd)
    if usage is not None:
        payloads.append(dump_json({**head, "choices": [], "usage": usage}))
    return [*payloads, DONE]


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
