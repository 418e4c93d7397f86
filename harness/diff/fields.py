"""Which fields differ inside one aligned pair of calls.

Each difference is shown once, at the call it belongs to: the arguments a model chose are the arguments of the
tool calls of its step, so a model call lists the names it asked for and not their arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET

from harness.diff.document import Call, Change
from harness.diff.lcs import common_pairs
from runtime.core.canonical import fingerprint
from runtime.core.trace import ModelStep, ToolStep

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


def call_changes(a: Call, b: Call) -> tuple[Change, ...]:
    """Return the fields that differ between two calls of one kind: what was decided and what came of it.

    Times, ids, tokens and money are no changes; they are the delta. Paths read `arguments.items[0].sku`.
    """
    if isinstance(a, ToolStep) and isinstance(b, ToolStep):
        return tuple(_tool_changes(a, b))
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
