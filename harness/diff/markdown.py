"""A diff as Markdown, for comments on pull requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.diff.document import CallDiff, TraceDiff
from harness.diff.wording import (
    SIGNS,
    TOTALS_HEADERS,
    change_text,
    counts_text,
    delta_text,
    divergence_text,
    totals_rows,
)
from harness.text import safe_text

MOST_CALLS = 100
"""Differing calls that are listed; a comment has a largest size."""
MOST_CHANGES = 20
"""Changes listed of one call."""
_CHANGE_CELLS = 160
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&!$])")
_LINKING = re.compile(r"(@|#|://|www\.)")
_NO_LINK = r"\1&#8203;"
"""A space without width: a backslash keeps GitHub from no mention, issue link or address."""


def render_markdown(diff: TraceDiff) -> str:
    """Return a diff as Markdown: verdict, warnings, totals, differing calls.

    Foreign text can form no markup, mention or link. At most `MOST_CALLS` calls are listed; the rest is counted.
    """
    a, b = diff.a, diff.b
    lines = [f"### Diff: {diff.verdict}", ""]
    lines += [f"- {_plain(cause)}" for cause in diff.causes]
    lines += [f"- warning: {_plain(warning)}" for warning in diff.comparability]
    if diff.causes or diff.comparability:
        lines.append("")
    stop = (
        _plain(a.stop_reason)
        if a.stop_reason == b.stop_reason
        else f"{_plain(a.stop_reason)} → {_plain(b.stop_reason)}"
    )
    lines += [
        f"A: {_plain(a.request_id)} · B: {_plain(b.request_id)} · stop reason: {stop}",
        "",
        *_table(totals_rows(a.totals, b.totals), TOTALS_HEADERS, "lrrrr"),
        "",
        f"First divergence: {_plain(divergence_text(diff.first_divergence))}",
        "",
        f"Calls: `{counts_text(diff)}`",
    ]
    if a.output != b.output:
        lines += ["", f"Output: {_plain(change_text(a.output, b.output, _CHANGE_CELLS))}"]
    changed = [entry for entry in diff.entries if isinstance(entry, CallDiff)]
    if changed:
        rows = [row for entry in changed[:MOST_CALLS] for row in _rows(entry)]
        lines += ["", *_table(rows, ("", "A", "B", "call", "difference"), "crrll")]
    if len(changed) > MOST_CALLS:
        lines += ["", f"{len(changed) - MOST_CALLS} more differing calls are not listed."]
    return "\n".join(lines) + "\n"


def _rows(entry: CallDiff) -> Iterator[tuple[str, ...]]:
    at_a, at_b = ("" if at is None else str(at) for at in (entry.a, entry.b))
    name = entry.name + (" (write)" if entry.write else "")
    yield SIGNS[entry.op], at_a, at_b, name, delta_text(entry.delta)
    for change in entry.changes[:MOST_CHANGES]:
        text = change_text(change.a, change.b, _CHANGE_CELLS)
        yield "", "", "", "", f"{safe_text(change.path, 60)}: {text}"
    if len(entry.changes) > MOST_CHANGES:
        yield "", "", "", "", f"{len(entry.changes) - MOST_CHANGES} more changes"


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str], align: str) -> Iterator[str]:
    rules = {"l": ":--", "r": "--:", "c": ":-:"}
    yield "| " + " | ".join(headers) + " |"
    yield "| " + " | ".join(rules[side] for side in align) + " |"
    for row in rows:
        yield "| " + " | ".join(_plain(cell) for cell in row) + " |"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    escaped = _SPECIAL.sub(r"\\\1", safe_text(text, 2 * _CHANGE_CELLS))
    return _LINKING.sub(_NO_LINK, escaped)
