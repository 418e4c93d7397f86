"""Why a request has no recorded answer, in the words of replay: prompt, tool schema, model, upstream result, ..."""

from __future__ import annotations

import re
from typing import Any

import orjson

from harness.wire.exchange import HttpRequest, unpack

_HISTORY = re.compile(r"^\$\.(?P<list>messages|input|contents)\[(?P<index>\d+)\]")
_FIRST = re.compile(r"^\$\.(?P<name>\w+)")
_PROMPT = frozenset(
    {"system", "instructions", "systemInstruction", "system_instruction", "prompt", "preamble", "message"}
)
_TOOLS = frozenset({"tools", "toolConfig", "tool_config", "functions", "tool_choice"})
_MODEL = frozenset({"model", "modelId"})
_RESULTS = frozenset({"tool", "function"})
_RESULT_TYPES = frozenset({"tool_result", "function_call_output", "functionResponse", "toolResult"})


def miss_cause(request: HttpRequest, path: str | None) -> str:
    """Return the cause of a changed request.

    Args:
        request: The recorded request that is most like it.
        path: JSON path of the first difference.
    """
    place = path or ""
    history = _HISTORY.match(place)
    if history is not None:
        entry = _entry(request, history["list"], int(history["index"]))
        return "code" if entry is None else _of_message(entry)
    first = _FIRST.match(place)
    if first is None:
        return "code"
    name = first["name"]
    if name in _PROMPT or name in {"messages", "input", "contents"}:
        return "prompt" if name in _PROMPT else "code"
    if name in _TOOLS:
        return "tool schema"
    return "model" if name in _MODEL else "parameters"


def _of_message(entry: dict[str, Any]) -> str:
    role = str(entry.get("role") or "")
    if role in _RESULTS or str(entry.get("type") or "") in _RESULT_TYPES:
        return "upstream result"
    parts = entry.get("content") or entry.get("parts")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and (_RESULT_TYPES & part.keys() or part.get("type") in _RESULT_TYPES):
            return "upstream result"
    return "code" if role in {"assistant", "model"} or entry.get("type") == "function_call" else "prompt"


def _entry(request: HttpRequest, name: str, index: int) -> dict[str, Any] | None:
    try:
        entry = orjson.loads(unpack(request.body))[name][index]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return entry if isinstance(entry, dict) else None
