"""Requests of the OpenAI responses dialect, in both directions.

Rules.
1. `instructions` is the first system message. Adjacent items of an assistant (reasoning, text, calls) are one assistant
   message, and each result is a tool message.
2. Fields that `ModelRequest` does not have pass through in `parameters` under the dialect's own name:
   `previous_response_id`, `conversation`, and tools other than functions (`parameters["tools"]`).
3. Of items of other kinds only the digest is kept. Reasoning without a signature is not sent, because the provider
   would refuse it.
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
from runtime.dialects.fields import json_object, mapping, string
from runtime.dialects.file_parts import file_at, foreign_part, inline_file
from runtime.dialects.jsontext import arguments_text, dump_json
from runtime.dialects.openai_responses_parts import content_parts, item_parts

_OWN_FIELDS = frozenset({"model", "input", "instructions", "tools", "stream", "stream_options"})
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def decode_request(body: Any) -> ModelRequest:
    """Decode a request's body.

    Raises:
        DialectError: If the body is not a request of this dialect.
    """
    body = json_object(body, "responses request")
    if not any(name in body for name in ("input", "previous_response_id", "conversation", "prompt")):
        raise DialectError(f"no responses request: it has no input; fields are {sorted(map(str, body))[:8]}")
    parameters = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
    tools, foreign = _decode_tools(body.get("tools"))
    if foreign:
        parameters["tools"] = foreign
    return ModelRequest(
        model=string(body.get("model")),
        messages=tuple(_decode_input(body.get("instructions"), body.get("input"))),
        tools=tools,
        parameters=parameters,
    )


def encode_request(
    request: ModelRequest, *, stream: bool = False, max_output_tokens: int | None = None
) -> dict[str, Any]:
    """Return the request's body.

    Args:
        request: The request; its `parameters` pass through unchanged, except the output limit.
        stream: Whether to stream the reply.
        max_output_tokens: Limit of this call.

    Raises:
        DialectError: If a file part has no uri to send.
    """
    body: dict[str, Any] = {n: v for n, v in request.parameters.items() if n not in _LIMITS}
    body["model"] = request.model
    body["input"] = [item for message in request.messages for item in _encode_message(message)]
    limit = next((request.parameters[n] for n in _LIMITS if request.parameters.get(n) is not None), None)
    if max_output_tokens is not None or limit is not None:
        body["max_output_tokens"] = limit if max_output_tokens is None else max_output_tokens
    if request.tools:
        body["tools"] = [*map(_encode_tool, request.tools), *(request.parameters.get("tools") or [])]
    if stream:
        body["stream"] = True
    return body


def _decode_input(instructions: Any, given: Any) -> list[Message]:
    messages: list[Message] = []
    if isinstance(instructions, str) and instructions:
        messages.append(Message(role="system", parts=(TextPart(string(instructions)),)))
    if isinstance(given, str):
        return [*messages, Message(role="user", parts=(TextPart(string(given)),))]
    if given is not None and not isinstance(given, list):
        raise DialectError(f"no responses request: input is {type(given).__name__}")
    for index, item in enumerate(given or ()):
        if not isinstance(item, dict):
            raise DialectError(f"no responses request: input[{index}] is {type(item).__name__}")
        message = _decode_item(item, index)
        if message.role == "assistant" and messages and messages[-1].role == "assistant":
            messages[-1] = Message(role="assistant", parts=messages[-1].parts + message.parts)
        else:
            messages.append(message)
    return messages


def _decode_item(item: dict[str, Any], index: int) -> Message:
    kind = string(item.get("type")) or "message"
    if kind.endswith("_output"):
        answer = ToolResponsePart(id=string(item.get("call_id")), response=_result(item))
        return Message(role="tool", parts=(answer, *_files(item.get("output"))))
    role = _ROLES.get(string(item.get("role")))
    if kind == "message":
        if role is None:
            raise DialectError(f"no responses request: role of input[{index}] is {item.get('role')!r}")
        return Message(role=role, parts=(*content_parts(item.get("content")), *_files(item.get("content"))))
    parts: list[Part] = item_parts(item)
    return Message(role=role or "assistant", parts=tuple(parts or [foreign_part(item)]))


def _result(item: dict[str, Any]) -> str:
    """Return a result as text: the tool's text, or the JSON of a result of another form."""
    output = item.get("output", item.get("tools"))
    if isinstance(output, str):
        return string(output)
    if isinstance(output, list):
        texts = [p.content for p in content_parts(output) if isinstance(p, TextPart)]
        return "".join(texts) if texts or not output else dump_json(output)
    return "" if output is None else dump_json(output)


def _files(content: Any) -> list[FilePart]:
    """Return the images, audio and files of content by reference."""
    files: list[FilePart] = []
    for piece in content if isinstance(content, list) else ():
        match piece:
            case {"type": "input_image" | "computer_screenshot"}:
                where = string(piece.get("image_url")) or string(piece.get("file_id"))
                files.append(file_at("image", where))
            case {"type": "input_file"}:
                where = next(
                    (string(piece[n]) for n in ("file_url", "file_id", "file_data") if piece.get(n)), ""
                )
                files.append(file_at("file", where))
            case {"type": "input_audio"}:
                audio = mapping(piece.get("input_audio"))
                sound = f"audio/{string(audio.get('format'))}"
                files.append(inline_file("audio", sound, string(audio.get("data"))))
            case _:
                pass
    return files


def _decode_tools(wires: Any) -> tuple[tuple[ToolSchema, ...], list[Any]]:
    """Return the agent's functions, and the entries that are something else."""
    if wires is not None and not isinstance(wires, list):
        raise DialectError(f"no responses request: tools is {type(wires).__name__}")
    schemas: list[ToolSchema] = []
    foreign: list[Any] = []
    for wire in wires or ():
        known = mapping(wire)
        if known.get("type") not in ("function", "custom") or not isinstance(known.get("name"), str):
            foreign.append(wire)
            continue
        schemas.append(
            ToolSchema(
                name=known["name"],
                description=string(known.get("description")),
                parameters=mapping(known.get("parameters")),
            )
        )
    return tuple(schemas), foreign


def _encode_tool(tool: ToolSchema) -> dict[str, Any]:
    wire: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description:
        wire["description"] = tool.description
    return {**wire, "parameters": tool.parameters or {"type": "object", "properties": {}}, "strict": False}


def _encode_message(message: Message) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case ToolResponsePart():
                items.append({"type": "function_call_output", "call_id": part.id, "output": part.response})
            case ToolCallPart():
                call = {"call_id": part.id, "name": part.name, "arguments": arguments_text(part.arguments)}
                items.append({"type": "function_call", **call})
            case ReasoningPart(signature=str(signature)) if ":" in signature:
                item_id, _, encrypted = signature.partition(":")
                summary = [{"type": "summary_text", "text": part.content}] if part.content else []
                thought = {"id": item_id, "summary": summary, "encrypted_content": encrypted}
                items.append({"type": "reasoning", **thought})
            case TextPart() | RefusalPart() | FilePart():
                _add_piece(items, message.role, _encode_piece(part, message.role))
            case _:
                pass
    return items


def _add_piece(items: list[dict[str, Any]], role: Role, piece: dict[str, Any]) -> None:
    """Add a piece of content to the open message of its role, or begin a message."""
    if items and items[-1].get("type") == "message":
        items[-1]["content"].append(piece)
        return
    said_by = "user" if role == "tool" else role
    items.append({"type": "message", "role": said_by, "content": [piece]})


def _encode_piece(part: TextPart | RefusalPart | FilePart, role: Role) -> dict[str, Any]:
    match part:
        case TextPart(content=text):
            return {"type": "output_text" if role == "assistant" else "input_text", "text": text}
        case RefusalPart(content=text):
            return {"type": "refusal", "refusal": text}
        case FilePart(uri=None):
            raise DialectError(
                f"a {part.modality} part without a uri cannot be sent",
                next_step="keep the bytes where a uri reaches them and name it in the part",
            )
        case FilePart(modality="image", uri=uri):
            return {"type": "input_image", "image_url": uri}
        case FilePart(uri=uri):
            return {"type": "input_file", "file_url" if "://" in str(uri) else "file_id": uri}
