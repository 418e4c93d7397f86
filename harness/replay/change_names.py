"""Say in a few words what changed between two runs: a word of a prompt, a tool's schema, a setting.

Each function returns the half line that follows the cause in a report: `'small' -> 'little'`,
`tool order.count added`, `tool_retry.attempts 2 -> 4`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from harness.first_difference import ABSENT, FirstDifference, first_difference
from runtime.core.messages import ToolSchema
from runtime.core.policy import RetryPolicy
from runtime.core.run import Header

SHOWN_CHARS = 44
"""Longest form of one side of a change."""
SHOWN_CHANGES = 2
"""How many changes of one kind a line names."""
_RETRY = RetryPolicy.__struct_fields__
_LIMITS = ("max_steps", "max_seconds", "max_usd", "max_tokens", "max_tool_calls", "max_parallel")
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")


def value_change(path: str, before: Any, now: Any) -> str:
    """Return `path before -> now`; texts by their changed words, what is not there as `nothing`."""
    if isinstance(before, str) and isinstance(now, str):
        return f"{path} {text_change(before, now)}"
    return f"{path} {shown(before)} -> {shown(now)}"


def text_change(before: str, now: str) -> str:
    """Return the changed stretch of two texts, cut at words."""
    a, b = _TOKEN.findall(before), _TOKEN.findall(now)
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    old, new = "".join(a[start : len(a) - end]), "".join(b[start : len(b) - end])
    if not old:
        return f"added {shown(new)}"
    if not new:
        return f"removed {shown(old)}"
    return f"{shown(old)} -> {shown(new)}"


def shown(value: Any) -> str:
    """Return a value as short text."""
    if value is ABSENT:
        return "nothing"
    if isinstance(value, Decimal):
        return str(value)
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 2]}…{text[-1]}"


def difference_text(found: FirstDifference) -> str:
    """Return a first difference in words."""
    return value_change(found.path, found.a, found.b)


def schema_change(before: tuple[ToolSchema, ...], now: tuple[ToolSchema, ...]) -> str | None:
    """Return what changed in the tools a model is sent; `None` where they are equal."""
    old, new = {t.name: t for t in before}, {t.name: t for t in now}
    removed = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    if len(removed) == len(added) == 1 and _body(old[removed[0]]) == _body(new[added[0]]):
        return f"tool {removed[0]} renamed to {added[0]}"
    changes = [f"tool {name} added" for name in added]
    changes += [f"tool {name} removed" for name in removed]
    for name, tool in old.items():
        if name in new:
            changes += _tool_changes(tool, new[name])
    if not changes and list(old) != list(new):
        changes.append("tools in another order")
    return joined(changes)


def joined(changes: list[str]) -> str | None:
    """Return the first changes of a list, and how many more there are; `None` for none."""
    more = len(changes) - SHOWN_CHANGES
    text = "; ".join(changes[:SHOWN_CHANGES])
    return f"{text}; and {more} more" if more > 0 else text or None


def settings_change(name: str, before: Any, now: Any, fields: tuple[str, ...]) -> str | None:
    """Return the settings of a group that differ, like `tool_retry.attempts 2 -> 4`; `None` where none does."""
    pairs = [(field, getattr(before, field), getattr(now, field)) for field in fields]
    return joined([f"{name}.{field} {shown(a)} -> {shown(b)}" for field, a, b in pairs if a != b])


def retry_change(before: Header, now: Header | None) -> str | None:
    """Return what changed in the retry schedules; `None` where nothing did or the new ones are unknown."""
    if now is None:
        return None
    found = [
        settings_change("tool_retry", before.tool_retry, now.tool_retry, _RETRY),
        settings_change("model_retry", before.model_retry, now.model_retry, _RETRY),
    ]
    return "; ".join(text for text in found if text is not None) or None


def limit_change(before: Header, now: Header | None) -> str | None:
    """Return what changed in the limits that can end a run; `None` where nothing did."""
    if now is None:
        return None
    found = settings_change("budget", before.budget, now.budget, _LIMITS)
    if found is None and before.policy.loop != now.policy.loop:
        found = f"policy.loop {_limits(before.policy.loop)} -> {_limits(now.policy.loop)}"
    return found


def _limits(limits: msgspec.Struct | None) -> str:
    return "none" if limits is None else ", ".join(f"{n} {v}" for n, v in msgspec.to_builtins(limits).items())


def _body(tool: ToolSchema) -> Any:
    return tool.description, tool.parameters


def _tool_changes(before: ToolSchema, now: ToolSchema) -> Iterator[str]:
    if before.description != now.description:
        yield f"{before.name} description {text_change(before.description, now.description)}"
    if before.parameters == now.parameters:
        return
    name = before.name
    old, new = (_properties(t) for t in (before, now))
    gone, fresh = [p for p in old if p not in new], [p for p in new if p not in old]
    renamed = len(gone) == len(fresh) == 1 and old[gone[0]] == new[fresh[0]]
    if renamed:
        yield f"{name}: parameter {gone[0]} renamed to {fresh[0]}"
    else:
        yield from (f"{name}: parameter {p} removed" for p in gone)
        yield from (f"{name}: parameter {p} added" for p in fresh)
    needed, now_needed = _required(before), _required(now)
    for parameter in old:
        if parameter not in new:
            continue
        found = first_difference(old[parameter], new[parameter])
        if found is not None:
            yield difference_text(
                FirstDifference(f"{name}.{parameter} {found.path}".rstrip(), found.a, found.b)
            )
        elif (parameter in needed) != (parameter in now_needed):
            word = "required" if parameter in now_needed else "optional"
            yield f"{name}: parameter {parameter} is {word} now"
    same_names = not gone and not fresh and old == new
    if same_names and set(needed) == set(now_needed) and needed != now_needed:
        yield f"{name}: parameters in another order"
    elif same_names and needed == now_needed:
        found = first_difference(before.parameters, now.parameters, name)
        yield difference_text(found) if found is not None else f"{name}: parameters in another order"


def _properties(tool: ToolSchema) -> dict[str, Any]:
    found = tool.parameters.get("properties", {})
    return found if isinstance(found, dict) else {}


def _required(tool: ToolSchema) -> list[str]:
    found = tool.parameters.get("required", [])
    return [str(name) for name in found] if isinstance(found, list) else []
