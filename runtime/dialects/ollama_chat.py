"""The Ollama chat dialect (`/api/chat`): request, reply, and streams of one JSON object a line.

Format: https://docs.ollama.com/api/chat. Each line of a stream has the form of a whole reply and holds a piece of it.
The last line is `done` and has the counts. Arguments are objects, not text. Only newer calls have an id. Without one, a
call is named by its position, and a result answers the first open call of the tool it names.
"""

from __future__ import annotations

from typing import Any

from runtime.core.messages import (
    FilePart,
    FinishReason,
    Message,
    ModelReply,
    ModelRequest,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
)
from runtime.core.money import Usage
from runtime.dialects.errors import DialectError
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import entries, first_count, json_object, mapping, reply_object, string
from runtime.dialects.file_parts import inline_file
from runtime.dialects.jsontext import parse_arguments
from runtime.dialects.openai_chat_request import decode_tools, encode_tool
from runtime.dialects.streams import JsonStream, joined

__all__ = [
    "DialectError",
    "StreamDecoder",
    "decode_error",
    "decode_reply",
    "decode_request",
    "encode_request",
]

_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_OWN_FIELDS = frozenset({"model", "messages", "tools", "stream"})
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def decode_request(body: Any) -> ModelRequest:
    """Decode a request's body.

    Raises:
        DialectError: If the body is not a request of this dialect.
    """
    body = json_object(body, "Ollama request")
    wires = body.get("messages")
    if not isinstance(wires, list):
        raise DialectError(f"no Ollama request: messages is {type(wires).__name__}")
    messages: list[Message] = []
    pending: list[ToolCallPart] = []
    for index, wire in enumerate(wires):
        message = _decode_message(wire, index, pending)
        if message.role != "tool":
            pending = [part for part in message.parts if isinstance(part, ToolCallPart)]
        messages.append(message)
    parameters = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
    tools, foreign = decode_tools(body)
    if foreign:
        parameters["tools"] = foreign
    return ModelRequest(
        model=string(body.get("model")), messages=tuple(messages), tools=tools, parameters=parameters
    )


def _decode_message(wire: Any, index: int, pending: list[ToolCallPart]) -> Message:
    role = _ROLES.get(string(wire.get("role"))) if isinstance(wire, dict) else None
    if role is None:
        shown = wire.get("role") if isinstance(wire, dict) else type(wire).__name__
        raise DialectError(f"no Ollama request: role of messages[{index}] is {shown!r}")
    if role == "tool":
        call_id = string(wire.get("tool_call_id")) or _answered(string(wire.get("tool_name")), pending)
        return Message(
            role="tool", parts=(ToolResponsePart(id=call_id, response=string(wire.get("content"))),)
        )
    parts = _said(wire, 0)
    images = wire.get("images")
    files = [inline_file("image", "", string(each)) for each in images] if isinstance(images, list) else []
    return Message(role=role, parts=(*parts, *files))


def _answered(name: str, pending: list[ToolCallPart]) -> str:
    """Return the id of the first call without a result; if a tool is named, of that tool."""
    call = next((c for c in pending if not name or c.name == name), None)
    if call is None:
        return name
    pending.remove(call)
    return call.id


def _said(message: dict[str, Any], calls_before: int) -> list[Part]:
    """Return the parts of a message, or of a piece of one, in the order thought, text, calls."""
    parts: list[Part] = []
    if isinstance(message.get("thinking"), str) and message["thinking"]:
        parts.append(ReasoningPart(content=message["thinking"]))
    if isinstance(message.get("content"), str) and message["content"]:
        parts.append(TextPart(message["content"]))
    for position, wire in enumerate(entries(message.get("tool_calls")), start=calls_before):
        function = mapping(wire.get("function"))
        call_id = string(wire.get("id")) or f"call_{position}"
        arguments = parse_arguments(function.get("arguments"))
        parts.append(ToolCallPart(id=call_id, name=string(function.get("name")), arguments=arguments))
    return parts


def decode_reply(body: Any) -> ModelReply:
    """Return the reply of a body that was not streamed.

    Raises:
        DialectError: If the body is not a reply; for an error body use `decode_error`.
    """
    body = reply_object(body, "Ollama reply")
    if not isinstance(body.get("message"), dict):
        raise DialectError(f"no Ollama reply: no message; fields are {sorted(map(str, body))[:8]}")
    decoder = StreamDecoder()
    decoder.take(body)
    return decoder.finish()


class StreamDecoder(JsonStream):
    """Collects one streamed reply from its lines; attributes as in `JsonStream`."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[Part] = []
        self._calls = 0
        self._finish: str | None = None
        self._model: str | None = None
        self._usage: Usage | None = None

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one line and return its text deltas; never raises."""
        if event.get("error"):
            self.fail(decode_error(None, event))
        self._model = string(event.get("model")) or self._model
        fresh = _said(mapping(event.get("message")), self._calls)
        self._calls += sum(isinstance(part, ToolCallPart) for part in fresh)
        self._parts += fresh
        if event.get("done") is True:
            self.done = True
            self._finish = string(event.get("done_reason")) or self._finish
            usage = Usage(
                input_tokens=first_count(event.get("prompt_eval_count")),
                output_tokens=first_count(event.get("eval_count")),
            )
            self._usage = None if usage == Usage() else usage
        return [part.content for part in fresh if isinstance(part, TextPart)]

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        self.fail_if_cut(complete=self.done)
        known = _FINISH.get(self._finish or "")
        return ModelReply(
            parts=joined(self._parts),
            finish_reason="tool_call" if known == "stop" and self._calls else known,
            raw_finish_reason=self._finish,
            response_model=self._model,
            usage=self._usage,
        )


def encode_request(
    request: ModelRequest, *, stream: bool = False, max_output_tokens: int | None = None
) -> dict[str, Any]:
    """Return the request's body.

    Args:
        request: The request; its `parameters` pass through unchanged, except the output limit.
        stream: Whether to stream the reply.
        max_output_tokens: Limit of this call, `options.num_predict`.

    Raises:
        DialectError: If a file part is not a `data:` uri.
    """
    body: dict[str, Any] = {n: v for n, v in request.parameters.items() if n not in (*_LIMITS, "tools")}
    limit = next((request.parameters[n] for n in _LIMITS if request.parameters.get(n) is not None), None)
    if max_output_tokens is not None or limit is not None:
        num_predict = limit if max_output_tokens is None else max_output_tokens
        body["options"] = {**mapping(body.get("options")), "num_predict": num_predict}
    names: dict[str, str] = {}
    body["model"], body["messages"], body["stream"] = request.model, [], stream
    for message in request.messages:
        names |= {part.id: part.name for part in message.parts if isinstance(part, ToolCallPart)}
        body["messages"] += _encode_message(message, names)
    if request.tools:
        body["tools"] = [encode_tool(tool) for tool in request.tools]
    return body


def _encode_message(message: Message, names: dict[str, str]) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [
            {"role": "tool", "tool_name": names.get(part.id, part.id), "content": part.response}
            for part in message.parts
            if isinstance(part, ToolResponsePart)
        ]
    wire: dict[str, Any] = {"role": message.role, "content": ""}
    for part in message.parts:
        match part:
            case TextPart(content=text) | RefusalPart(content=text):
                wire["content"] += text
            case ReasoningPart(content=text) if text:
                wire["thinking"] = wire.get("thinking", "") + text
            case ToolCallPart():
                function = {"name": part.name, "arguments": parse_arguments(part.arguments)}
                wire.setdefault("tool_calls", []).append({"function": function})
            case FilePart(modality="image", uri=str(uri)) if uri.startswith("data:"):
                wire.setdefault("images", []).append(uri.partition(",")[2])
            case FilePart():
                raise DialectError(
                    f"a {part.modality} part cannot be sent in an Ollama request",
                    next_step="send an image as a data: uri",
                )
            case _:
                pass
    return [wire]
