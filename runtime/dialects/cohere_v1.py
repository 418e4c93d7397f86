"""The Cohere chat dialect, version 1 (`/v1/chat`, and Command R on Bedrock): request, reply and streams.

Format: https://docs.cohere.com/v1/reference/chat. The newest message is separate from `chat_history`, and so are the
`tool_results` that answer the last calls. Calls have no id, so a call and its result are named by the tool and the
number of earlier calls of that tool in the turn. A stream is one JSON object a line, or server-sent events. Its last
event repeats the whole reply.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from runtime.core.messages import (
    Message,
    ModelReply,
    ModelRequest,
    Part,
    Role,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    ToolSchema,
)
from runtime.dialects.cohere_v2 import decode_usage, normal_finish
from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import entries, json_object, mapping, string
from runtime.dialects.jsontext import dump_json, mend_text, parse_arguments
from runtime.dialects.streams import JsonStream

__all__ = ["DialectError", "StreamDecoder", "decode_error", "decode_reply", "decode_request"]

_ROLES: dict[str, Role] = {"USER": "user", "CHATBOT": "assistant", "SYSTEM": "system", "TOOL": "tool"}
_OWN_FIELDS = frozenset({"model", "message", "chat_history", "preamble", "tools", "tool_results", "stream"})


def decode_request(body: Any) -> ModelRequest:
    """Decode a request's body.

    Raises:
        DialectError: If the body is not a request of this dialect.
    """
    body = json_object(body, "Cohere request")
    if not isinstance(body.get("message"), str):
        kind = type(body.get("message")).__name__
        raise DialectError(f"no Cohere request: message is {kind}; fields are {sorted(map(str, body))[:8]}")
    messages: list[Message] = []
    if preamble := string(body.get("preamble")):
        messages.append(Message(role="system", parts=(TextPart(preamble),)))
    for index, wire in enumerate(entries(body.get("chat_history"))):
        messages += _decode_turn(wire, index)
    if body["message"]:
        messages.append(Message(role="user", parts=(TextPart(string(body["message"])),)))
    messages += _decode_results(body.get("tool_results"))
    return ModelRequest(
        model=string(body.get("model")),
        messages=tuple(messages),
        tools=tuple(map(_decode_tool, entries(body.get("tools")))),
        parameters={name: value for name, value in body.items() if name not in _OWN_FIELDS},
    )


def _decode_turn(wire: dict[str, Any], index: int) -> list[Message]:
    role = _ROLES.get(string(wire.get("role")).upper())
    if role is None:
        raise DialectError(f"no Cohere request: role of chat_history[{index}] is {wire.get('role')!r}")
    if role == "tool":
        return _decode_results(wire.get("tool_results"))
    text = string(wire.get("message"))
    said: list[Part] = [TextPart(text)] if text else []
    return [Message(role=role, parts=(*said, *_calls(wire.get("tool_calls"))))]


def _decode_results(wires: Any) -> list[Message]:
    seen: Counter[str] = Counter()
    messages: list[Message] = []
    for wire in entries(wires):
        name = string(mapping(wire.get("call")).get("name"))
        answer = ToolResponsePart(id=f"{name}#{seen[name]}", response=dump_json(wire.get("outputs")))
        seen[name] += 1
        messages.append(Message(role="tool", parts=(answer,)))
    return messages


def _calls(wires: Any) -> list[ToolCallPart]:
    seen: Counter[str] = Counter()
    calls: list[ToolCallPart] = []
    for wire in entries(wires):
        name = string(wire.get("name"))
        arguments = parse_arguments(wire.get("parameters"))
        calls.append(ToolCallPart(id=f"{name}#{seen[name]}", name=name, arguments=arguments))
        seen[name] += 1
    return calls


def _decode_tool(wire: dict[str, Any]) -> ToolSchema:
    """Return a tool. Its parameters are listed one by one, with Python's names for their types."""
    definitions = mapping(wire.get("parameter_definitions"))
    required = [name for name, each in definitions.items() if mapping(each).get("required") is True]
    properties = {
        name: {key: value for key, value in mapping(each).items() if key != "required"}
        for name, each in definitions.items()
    }
    parameters = {"type": "object", "properties": properties, "required": required} if properties else {}
    name, description = string(wire.get("name")), string(wire.get("description"))
    return ToolSchema(name=name, description=description, parameters=parameters)


def decode_reply(body: Any) -> ModelReply:
    """Return the reply of a body that was not streamed.

    Raises:
        DialectError: If the body is not a reply; for an error body use `decode_error`.
    """
    body = json_object(body, "Cohere reply")
    if not isinstance(body.get("text"), str):
        raise DialectError(f"no Cohere reply: no text; fields are {sorted(map(str, body))[:8]}")
    return _reply(body, body["text"], _calls(body.get("tool_calls")), string(body.get("finish_reason")))


def _reply(body: dict[str, Any], text: str, calls: list[ToolCallPart], finish: str) -> ModelReply:
    raw = finish or None
    said: list[Part] = [TextPart(mend_text(text))] if text else []
    known = normal_finish(raw)
    return ModelReply(
        parts=(*said, *calls),
        finish_reason="tool_call" if known == "stop" and calls else known,
        raw_finish_reason=raw,
        response_id=string(body.get("response_id")) or string(body.get("generation_id")) or None,
        usage=decode_usage(body.get("meta")),
    )


class StreamDecoder(JsonStream):
    """Collects one streamed reply from its events; attributes as in `JsonStream`."""

    def __init__(self) -> None:
        super().__init__()
        self._texts: list[str] = []
        self._calls: list[ToolCallPart] = []
        self._begun: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._finish = ""

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one event and return its text deltas; never raises."""
        match event.get("event_type"):
            case "stream-start":
                self._begun = event
            case "text-generation":
                text = event.get("text")
                if isinstance(text, str) and text:
                    self._texts.append(text)
                    return [mend_text(text)]
            case "tool-calls-generation":
                self._calls = _calls(event.get("tool_calls")) or self._calls
            case "stream-end":
                return self._end(event)
            case None if event.get("message") or event.get("error"):
                self.fail(decode_error(None, event))
            case _:
                pass  # citations, searches, and pieces of calls, which a later event has in full
        return []

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        self.fail_if_cut(complete=self.done)
        return _reply({**self._begun, **self._last}, "".join(self._texts), self._calls, self._finish)

    def _end(self, event: dict[str, Any]) -> list[str]:
        self.done = True
        self._finish = string(event.get("finish_reason"))
        self._last = mapping(event.get("response"))
        self._calls = self._calls or _calls(self._last.get("tool_calls"))
        if event.get("error"):
            self.fail(decode_error(None, event))
        text = self._last.get("text")
        if self._texts or not isinstance(text, str) or not text:
            return []
        self._texts.append(text)
        return [mend_text(text)]
