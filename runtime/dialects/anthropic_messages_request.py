"""Requests of the Anthropic messages dialect, in both directions.

Rules.
1. Leading system messages are the `system` field; later ones keep their place, which newer models accept.
2. The results of one turn are written as one user message, and the user's next text follows in it, as the reference
   requires. Read back, each result is a separate tool message. The error flag of a result is not kept.
3. Thoughts are sent back unchanged with their signature. A thought without one is omitted, because a provider refuses
   it. Empty texts are omitted too, and so are blocks of tools that the provider ran, of which only the digest is known.
4. Fields that `ModelRequest` does not have pass through in `parameters` under the dialect's own name: tools that the
   provider runs stay in `parameters["tools"]`. The output limit is written as `max_tokens`, whichever dialect's name
   the parameters use.
"""

from __future__ import annotations

from typing import Any

from runtime.core.messages import (
    FilePart,
    Message,
    ModelRequest,
    Part,
    TextPart,
    ToolResponsePart,
    ToolSchema,
)
from runtime.dialects.anthropic_messages_files import FILE_BLOCKS, decode_file, encode_file
from runtime.dialects.anthropic_messages_parts import assistant_blocks, block_part
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import json_object, string
from runtime.dialects.file_parts import foreign_part

_OWN_FIELDS = frozenset({"model", "messages", "system", "tools", "stream"})
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_SPOKEN = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})


def encode_request(
    request: ModelRequest, *, stream: bool = False, max_output_tokens: int | None = None
) -> dict[str, Any]:
    """Return the request's body.

    Args:
        request: The request; its `parameters` pass through unchanged, except the output limit.
        stream: Whether to stream the reply.
        max_output_tokens: Limit of this call; if it is `None`, the parameters must name one.

    Raises:
        DialectError: If no output limit is known, or a file part cannot be sent.
    """
    body: dict[str, Any] = {n: v for n, v in request.parameters.items() if n not in _LIMITS}
    body["model"] = request.model
    body["max_tokens"] = _output_limit(request.parameters, max_output_tokens)
    opening = next((i for i, m in enumerate(request.messages) if m.role != "system"), len(request.messages))
    system = [block for message in request.messages[:opening] for block in _blocks(message)]
    if system:
        body["system"] = _collapsed(system)
    body["messages"] = _encode_messages(request.messages[opening:])
    tools = [_encode_tool(tool) for tool in request.tools]
    if tools:
        body["tools"] = [*tools, *_entries(request.parameters.get("tools"))]
    if stream:
        body["stream"] = True
    return body


def decode_request(body: Any) -> ModelRequest:
    """Decode a request's body; `model` is empty if the body names none.

    Raises:
        DialectError: If the body is not a request of this dialect.
    """
    body = json_object(body, "messages request")
    wires = body.get("messages")
    if not isinstance(wires, list):
        raise DialectError(f"no messages request: messages is {type(wires).__name__}")
    parameters = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
    tools, foreign = _decode_tools(_entries(body.get("tools")))
    if foreign:
        parameters["tools"] = foreign
    messages: list[Message] = []
    if system := _content(body.get("system"), "system"):
        messages.append(Message(role="system", parts=_parts(system)))
    for index, wire in enumerate(wires):
        messages += _decode_message(wire, index)
    return ModelRequest(
        model=string(body.get("model")), messages=tuple(messages), tools=tools, parameters=parameters
    )


def _output_limit(parameters: dict[str, Any], limit: int | None) -> Any:
    if limit is not None:
        return limit
    configured = next((parameters[name] for name in _LIMITS if parameters.get(name) is not None), None)
    if configured is None:
        raise DialectError(
            "a messages request needs max_tokens, and no output limit is set",
            next_step="set Agent.max_output_tokens, or max_tokens in the parameters",
        )
    return configured


def _encode_messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    after_result = False
    for message in messages:
        role = "user" if message.role == "tool" else message.role
        blocks = _blocks(message)
        if after_result and role == "user":
            turns[-1][1].extend(blocks)
        elif blocks or role == "user":
            turns.append((role, blocks))
        after_result = message.role == "tool"
    return [{"role": role, "content": _collapsed(blocks)} for role, blocks in turns]


def _collapsed(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return content in its shortest form: a string if it is one text or empty."""
    if not blocks:
        return ""
    return blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else blocks


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return _result_blocks(message)
    if message.role == "assistant":
        return assistant_blocks(message.parts, unsigned=False)
    blocks: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, TextPart) and part.content:
            blocks.append({"type": "text", "text": part.content})
        elif isinstance(part, FilePart):
            blocks.append(encode_file(part))
    return blocks


def _result_blocks(message: Message) -> list[dict[str, Any]]:
    """Return the results of a tool message; a file belongs to the result before it."""
    blocks: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ToolResponsePart):
            blocks.append({"type": "tool_result", "tool_use_id": part.id, "content": part.response})
        elif isinstance(part, FilePart) and blocks:
            content = blocks[-1]["content"]
            if isinstance(content, str):
                content = [{"type": "text", "text": content}] if content else []
            blocks[-1]["content"] = [*content, encode_file(part)]
    return blocks


def _encode_tool(tool: ToolSchema) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": tool.name}
    if tool.description:
        wire["description"] = tool.description
    wire["input_schema"] = tool.parameters or {"type": "object", "properties": {}}
    return wire


def _decode_tools(wires: list[Any]) -> tuple[tuple[ToolSchema, ...], list[Any]]:
    """Return the agent's tools, and the entries that are something else."""
    schemas: list[ToolSchema] = []
    foreign: list[Any] = []
    for wire in wires:
        own = isinstance(wire, dict) and wire.get("type") in (None, "custom")
        if not own or not isinstance(wire.get("name"), str):
            foreign.append(wire)
            continue
        schema = wire.get("input_schema")
        schemas.append(
            ToolSchema(
                name=wire["name"],
                description=string(wire.get("description")),
                parameters=schema if isinstance(schema, dict) else {},
            )
        )
    return tuple(schemas), foreign


def _entries(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise DialectError(f"no messages request: tools is {type(value).__name__}")
    return value


def _decode_message(wire: Any, index: int) -> list[Message]:
    role = wire.get("role") if isinstance(wire, dict) else type(wire).__name__
    if not isinstance(wire, dict) or role not in ("user", "assistant", "system"):
        raise DialectError(f"no messages request: role of messages[{index}] is {role!r}")
    blocks = _content(wire.get("content"), f"content of messages[{index}]")
    if role != "user":
        return [Message(role="assistant" if role == "assistant" else "system", parts=_parts(blocks))]
    messages: list[Message] = []
    said: list[Any] = []
    for block in blocks:
        if not isinstance(block, dict) or block.get("type") != "tool_result":
            said.append(block)
            continue
        if said:
            messages.append(Message(role="user", parts=_parts(said)))
            said = []
        messages.append(_decode_result(block, index))
    if said or not messages:
        messages.append(Message(role="user", parts=_parts(said)))
    return messages


def _decode_result(block: dict[str, Any], index: int) -> Message:
    pieces = _parts(_content(block.get("content"), f"a result's content in messages[{index}]"))
    text = "".join(p.content for p in pieces if isinstance(p, TextPart))
    files = [p for p in pieces if isinstance(p, FilePart)]
    answer = ToolResponsePart(id=string(block.get("tool_use_id")), response=text)
    return Message(role="tool", parts=(answer, *files))


def _content(content: Any, where: str) -> list[Any]:
    """Return content as blocks; it may be a plain text."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise DialectError(f"no messages request: {where} is {type(content).__name__}")
    return content


def _parts(blocks: list[Any]) -> tuple[Part, ...]:
    """Return blocks as parts; files and blocks of other kinds are kept by reference."""
    parts: list[Part] = []
    for block in blocks:
        kind = string(block.get("type")) if isinstance(block, dict) else ""
        if kind in _SPOKEN:
            part = block_part(block)
            if part is not None:
                parts.append(part)
        elif kind in FILE_BLOCKS:
            parts.append(decode_file(block))
        else:
            parts.append(foreign_part(block))
    return tuple(parts)
