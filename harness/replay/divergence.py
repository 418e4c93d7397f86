"""Divergences: where a replayed run left its recording, and why."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runtime.errors import Signal

Verdict = Literal["moved", "changed", "repeated", "extra", "missing"]
Cause = Literal[
    "prompt",
    "tool schema",
    "parameters",
    "upstream result",
    "input",
    "count",
    "order",
    "policy",
    "budget",
    "control",
    "redaction",
    "code",
]

WINDOW = 60
"""Characters shown on each side of a change in a text."""


class EffectDivergence(msgspec.Struct, frozen=True, kw_only=True):
    """One effect that is not as recorded.

    Attributes:
        step: Step index.
        lane: What the effect is for.
        kind: Kind of effect.
        name: Tool or model name.
        verdict: How it differs.
        path: JSON path of the first difference inside it.
        cause: Why, as far as the recording tells.
        recorded: The recorded value around the difference.
        replayed: The value now.
        tainted: Whether it only follows from an earlier divergence.
    """

    step: int | None
    lane: str
    kind: str
    name: str | None
    verdict: Verdict
    path: str | None = None
    cause: Cause | None = None
    recorded: Any = None
    replayed: Any = None
    tainted: bool = False


class ReplayDivergence(Signal):
    """Ends a strict replay at its first divergence."""

    def __init__(self, divergence: EffectDivergence) -> None:
        self.divergence = divergence
        super().__init__(describe(divergence))


def describe(divergence: EffectDivergence) -> str:
    """Return one line about a divergence."""
    name = f" {divergence.name!r}" if divergence.name else ""
    where = f" at {divergence.path}" if divergence.path else ""
    cause = f" (cause: {divergence.cause})" if divergence.cause else ""
    return f"{divergence.lane}: {divergence.kind}{name} {divergence.verdict}{where}{cause}"


class Difference(msgspec.Struct, frozen=True):
    """The first place at which two JSON values differ."""

    path: str
    a: Any
    b: Any


def first_difference(a: Any, b: Any, path: str = "") -> Difference | None:
    """Return the first place, in order, at which two JSON values differ; `None` if they are equal."""
    if type(a) is type(b):
        if isinstance(a, dict):
            return _in_mapping(a, b, path)
        if isinstance(a, list | tuple):
            return _in_list(a, b, path)
    if a == b and isinstance(a, bool) == isinstance(b, bool):
        return None
    if isinstance(a, str) and isinstance(b, str):
        left, right = windows(a, b)
        return Difference(path, left, right)
    return Difference(path, a, b)


def _in_mapping(a: dict[str, Any], b: dict[str, Any], path: str) -> Difference | None:
    for name in [*a, *(n for n in b if n not in a)]:
        place = f"{path}.{name}" if path else name
        if name not in b:
            return Difference(place, a[name], None)
        if name not in a:
            return Difference(place, None, b[name])
        found = first_difference(a[name], b[name], place)
        if found is not None:
            return found
    return None


def _in_list(a: Any, b: Any, path: str) -> Difference | None:
    for i, (left, right) in enumerate(zip(a, b, strict=False)):
        found = first_difference(left, right, f"{path}[{i}]")
        if found is not None:
            return found
    if len(a) == len(b):
        return None
    shorter = min(len(a), len(b))
    return Difference(
        f"{path}[{shorter}]",
        a[shorter] if len(a) > shorter else None,
        b[shorter] if len(b) > shorter else None,
    )


def windows(a: str, b: str) -> tuple[str, str]:
    """Return the stretches of two texts around their first difference, cut ends shown by an ellipsis."""
    same = 0
    limit = min(len(a), len(b))
    while same < limit and a[same] == b[same]:
        same += 1
    start = max(same - WINDOW, 0)
    return _cut(a, start, same + WINDOW), _cut(b, start, same + WINDOW)


def _cut(text: str, start: int, end: int) -> str:
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
