"""Mistral's own dialect of agents and conversations (`/v1/conversations`): request, reply and server-sent events.

Format: https://docs.mistral.ai/api/endpoint/beta/conversations. `inputs` is a text or a list of entries. `outputs` are
entries: messages, calls of the agent's functions, and executions of tools that Mistral runs, which are not calls of
the agent. The conversation's id is in the URL or in the reply. Mistral's chat completions use the OpenAI chat dialect,
with content as lists of thoughts and texts, which that codec reads.
"""

from __future__ import annotations

from typing import Any

from runtime.core.messages import (
    Message,
    ModelReply,
    ModelRequest,
    Part,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
)
from runtime.core.money import Usage
from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import count, entries, json_object, string
from runtime.dialects.file_parts import foreign_part
from runtime.dialects.jsontext import dump_json, mend_text, parse_arguments
from runtime.dialects.openai_chat_parts import content_pieces, decode_usage
from runtime.dialects.openai_chat_request import decode_tools
from runtime.dialects.streams import JsonStream, joined

__all__ = ["DialectError", "StreamDecoder", "decode_error", "decode_reply", "decode_request"]

_OWN_FIELDS = frozenset({"model", "inputs", "instructions", "tools", "stream"})


def decode_request(body: Any) -> ModelRequest:
    """Decode a request's body; `model` is empty if the request goes to an agent by its id.

    Raises:
        DialectError: If the body is not a request of this dialect.
    """
    body = json_object(body, "conversations request")
    inputs = body.get("inputs")
    if isinstance(inputs, str):
        inputs = [{"role": "user", "content": inputs}]
    if not isinstance(inputs, list):
        raise DialectError(f"no conversations request: inputs is {type(inputs).__name__}")
    messages: list[Message] = []
    if instructions := string(body.get("instructions")):
        messages.append(Message(role="system", parts=(TextPart(instructions),)))
    for entry in entries(inputs):
        message = _decode_entry(entry)
        if message.role == "assistant" and messages and messages[-1].role == "assistant":
            messages[-1] = Message(role="assistant", parts=messages[-1].parts + message.parts)
        else:
            messages.append(message)
    parameters = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
    tools, foreign = decode_tools(body)
    if foreign:
        parameters["tools"] = foreign
    return ModelRequest(
        model=string(body.get("model")), messages=tuple(messages), tools=tools, parameters=parameters
    )


def _decode_entry(entry: dict[str, Any]) -> Message:
    if entry.get("type") == "function.result":
        result = entry.get("result")
        text = string(result) if isinstance(result, str) else dump_json(result)
        answer = ToolResponsePart(id=string(entry.get("tool_call_id")), response=text)
        return Message(role="tool", parts=(answer,))
    parts = _entry_parts(entry)
    if entry.get("type") in (None, "message.input") and entry.get("role") != "assistant":
        return Message(role="user", parts=tuple(parts))
    return Message(role="assistant", parts=tuple(parts) or (foreign_part(entry),))


def _entry_parts(entry: dict[str, Any]) -> list[Part]:
    """Return the parts of an entry; empty for tools that Mistral runs and for hand-overs."""
    match entry.get("type"):
        case None | "message.input" | "message.output":
            return content_pieces(entry.get("content"))
        case "function.call":
            arguments = parse_arguments(entry.get("arguments"))
            call_id = string(entry.get("tool_call_id")) or string(entry.get("id"))
            return [ToolCallPart(id=call_id, name=string(entry.get("name")), arguments=arguments)]
        case _:
            return []


def decode_reply(body: Any) -> ModelReply:
    """Return the reply of a `conversation.response` body.

    Raises:
        DialectError: If the body is not a reply; for an error body use `decode_error`.
    """
    body = json_object(body, "conversations reply")
    outputs = body.get("outputs")
    if not isinstance(outputs, list):
        raise DialectError(f"no conversations reply: no outputs; fields are {sorted(map(str, body))[:8]}")
    parts = [part for entry in entries(outputs) for part in _entry_parts(entry)]
    model = next((string(e.get("model")) for e in entries(outputs) if e.get("model")), None)
    return _reply(
        parts, model, string(body.get("conversation_id")), decode_usage(body.get("usage")), ended=True
    )


def _reply(
    parts: list[Part], model: str | None, conversation: str, usage: Usage | None, *, ended: bool
) -> ModelReply:
    has_calls = any(isinstance(part, ToolCallPart) for part in parts)
    return ModelReply(
        parts=joined(parts),
        finish_reason=("tool_call" if has_calls else "stop") if ended else None,
        response_model=model,
        response_id=conversation or None,
        usage=usage,
    )


class StreamDecoder(JsonStream):
    """Collects one streamed reply from its SSE data payloads; attributes as in `JsonStream`."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, list[Part]] = {}
        self._calls: dict[str, tuple[str, list[str]]] = {}
        self._order: list[str] = []
        self._model: str | None = None
        self._conversation = ""
        self._usage: Usage | None = None

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one event and return its text deltas; never raises."""
        match event.get("type"):
            case "conversation.response.started":
                self._conversation = string(event.get("conversation_id"))
            case "message.output.delta":
                self._model = string(event.get("model")) or self._model
                return self._grow(event)
            case "function.call.delta":
                self._model = string(event.get("model")) or self._model
                key = string(event.get("tool_call_id")) or string(event.get("id"))
                if key not in self._calls:
                    self._calls[key] = (string(event.get("name")), [])
                    self._order.append(key)
                arguments = event.get("arguments")
                self._calls[key][1].append(arguments if isinstance(arguments, str) else dump_json(arguments))
            case "conversation.response.done":
                self.done = True
                self._usage = decode_usage(event.get("usage"))
            case "conversation.response.error":
                self.fail(decode_error(None, event))
            case _:
                pass  # tools that Mistral runs, hand-overs, and events of later versions
        return []

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        self.fail_if_cut(complete=self.done)
        parts: list[Part] = []
        for key in self._order:
            if key in self._said:
                parts += self._said[key]
            else:
                name, pieces = self._calls[key]
                text = mend_text("".join(pieces))
                arguments = parse_arguments(text) if text.strip() or self.done else text
                parts.append(ToolCallPart(id=key, name=name, arguments=arguments))
        return _reply(parts, self._model, self._conversation, self._usage, ended=self.done)

    def _grow(self, event: dict[str, Any]) -> list[str]:
        key = f"{string(event.get('id'))}/{count(event.get('output_index')) or 0}"
        content = event.get("content")
        fresh = content_pieces([content] if isinstance(content, dict) else content)
        if not fresh:
            return []
        if key not in self._said:
            self._said[key] = []
            self._order.append(key)
        self._said[key] += fresh
        return [part.content for part in fresh if isinstance(part, TextPart)]
