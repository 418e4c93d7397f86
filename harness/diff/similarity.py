"""How alike two calls are: token Dice over flattened arguments or over the words of a reply."""

from __future__ import annotations

import re
from typing import Any

from harness.diff.document import Call
from runtime.core.canonical import fingerprint
from runtime.core.trace import ToolStep

MIN_SIMILARITY = 0.5
"""Least similarity of an aligned pair."""
MOVE_SIMILARITY = 0.8
"""Least similarity of a moved pair."""

_WORDS = re.compile(r"\w+")
_MOST_CHARS = 400
"""Start of one string that is looked at; the rest seldom tells calls apart and costs time in every pair."""
_MOST_TOKENS = 512


class Features:
    """What alignment looks at in one call, computed once.

    Attributes:
        group: The tool's name; `None` for a model call. Only calls of one group are alike.
        names: Names of a tool call's arguments; `None` where it has none or they are no object.
        args: Fingerprint of a tool call's arguments; empty where it has none or is a model call.
        tokens: `path` and `path=word` of the arguments, or the words and tool names of a reply.
    """

    __slots__ = ("args", "group", "names", "size", "tokens")

    def __init__(self, call: Call) -> None:
        self.group: str | None
        self.names: frozenset[str] | None = _argument_names(call)
        if isinstance(call, ToolStep):
            self.group = call.name
            self.args: str = args_key(call) if call.arguments else ""
            found = {"()"}
            _flatten(call.arguments, "", found)
        else:
            self.group = None
            self.args = ""
            found = {f"finish={call.finish_reason}", *(f"tool={name}" for name in call.tool_names)}
            _add_words("text", call.text, found)
        self.tokens: frozenset[str] = frozenset(found)
        self.size: int = len(found)


def args_key(call: ToolStep) -> str:
    """Return the fingerprint of a call's arguments, computed where the trace has none."""
    return call.args_hash or fingerprint(call.arguments)


def dice(a: Features, b: Features) -> float:
    """Return the share of tokens two calls have in common: 0 to 1, symmetric."""
    return 2 * len(a.tokens & b.tokens) / (a.size + b.size)


def likeness(a: Features, b: Features) -> float:
    """Return how alike two calls are for alignment: 0 to 1, symmetric; below `MIN_SIMILARITY` is no pair.

    Two decisions of a model are always alike enough, for each decides what comes next at its place; so are two
    calls of one tool with the same argument names, whatever the values. Calls of two tools are not alike, except
    that equal arguments under another name are a renamed call, just alike enough.
    """
    if a.group == b.group:
        if a.group is None:
            return (1 + dice(a, b)) / 2
        return max(dice(a, b), MIN_SIMILARITY) if a.names is not None and a.names == b.names else dice(a, b)
    if a.group is None or b.group is None:
        return 0.0
    return MIN_SIMILARITY if a.args and a.args == b.args else 0.0


def is_surely_alike(a: Call, b: Call) -> bool:
    """Return whether two calls are alike enough by kind, tool and argument names alone."""
    if not isinstance(a, ToolStep) or not isinstance(b, ToolStep):
        return type(a) is type(b)
    names = _argument_names(a)
    return a.name == b.name and names is not None and names == _argument_names(b)


def _argument_names(call: Call) -> frozenset[str] | None:
    if isinstance(call, ToolStep) and isinstance(call.arguments, dict) and call.arguments:
        return frozenset(call.arguments)
    return None


def _flatten(value: Any, path: str, found: set[str]) -> None:
    if len(found) >= _MOST_TOKENS:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            _flatten(item, f"{path}.{key}", found)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _flatten(item, f"{path}[{index}]", found)
    elif isinstance(value, str):
        found.add(path)
        _add_words(path, value, found)
    else:
        found.add(path)
        found.add(f"{path}={value!r}")


def _add_words(path: str, text: str, found: set[str]) -> None:
    lead = path + "="
    found.update([lead + word for word in _WORDS.findall(text[:_MOST_CHARS]) or (text,)])
