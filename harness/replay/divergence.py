"""Divergences: where a replayed run left its recording, and why."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runtime.errors import Signal

Verdict = Literal["moved", "changed", "repeated", "extra", "missing"]
Cause = Literal[
    "prompt",
    "tool schema",
    "model",
    "parameters",
    "retry",
    "upstream result",
    "input",
    "count",
    "order",
    "policy",
    "budget",
    "control",
    "redaction",
    "tool declaration",
    "network",
    "code",
]


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
        summary: What changed, in words; `None` where the place says all that is known.
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
    summary: str | None = None
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


def headline(divergence: EffectDivergence) -> str:
    """Return the cause and what changed, as the first line of a report: `prompt: 'small' -> 'little'`."""
    if divergence.summary is not None:
        what = divergence.summary
    else:
        name = f" {divergence.name}" if divergence.name else ""
        where = f" at {divergence.path}" if divergence.path else ""
        what = f"{divergence.kind}{name} {divergence.verdict}{where}"
    return f"{divergence.cause or 'unknown'}: {what}"
