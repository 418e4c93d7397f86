"""Requests of the OpenAI chat dialect, in both directions.

Fields that `ModelRequest` does not have pass through in `parameters` under the dialect's own name: tools other than
functions stay in `parameters["tools"]`. Legacy `functions` and `function_call` are read as tools and tool calls. They
have no ids, so a call's id is made from its function's name. Reasoning is not sent back, because OpenAI refuses
unknown message fields. Of inline data of files only the digest is kept.
"""

from __future__ import annotations

from typing import Any

from runtime.core.messages import (
    FilePart,
    Message,
    ModelRequest,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    ToolSchema,
)
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import json_object, string
from runtime.dialects.file_parts import file_at, foreign_part, inline_file
from runtime.dialects.jsontext import arguments_text
from runtime.dialects.openai_chat_parts import (
    call_parts,
    content_pieces,
    legacy_call_id,
    reasoning_text,
)

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_OWN_FIELDS = frozenset(
    {"model", "messages", "tools", "functions", "function_call", "stream", "stream_options"}
)
_URL_MODALITIES = frozenset({"image", "video", "audio"})


def encode_request(
    request: ModelRequest, *, stream: bool = False, max_output_tokens: int | None = None
) -> dict[str, Any]:
    """Return the request's body.

    Args:
        request: The request; its `parameters` pass through unchanged.
        stream: Whether to stream the reply, with usage.
        max_output_tokens: Limit of this call. It replaces `max_tokens` if the parameters have that, and is otherwise
            written as `max_completion_tokens`.

    Raises:
        DialectError: If a file part has no uri to send.
    """
    body: dict[str, Any] = {**request.parameters, "model": request.model}
    body["messages"] = [wire for message in request.messages for wire in _encode_message(message)]
    tools = [encode_tool(tool) for tool in request.tools]
    if tools:
        body["tools"] = [*tools, *_entries(request.parameters.get("tools"))]
    if max_output_tokens is not None:
        name = "max_tokens" if "max_tokens" in request.parameters else "max_completion_tokens"
        for other in _OUTPUT_LIMITS:  # with two limits, a server might use the larger one
            body.pop(other, None)
        body[name] = max_output_tokens
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def decode_request(body: Any) -> ModelRequest:
    """Decode a request's body; `model` is empty if the body names none (Azure has it in the URL).

    Raises:
        DialectError: If the body is not a request of this dialect.
    """
    body = json_object(body, "chat request")
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise DialectError(f"no chat request: messages is {type(messages).__name__}")
    parameters = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
    tools, foreign = decode_tools(body)
    if foreign:
        parameters["tools"] = foreign
    if (choice := body.get("function_call")) is not None:
        named = {"type": "function", "function": choice}
        parameters["tool_choice"] = named if isinstance(choice, dict) else choice
    return ModelRequest(
        model=string(body.get("model")),
        messages=tuple(_decode_message(message, index) for index, message in enumerate(messages)),
        tools=tools,
        parameters=parameters,
    )


def _encode_message(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [
            {"role": "tool", "tool_call_id": part.id, "content": part.response}
            for part in message.parts
            if isinstance(part, ToolResponsePart)
        ]
    wire: dict[str, Any] = {"role": message.role}
    pieces = [_encode_part(p) for p in message.parts if isinstance(p, (TextPart, FilePart))]
    calls = [_encode_call(p) for p in message.parts if isinstance(p, ToolCallPart)]
    refusals = [p.content for p in message.parts if isinstance(p, RefusalPart)]
    if len(pieces) == 1 and pieces[0]["type"] == "text":
        wire["content"] = pieces[0]["text"]
    elif pieces:
        wire["content"] = pieces
    else:
        wire["content"] = None if calls or refusals else ""
    if refusals:
        wire["refusal"] = "".join(refusals)
    if calls:
        wire["tool_calls"] = calls
    return [wire]


def _encode_part(part: TextPart | FilePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.content}
    if part.uri is None:
        raise DialectError(
            f"a {part.modality} part without a uri cannot be sent",
            next_step="keep the bytes where a uri reaches them and name it in the part",
        )
    if part.modality in _URL_MODALITIES:
        kind = f"{part.modality}_url"
        return {"type": kind, kind: {"url": part.uri}}
    field = "file_data" if "://" in part.uri else "file_id"
    return {"type": "file", "file": {field: part.uri}}


def _encode_call(call: ToolCallPart) -> dict[str, Any]:
    function = {"name": call.name, "arguments": arguments_text(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def encode_tool(tool: ToolSchema) -> dict[str, Any]:
    """Return the entry of a function in `tools`."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def decode_tools(body: dict[str, Any]) -> tuple[tuple[ToolSchema, ...], list[Any]]:
    """Return the function tools, and the entries that are something else."""
    schemas: list[ToolSchema] = []
    foreign: list[Any] = []
    for tool in [*_entries(body.get("tools")), *_entries(body.get("functions"))]:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            foreign.append(tool)
            continue
        parameters = function.get("parameters")
        schemas.append(
            ToolSchema(
                name=function["name"],
                description=string(function.get("description")),
                parameters=parameters if isinstance(parameters, dict) else {},
            )
        )
    return tuple(schemas), foreign


def _entries(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise DialectError(f"no chat request: tools is {type(value).__name__}")
    return value


def _decode_message(wire: Any, index: int) -> Message:
    role = _ROLES.get(string(wire.get("role"))) if isinstance(wire, dict) else None
    if role is None:
        shown = wire.get("role") if isinstance(wire, dict) else type(wire).__name__
        raise DialectError(f"no chat request: role of messages[{index}] is {shown!r}")
    if role == "tool":
        call_id = string(wire.get("tool_call_id")) or legacy_call_id(string(wire.get("name")))
        text = "".join(p.content for p in _content(wire) if isinstance(p, TextPart))
        return Message(role="tool", parts=(ToolResponsePart(id=call_id, response=text),))
    parts = _content(wire)
    if role == "assistant":
        thought = reasoning_text(wire)
        if thought:
            parts.insert(0, ReasoningPart(content=thought))
        if isinstance(wire.get("refusal"), str):
            parts.append(RefusalPart(content=wire["refusal"]))
        parts += call_parts(wire)
    return Message(role=role, parts=tuple(parts))


def _content(wire: dict[str, Any]) -> list[Part]:
    content = wire.get("content")
    if isinstance(content, str):
        # An empty text beside tool calls has no meaning. Elsewhere it is the content that was sent.
        return [] if not content else [TextPart(content)]
    parts: list[Part] = []
    for piece in content if isinstance(content, list) else ():
        known = content_pieces([piece])
        parts += known or [_file_part(piece)]
    return parts


def _file_part(piece: Any) -> FilePart:
    """Return a part other than text and thought by reference."""
    if not isinstance(piece, dict):
        return foreign_part(piece)
    kind = string(piece.get("type")) or "unknown"
    inner = piece.get(kind)
    if kind.endswith("_url"):
        url = inner.get("url") if isinstance(inner, dict) else inner
        return file_at(kind.removesuffix("_url"), string(url))
    if kind == "input_audio" and isinstance(inner, dict):
        return inline_file("audio", f"audio/{string(inner.get('format'))}", string(inner.get("data")))
    if kind == "file" and isinstance(inner, dict):
        return file_at("file", string(inner.get("file_id")) or string(inner.get("file_data")))
    return foreign_part(piece, kind)
