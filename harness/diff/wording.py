"""Words and figures that all forms of a diff share: signs, amounts, values cut to what differs."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from harness.diff.document import OPS, CallDiff, Delta, Divergence, Op, TraceDiff
from harness.diff.verdict import growth
from harness.text import safe_text
from runtime.core.canonical import canonical_bytes
from runtime.core.money import NANOS_PER_USD
from runtime.core.run import Totals

SIGNS: dict[Op, str] = {
    "same": "=",
    "changed": "~",
    "moved": ">",
    "added": "+",
    "removed": "-",
    "repeated": "r",
}
_LEAD = 16
"""Cells shown before the first difference of two long texts."""
_TOTALS = (
    ("steps", "steps"),
    ("model calls", "model_calls"),
    ("tool calls", "tool_calls"),
    ("tool executions", "tool_executions"),
    ("retries", "retries"),
    ("denials", "denials"),
    ("approvals", "approvals"),
    ("errors", "errors"),
    ("loops", "loops"),
    ("in doubt", "in_doubt"),
    ("input tokens", "input_tokens"),
    ("output tokens", "output_tokens"),
    ("cached tokens", "cache_read_tokens"),
    ("total tokens", "total_tokens"),
    ("cost", "cost_nanousd"),
    ("duration", "duration_s"),
    ("in models", "model_s"),
    ("in tools", "tool_s"),
)
_ALWAYS = frozenset({"steps", "model_calls", "tool_calls", "total_tokens", "cost_nanousd", "duration_s"})
TOTALS_HEADERS = ("", "A", "B", "delta", "%")


def totals_rows(a: Totals, b: Totals) -> list[tuple[str, str, str, str, str]]:
    """Return the rows of the totals table; counts that are 0 or unknown on both sides are left out."""
    rows = []
    for title, name in _TOTALS:
        before, now = getattr(a, name), getattr(b, name)
        if name not in _ALWAYS and not before and not now:
            continue
        if before is None or now is None:
            rows.append((title, _amount(name, before), _amount(name, now), "?", "?"))
            continue
        delta = _amount(name, now - before, sign=True)
        rows.append((title, _amount(name, before), _amount(name, now), delta, growth(before, now)))
    return rows


def delta_text(delta: Delta) -> str:
    """Return a delta as `+3 ms +12 tok +$0.000100`; parts that are 0 are left out, unknown ones are `?`."""
    parts = []
    if delta.seconds is None or abs(delta.seconds) >= 0.0005:
        parts.append("? ms" if delta.seconds is None else f"{delta.seconds * 1000:+,.0f} ms")
    if delta.tokens != 0:
        parts.append("? tok" if delta.tokens is None else f"{delta.tokens:+,} tok")
    if delta.nanousd != 0:
        parts.append(_amount("cost_nanousd", delta.nanousd, sign=True))
    return " ".join(parts)


def counts_text(diff: TraceDiff) -> str:
    """Return how many calls each op has: `= 23  ~ 1  > 0  + 1  - 0  r 0`."""
    counts = diff.counts
    return "  ".join(f"{SIGNS[op]} {counts[op]}" for op in OPS)


def place_text(call: CallDiff | Divergence) -> str:
    """Return a call's positions in both runs: `A 3, B 4`."""
    parts = [f"{side} {at}" for side, at in (("A", call.a), ("B", call.b)) if at is not None]
    return ", ".join(parts)


def divergence_text(first: Divergence | None) -> str:
    """Return where two runs first part, in words."""
    if first is None:
        return "none"
    if first.op is None:
        return f"{first.path}, after the same calls"
    field = "" if first.path is None else f" at {safe_text(first.path)}"
    return f"{place_text(first)}: {first.op} {safe_text(first.name or '')}{field}"


def change_text(a: Any, b: Any, limit: int) -> str:
    """Return one change as `before -> now`, made safe; of long texts the part where they part.

    Args:
        a: Value in A; `UNSET` if it has none.
        b: Value in B; `UNSET` if it has none.
        limit: Most cells of the result.
    """
    each = max((limit - 4) // 2, 8)
    before, now = value_text(a), value_text(b)
    if len(before) > each or len(now) > each:
        skip = _common_lead(before, now) - _LEAD
        if skip > 0:
            before, now = "…" + before[skip:], "…" + now[skip:]
    return f"{safe_text(before, each)} -> {safe_text(now, each)}"


def value_text(value: Any) -> str:
    """Return a value as one line of JSON; `(absent)` for a side that lacks it."""
    if value is msgspec.UNSET:
        return "(absent)"
    if isinstance(value, str):
        try:
            return orjson.dumps(value).decode()
        except TypeError:
            return repr(value)
    return canonical_bytes(value).decode()


def _amount(name: str, value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "?"
    if name == "cost_nanousd":
        mark = "-" if value < 0 else "+" if sign else ""
        return f"{mark}${abs(value) / NANOS_PER_USD:,.6f}"
    if name.endswith("_s"):
        return f"{value:{'+' if sign else ''},.3f} s"
    return f"{value:{'+' if sign else ''},}"


def _common_lead(a: str, b: str) -> int:
    size = min(len(a), len(b))
    return next((i for i in range(size) if a[i] != b[i]), size)
