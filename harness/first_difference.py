"""Where two JSON values first differ, and the stretch of two texts around it; for every message that says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec


class _Absent:
    """The side that has no such member or item."""

    def __repr__(self) -> str:
        return "<absent>"


ABSENT = _Absent()


class FirstDifference(msgspec.Struct, frozen=True):
    """The first place at which two JSON values differ, and both sides; `ABSENT` where one has nothing there."""

    path: str
    a: Any
    b: Any


def first_difference(a: Any, b: Any, path: str = "") -> FirstDifference | None:
    """Return the first place, in order, at which two JSON values differ; `None` if they are equal.

    Values are equal with their types, as in fingerprints: 1, 1.0 and true are three values.
    """
    if a is b:
        return None
    if isinstance(a, dict) and isinstance(b, dict):
        members = _members(a, b, path)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        members = _items(a, b, path)
    else:
        return None if type(a) is type(b) and a == b else FirstDifference(path, a, b)
    return next((found for found in (first_difference(*member) for member in members) if found), None)


def windows(a: str, b: str, width: int) -> tuple[str, str]:
    """Return so many characters of two texts on each side of their first difference; an ellipsis stands for a cut."""
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    start = max(at - width, 0)
    return _cut(a, start, at + width), _cut(b, start, at + width)


def _members(a: dict[str, Any], b: dict[str, Any], path: str) -> Iterator[tuple[Any, Any, str]]:
    for name in [*a, *(n for n in b if n not in a)]:
        yield a.get(name, ABSENT), b.get(name, ABSENT), f"{path}.{name}" if path else name


def _items(a: Any, b: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    for at in range(max(len(a), len(b))):
        yield a[at] if at < len(a) else ABSENT, b[at] if at < len(b) else ABSENT, f"{path}[{at}]"


def _cut(text: str, start: int, end: int) -> str:
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
