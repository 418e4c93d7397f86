"""Requests of the Gemini dialect, in both directions.

Rules.
1. The model is in the URL, so `model` is empty when a body is read, and is not written.
2. `systemInstruction` is the first system message. The results of one turn are one content; each is read as a message.
3. Fields that `ModelRequest` does not have pass through in `parameters` under the dialect's own name: settings
   of `generationConfig`, and tools other than functions (`parameters["tools"]`).
"""

from __future__ import annotations

from collections import Counter
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
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import entries, field, json_object, mapping, string
from runtime.dialects.gemini_parts import part_of
from runtime.dialects.jsontext import parse_arguments

_SYSTEM = ("systemInstruction", "system_instruction")
_DECLARATIONS = ("functionDeclarations", "function_declarations")
_SCHEMAS = ("parametersJsonSchema", "parameters_json_schema", "parameters")
_CONFIG = ("generationConfig", "generation_config")
_OWN_FIELDS = frozenset({"model", "contents", "tools", *_SYSTEM})
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")


def decode_request(body: Any) -> ModelRequest:
    """Decode a request's body.

    Raises:
        DialectError: If the body is not a request of this dialect.
    """
    body = json_object(body, "Gemini request")
    contents = body.get("contents")
    if isinstance(contents, dict):
        contents = [contents]
    if not isinstance(contents, list):
        raise DialectError(f"no Gemini request: contents is {type(contents).__name__}")
    messages: list[Message] = []
    if system := _parts(field(body, *_SYSTEM), Counter()):
        messages.append(Message(role="system", parts=tuple(system)))
    for index, content in enumerate(contents):
        messages += _decode_content(content, index)
    parameters = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
    tools, foreign = _decode_tools(body.get("tools"))
    if foreign:
        parameters["tools"] = foreign
    return ModelRequest(
        model=string(body.get("model")).rpartition("/")[2],
        messages=tuple(messages),
        tools=tools,
        parameters=parameters,
    )


def _decode_content(content: Any, index: int) -> list[Message]:
    role = content.get("role") or "user" if isinstance(content, dict) else type(content).__name__
    if role not in ("user", "model", "function", "system"):
        raise DialectError(f"no Gemini request: role of contents[{index}] is {role!r}")
    parts = _parts(content, Counter())
    if role == "model":
        return [Message(role="assistant", parts=tuple(parts))]
    messages: list[Message] = []
    said: list[Part] = []
    for part in parts:
        if isinstance(part, ToolResponsePart):
            if said:
                messages.append(Message(role="user", parts=tuple(said)))
                said = []
            messages.append(Message(role="tool", parts=(part,)))
        else:
            said.append(part)
    if said or not messages:
        messages.append(Message(role="system" if role == "system" else "user", parts=tuple(said)))
    return messages


def _parts(content: Any, seen: Counter[str]) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(string(content))] if content else []
    wires = mapping(content).get("parts")
    if isinstance(wires, dict):
        wires = [wires]
    return [part for wire in entries(wires) for part in part_of(wire, seen)]


def _decode_tools(wires: Any) -> tuple[tuple[ToolSchema, ...], list[Any]]:
    """Return the agent's functions, and the entries that are something else."""
    if isinstance(wires, dict):
        wires = [wires]
    if wires is not None and not isinstance(wires, list):
        raise DialectError(f"no Gemini request: tools is {type(wires).__name__}")
    schemas: list[ToolSchema] = []
    foreign: list[Any] = []
    for wire in wires or ():
        schemas += [
            ToolSchema(
                name=string(each.get("name")),
                description=string(each.get("description")),
                parameters=mapping(field(each, *_SCHEMAS)),
            )
            for each in entries(field(mapping(wire), *_DECLARATIONS))
        ]
        rest = {n: v for n, v in mapping(wire).items() if n not in _DECLARATIONS}
        if rest or not isinstance(wire, dict):
            foreign.append(rest or wire)
    return tuple(schemas), foreign


def encode_request(
    request: ModelRequest, *, stream: bool = False, max_output_tokens: int | None = None
) -> dict[str, Any]:
    """Return the request's body; the streaming mode is in the URL.

    Args:
        request: The request; its `parameters` pass through unchanged, except the output limit.
        stream: Has no effect on the body.
        max_output_tokens: Limit of this call.

    Raises:
        DialectError: If a file part has no uri to send.
    """
    del stream
    body: dict[str, Any] = {n: v for n, v in request.parameters.items() if n not in (*_LIMITS, *_CONFIG)}
    config = dict(mapping(field(request.parameters, *_CONFIG)))
    limit = next((request.parameters[n] for n in _LIMITS if request.parameters.get(n) is not None), None)
    if max_output_tokens is not None or limit is not None:
        config["maxOutputTokens"] = limit if max_output_tokens is None else max_output_tokens
    if config:
        body["generationConfig"] = config
    opening = next((i for i, m in enumerate(request.messages) if m.role != "system"), len(request.messages))
    system = [part for message in request.messages[:opening] for part in _encode_parts(message, {})]
    if system:
        body["systemInstruction"] = {"parts": system}
    body["contents"] = _encode_contents(request.messages[opening:])
    if request.tools:
        declared = {"functionDeclarations": [_encode_tool(tool) for tool in request.tools]}
        body["tools"] = [declared, *(request.parameters.get("tools") or [])]
    return body


def _encode_contents(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    contents: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        names |= {part.id: part.name for part in message.parts if isinstance(part, ToolCallPart)}
        role = "model" if message.role == "assistant" else "user"
        parts = _encode_parts(message, names)
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        elif parts:
            contents.append({"role": role, "parts": parts})
    return contents


def _encode_parts(message: Message, names: dict[str, str]) -> list[dict[str, Any]]:
    """Return the parts of a message; the signature of an empty thought goes to the part after it."""
    parts: list[dict[str, Any]] = []
    signature: str | None = None
    for part in message.parts:
        if isinstance(part, ReasoningPart) and not part.content:
            signature = part.signature
            continue
        wire = _encode_part(part, names)
        if signature is not None:
            wire["thoughtSignature"], signature = signature, None
        parts.append(wire)
    return parts


def _encode_part(part: Part, names: dict[str, str]) -> dict[str, Any]:
    match part:
        case TextPart(content=text) | RefusalPart(content=text):
            return {"text": text}
        case ReasoningPart(content=text, signature=signature):
            signed = {} if signature is None else {"thoughtSignature": signature}
            return {"text": text, "thought": True, **signed}
        case ToolCallPart():
            arguments = parse_arguments(part.arguments)
            call = {"name": part.name, "args": arguments if isinstance(arguments, dict) else {}}
            return {"functionCall": _with_id(call, part.id)}
        case ToolResponsePart():
            name = names.get(part.id) or part.id.partition("#")[0]
            return {
                "functionResponse": _with_id({"name": name, "response": {"output": part.response}}, part.id)
            }
        case FilePart(uri=str(uri)) if uri.startswith("data:"):
            head, _, data = uri.partition(",")
            return {"inlineData": {"mimeType": head.removeprefix("data:").partition(";")[0], "data": data}}
        case FilePart(uri=str(uri)):
            kind = {} if part.mime_type is None else {"mimeType": part.mime_type}
            return {"fileData": {**kind, "fileUri": uri}}
        case FilePart():
            raise DialectError(
                f"a {part.modality} part without a uri cannot be sent",
                next_step="keep the bytes where a uri reaches them and name it in the part",
            )


def _with_id(wire: dict[str, Any], call_id: str) -> dict[str, Any]:
    """Return a call or result with its id, unless we made the id because it had none."""
    return wire if "#" in call_id else {"id": call_id, **wire}


def _encode_tool(tool: ToolSchema) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": tool.name}
    if tool.description:
        wire["description"] = tool.description
    if tool.parameters:
        wire["parametersJsonSchema"] = tool.parameters
    return wire
