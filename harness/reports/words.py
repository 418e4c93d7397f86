"""Format the numbers and names of a report for readers."""

from __future__ import annotations

_WORDS = {
    "cost_usd": "cost",
    "total_tokens": "tokens",
    "tool_calls": "tool calls",
    "duration_s": "duration",
    "steps": "steps",
}
_SHARES = {
    "completion": "completion",
    "passed": "passed",
    "loop": "runs stopped for a loop",
    "loops": "looping runs",
    "deny": "runs with a denied call",
    "tool_use": "runs that use tools",
}


def metric_words(name: str) -> str:
    """Return a metric's name in words."""
    return _WORDS.get(name, name)


def share_words(name: str) -> str:
    """Return a share's name in words."""
    kind, _, of = name.partition(":")
    if kind == "tool":
        return f"runs that use {of}"
    return _SHARES.get(name) or f"runs stopped by {of}"


def percent_change(ratio: float | None) -> str:
    """Return a ratio as a signed change in percent."""
    if ratio is None:
        return "new"
    change = (ratio - 1) * 100
    return f"{change:+.0f} %" if abs(change) >= 10 or round(change) == change else f"{change:+.1f} %"


def amount(metric: str, value: float | None) -> str:
    """Return a value of a metric with its unit; `n/a` if it is unknown."""
    if value is None:
        return "n/a"
    if metric == "cost_usd":
        return f"${value:,.6f}".rstrip("0").rstrip(".") if abs(value) < 1 else f"${value:,.2f}"
    if metric == "duration_s":
        return f"{value:,.1f} s"
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:,.2f}"


def plural(count: int, what: str) -> str:
    """Return a count with its noun."""
    if count == 1:
        return f"1 {what}"
    return f"{count} {'strata' if what == 'stratum' else f'{what}s'}"
