"""Which fields differ inside one aligned pair of calls.

Each difference is shown once, at the call it belongs to: the arguments a model chose are the arguments of the
tool calls of its step, so a model call lists the names of its calls and not their arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from msgspec import UNSET, structs

from harness.diff.deep import ABSENT, ANY_ITEM, deep_differences, unordered
from harness.diff.document import Call, Change
from harness.diff.lcs import common_pairs
from runtime.core.canonical import canonical_bytes, fingerprint
from runtime.core.trace import ModelStep, ToolStep, Trace

_MODEL_FIELDS = (
    ("model", "request_model"),
    ("finish_reason", "finish_reason"),
    ("text", "text"),
    ("tool_calls", "tool_names"),
    ("error", "error"),
    ("attempts", "attempts"),
)
_TOOL_FIELDS = ("status", "result", "error", "write", "attempts")
_SHORT_LIST = 4
"""Lists up to this length are compared place by place; longer ones are aligned first."""


def call_changes(a: Call, b: Call, *, ignore_order: bool = False) -> tuple[Change, ...]:
    """Return the fields that differ between two calls of one kind: what was decided and what came of it.

    Times, ids, tokens and money are no changes; they are the delta. Paths read `arguments.items[0].sku`, and
    `arguments.items[*].sku` where the order of lists is ignored.
    """
    if isinstance(a, ToolStep) and isinstance(b, ToolStep):
        return tuple(_unordered_tool_changes(a, b) if ignore_order else _tool_changes(a, b))
    assert isinstance(a, ModelStep), "only calls of one kind are aligned"
    assert isinstance(b, ModelStep), "only calls of one kind are aligned"
    return tuple(_model_changes(a, b))


def value_changes(a: Any, b: Any, path: str) -> Iterator[Change]:
    """Yield where two JSON values differ; a member that one side lacks is `UNSET` there.

    Long lists are aligned by equal items first, so that one added item is one change.
    """
    if a is b:
        return
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}, key=str):
            below = f"{path}.{key}" if path else str(key)
            yield from value_changes(a.get(key, UNSET), b.get(key, UNSET), below)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        yield from _list_changes(a, b, path)
    elif not _equal(a, b):
        yield Change(path, a, b)


def unordered_trace(trace: Trace) -> Trace:
    """Return a run with the lists in the arguments and results of its tool calls sorted.

    Its tool calls have no stored fingerprints: those were made in the recorded order.
    """
    return structs.replace(
        trace,
        steps=tuple(
            structs.replace(step, tool_calls=tuple(map(_unordered_call, step.tool_calls)))
            for step in trace.steps
        ),
    )


def _unordered_call(call: ToolStep) -> ToolStep:
    found = _json_of(call.result)
    result = call.result if found is None else canonical_bytes(unordered(found)).decode()
    return structs.replace(call, arguments=unordered(call.arguments), result=result, args_hash="", hash="")


def _json_of(text: str | None) -> Any:
    """Return the object or list that a result is the JSON of; `None` for any other text."""
    if text is None or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _unordered_tool_changes(a: ToolStep, b: ToolStep) -> Iterator[Change]:
    before, now = _json_of(a.result), _json_of(b.result)
    parsed = before is not None and now is not None
    for change in _tool_changes(structs.replace(a, arguments=None), structs.replace(b, arguments=None)):
        if change.path != "result" or not parsed:
            yield change
    yield from _deep_changes(a.arguments, b.arguments, "arguments")
    if parsed:
        yield from _deep_changes(before, now, "result")


def _deep_changes(a: Any, b: Any, path: str) -> Iterator[Change]:
    for found in deep_differences({"value": a, "ignore_order": True}, b):
        place = path
        for part in found.path:
            place += f"[{part}]" if isinstance(part, int) else part if part == ANY_ITEM else f".{part}"
        yield Change(place, _side(found.expected), _side(found.actual))


def _side(value: Any) -> Any:
    if value is ABSENT:
        return UNSET
    return value if isinstance(value, dict | list | str | int | float | None) else repr(value)


def _tool_changes(a: ToolStep, b: ToolStep) -> Iterator[Change]:
    if a.name != b.name:
        yield Change("name", a.name, b.name)
    yield from value_changes(a.arguments, b.arguments, "arguments")
    for field in _TOOL_FIELDS:
        before, now = getattr(a, field), getattr(b, field)
        if before != now:
            yield Change(field, before, now)


def _model_changes(a: ModelStep, b: ModelStep) -> Iterator[Change]:
    for path, field in _MODEL_FIELDS:
        before, now = getattr(a, field), getattr(b, field)
        if before != now:
            yield Change(path, list(before), list(now)) if path == "tool_calls" else Change(path, before, now)


def _list_changes(a: Any, b: Any, path: str) -> Iterator[Change]:
    if len(a) == len(b) or max(len(a), len(b)) <= _SHORT_LIST:
        for index in range(max(len(a), len(b))):
            before = a[index] if index < len(a) else UNSET
            now = b[index] if index < len(b) else UNSET
            yield from value_changes(before, now, f"{path}[{index}]")
        return
    equal = common_pairs([fingerprint(item) for item in a], [fingerprint(item) for item in b])
    at_a = at_b = 0
    for end_a, end_b in [*equal, (len(a), len(b))]:
        while at_a < end_a and at_b < end_b:
            yield from value_changes(a[at_a], b[at_b], f"{path}[{at_b}]")
            at_a, at_b = at_a + 1, at_b + 1
        for index in range(at_a, end_a):
            yield Change(f"{path}[{index}]", a[index], UNSET)
        for index in range(at_b, end_b):
            yield Change(f"{path}[{index}]", UNSET, b[index])
        at_a, at_b = end_a + 1, end_b + 1


def _equal(a: Any, b: Any) -> bool:
    # 1 == True and 1 == 1.0 in Python; to a tool they are different arguments.
    return type(a) is type(b) and bool(a == b)
