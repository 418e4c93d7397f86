"""Requests of the Bedrock converse dialect, in both directions.

The model is in the URL. `system` is the first message. The results of one turn are written as one user message. Read
back, each is a separate message, and its error flag is not kept. Fields that `ModelRequest` does not have pass through
in `parameters` under the dialect's own name.
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
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    ToolSchema,
)
from runtime.dialects.bedrock_converse_parts import REDACTED, block_part
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import entries, json_object, mapping, string
from runtime.dialects.jsontext import dump_json, parse_arguments

_OWN_FIELDS = frozenset({"messages", "system", "toolConfig", "schemaVersion"})
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxTokens")


def decode_request(body: Any) -> ModelRequest:
    """Decode a request's body; `model` is empty.

    Raises:
        DialectError: If the body is not a request of this dialect.
    """
    body = json_object(body, "converse request")
    wires = body.get("messages")
    if not isinstance(wires, list):
        raise DialectError(f"no converse request: messages is {type(wires).__name__}")
    messages: list[Message] = []
    if system := _parts(body.get("system")):
        messages.append(Message(role="system", parts=system))
    for index, wire in enumerate(wires):
        messages += _decode_message(wire, index)
    parameters = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
    config = mapping(body.get("toolConfig"))
    tools, foreign = _decode_tools(config.get("tools"))
    if foreign:
        parameters["tools"] = foreign
    if "toolChoice" in config:
        parameters["toolChoice"] = config["toolChoice"]
    return ModelRequest(model="", messages=tuple(messages), tools=tools, parameters=parameters)


def _decode_message(wire: Any, index: int) -> list[Message]:
    role = wire.get("role") if isinstance(wire, dict) else type(wire).__name__
    if role not in ("user", "assistant", "system"):
        raise DialectError(f"no converse request: role of messages[{index}] is {role!r}")
    if role != "user":
        return [
            Message(role="assistant" if role == "assistant" else "system", parts=_parts(wire.get("content")))
        ]
    messages: list[Message] = []
    said: list[Any] = []
    for block in _blocks(wire.get("content")):
        if not isinstance(block.get("toolResult"), dict):
            said.append(block)
            continue
        if said:
            messages.append(Message(role="user", parts=_parts(said)))
            said = []
        messages.append(_decode_result(block["toolResult"]))
    if said or not messages:
        messages.append(Message(role="user", parts=_parts(said)))
    return messages


def _decode_result(wire: dict[str, Any]) -> Message:
    texts: list[str] = []
    files: list[Part] = []
    for piece in _blocks(wire.get("content")):
        if "json" in piece:
            texts.append(dump_json(piece["json"]))
            continue
        part = block_part(piece)
        if isinstance(part, TextPart):
            texts.append(part.content)
        elif part is not None:
            files.append(part)
    answer = ToolResponsePart(id=string(wire.get("toolUseId")), response="".join(texts))
    return Message(role="tool", parts=(answer, *files))


def _blocks(content: Any) -> list[dict[str, Any]]:
    """Return content as blocks; it may be a plain text."""
    return [{"text": content}] if isinstance(content, str) else entries(content)


def _parts(content: Any) -> tuple[Part, ...]:
    parts = [block_part(block) for block in _blocks(content)]
    return tuple(part for part in parts if part is not None)


def _decode_tools(wires: Any) -> tuple[tuple[ToolSchema, ...], list[Any]]:
    """Return the agent's tools, and the entries that are something else, without cache points."""
    schemas: list[ToolSchema] = []
    foreign: list[Any] = []
    for wire in entries(wires):
        spec = wire.get("toolSpec")
        if not isinstance(spec, dict):
            if "cachePoint" not in wire:
                foreign.append(wire)
            continue
        schema = mapping(spec.get("inputSchema")).get("json")
        if isinstance(schema, str):
            schema = parse_arguments(schema)
        schemas.append(
            ToolSchema(
                name=string(spec.get("name")),
                description=string(spec.get("description")),
                parameters=mapping(schema),
            )
        )
    return tuple(schemas), foreign


def encode_request(
    request: ModelRequest, *, stream: bool = False, max_output_tokens: int | None = None
) -> dict[str, Any]:
    """Return the request's body; the model and the streaming mode are in the URL.

    Args:
        request: The request; its `parameters` pass through unchanged, except the output limit.
        stream: Has no effect on the body.
        max_output_tokens: Limit of this call.

    Raises:
        DialectError: If there is a file part, because its bytes were not kept.
    """
    del stream
    own = (*_LIMITS, "inferenceConfig", "tools", "toolChoice")
    body: dict[str, Any] = {n: v for n, v in request.parameters.items() if n not in own}
    config = dict(mapping(request.parameters.get("inferenceConfig")))
    limit = next((request.parameters[n] for n in _LIMITS if request.parameters.get(n) is not None), None)
    if max_output_tokens is not None or limit is not None:
        config["maxTokens"] = limit if max_output_tokens is None else max_output_tokens
    if config:
        body["inferenceConfig"] = config
    opening = next((i for i, m in enumerate(request.messages) if m.role != "system"), len(request.messages))
    if system := [block for message in request.messages[:opening] for block in _encode_parts(message)]:
        body["system"] = system
    body["messages"] = _encode_messages(request.messages[opening:])
    tools = [_encode_tool(tool) for tool in request.tools] + entries(request.parameters.get("tools"))
    if tools:
        choice = request.parameters.get("toolChoice")
        body["toolConfig"] = {"tools": tools} if choice is None else {"tools": tools, "toolChoice": choice}
    return body


def _encode_messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _encode_parts(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _encode_parts(message: Message) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case TextPart(content=text) | RefusalPart(content=text) if text:
                blocks.append({"text": text})
            case ReasoningPart(signature=str(signature)) if signature.startswith(REDACTED):
                blocks.append({"reasoningContent": {"redactedContent": signature.removeprefix(REDACTED)}})
            case ReasoningPart(content=text, signature=str(signature)):
                blocks.append({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
            case ToolCallPart():
                arguments = parse_arguments(part.arguments)
                encoded = arguments if isinstance(arguments, dict) else {"INVALID_JSON": arguments}
                blocks.append({"toolUse": {"toolUseId": part.id, "name": part.name, "input": encoded}})
            case ToolResponsePart():
                result = {"toolUseId": part.id, "content": [{"text": part.response}]}
                blocks.append({"toolResult": result})
            case FilePart():
                raise DialectError(
                    f"a {part.modality} part cannot be sent in a converse request",
                    next_step="leave files out, or use a dialect that takes their address",
                )
            case _:
                pass
    return blocks


def _encode_tool(tool: ToolSchema) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": tool.name}
    if tool.description:
        spec["description"] = tool.description
    spec["inputSchema"] = {"json": tool.parameters or {"type": "object", "properties": {}}}
    return {"toolSpec": spec}
