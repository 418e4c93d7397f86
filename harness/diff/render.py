"""A diff as text for terminals, and as a few lines of figures."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diff.document import CallDiff, Op, SameRun, TraceDiff
from harness.diff.wording import (
    SIGNS,
    TOTALS_HEADERS,
    change_text,
    counts_text,
    delta_text,
    divergence_text,
    totals_rows,
)
from harness.text import safe_line, safe_text, table
from runtime.core.trace import Trace

LEAST_WIDTH = 40
_RESET = "\x1b[0m"
_COLORS: dict[Op, str] = {
    "same": "\x1b[2m",
    "changed": "\x1b[33m",
    "moved": "\x1b[36m",
    "added": "\x1b[32m",
    "removed": "\x1b[31m",
    "repeated": "\x1b[35m",
}
_VERDICT_COLORS = {
    "same": "\x1b[32m",
    "changed": "\x1b[33m",
    "regressed": "\x1b[31m",
    "not_comparable": "\x1b[31m",
}
_WARNING = "\x1b[33m"


def render_text(diff: TraceDiff, *, color: bool = False, width: int = 110) -> str:
    """Return a diff for people: warnings, verdict, totals, first divergence, aligned calls.

    Runs of equal calls take one line. Foreign text is made safe, and no line takes more than `width` cells.

    Args:
        diff: What to show.
        color: Whether to add ANSI colours; nothing else in the result is a control.
        width: Terminal width in cells, at least 40.
    """
    cells = max(width, LEAST_WIDTH)
    lines = [*_head(diff), *_body(diff, cells)]
    return "\n".join(_painted(safe_line(line, cells), paint if color else "") for paint, line in lines) + "\n"


def render_stat(diff: TraceDiff) -> str:
    """Return a diff as four lines: verdict, calls by op, stop reasons, what the calls used more or less."""
    a, b = diff.a, diff.b
    used = delta_text(diff.delta) or "nothing more or less"
    lines = [
        f"verdict  {diff.verdict}",
        f"calls    {counts_text(diff)}",
        f"stop     {_sides(a.stop_reason, b.stop_reason)}",
        f"used     {used}",
    ]
    return "\n".join(lines) + "\n"


def _head(diff: TraceDiff) -> Iterator[tuple[str, str]]:
    a, b = diff.a, diff.b
    yield "", f"A  {_run_text(a)}"
    yield "", f"B  {_run_text(b)}"
    for warning in diff.comparability:
        yield _WARNING, f"warning: {warning}"
    yield "", ""
    paint = _VERDICT_COLORS[diff.verdict]
    yield paint, f"verdict: {diff.verdict}"
    for cause in diff.causes:
        yield paint, f"  {cause}"
    yield "", f"stop reason: {_sides(a.stop_reason, b.stop_reason)}"
    if a.output == b.output:
        yield "", "output: same"


def _body(diff: TraceDiff, width: int) -> Iterator[tuple[str, str]]:
    a, b = diff.a, diff.b
    if a.output != b.output:
        yield _COLORS["changed"], f"output: {change_text(a.output, b.output, width - 8)}"
    yield "", ""
    for line in table(totals_rows(a.totals, b.totals), TOTALS_HEADERS, "lrrrr").splitlines():
        yield "", line
    yield "", ""
    yield "", f"first divergence: {divergence_text(diff.first_divergence)}"
    yield "", ""
    yield "", f"calls: {counts_text(diff)}"
    yield "", f"{'':1} {'A':>9} {'B':>9}"
    for entry in diff.entries:
        yield from _entry(diff, entry, width)


def _entry(diff: TraceDiff, entry: SameRun | CallDiff, width: int) -> Iterator[tuple[str, str]]:
    if isinstance(entry, SameRun):
        delta = delta_text(diff.run_delta(entry))
        text = f"{entry.count} calls the same" if entry.count > 1 else "1 call the same"
        positions = f"{_span(entry.a, entry.count):>9} {_span(entry.b, entry.count):>9}"
        yield _COLORS["same"], f"= {positions}  {text}  {delta}"
        return
    paint = _COLORS[entry.op]
    at_a, at_b = ("" if at is None else str(at) for at in (entry.a, entry.b))
    write = " [write]" if entry.write else ""
    name = safe_text(entry.name, 60)
    yield paint, f"{SIGNS[entry.op]} {at_a:>9} {at_b:>9}  {name}{write}  {delta_text(entry.delta)}"
    for change in entry.changes:
        path = safe_text(change.path, width // 3)
        room = width - 26 - len(path)
        yield paint, f"{'':24}{path}: {change_text(change.a, change.b, room)}"


def _span(start: int, count: int) -> str:
    return str(start) if count == 1 else f"{start}..{start + count - 1}"


def _run_text(trace: Trace) -> str:
    facts = (
        ("", trace.request_id),
        ("task", trace.task),
        ("agent", trace.agent),
        ("deploy", trace.deploy),
        ("source", trace.source),
    )
    return "  ".join(f"{title} {safe_text(value, 60)}".strip() for title, value in facts if value)


def _sides(a: str, b: str) -> str:
    return safe_text(a) if a == b else f"{safe_text(a)} -> {safe_text(b)}"


def _painted(line: str, paint: str) -> str:
    return f"{paint}{line}{_RESET}" if paint and line else line
