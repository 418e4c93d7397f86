"""Render a report as Markdown that fits into a pull-request comment.

Names come from recordings and may hold anything. So every foreign text is put into a code span, where Markdown, HTML,
mentions and references are plain text. Characters that could end the span or the table cell are replaced. A zero-width
space follows each at sign, for tools that look for mentions in the source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.reports.render import (
    METRIC_HEADERS,
    SHARE_HEADERS,
    TASK_HEADERS,
    TOTAL_HEADERS,
    attribution_cells,
    metric_cells,
    pairs_line,
    passed_lines,
    reproduce_command,
    segment_cells,
    share_cells,
    shown_shares,
    task_cells,
    top_tasks,
    total_cells,
    verdict_line,
)
from harness.reports.report import Report
from harness.reports.words import metric_words
from harness.text import safe_text

MARKER = "<!-- goldrun-report -->"
"""First line of the comment, by which a bot finds the comment to update."""

LIMIT_BYTES = 60_000
_TASKS = 50
_CUT = "\n(cut to fit a comment)\n"
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~&!$])")
_LINKING = re.compile(r"(@|#|://|www\.)")
_NO_LINK = r"\1&#8203;"
"""A zero-width space. A backslash would not keep GitHub from making a mention, an issue link or a mail address."""


def render_markdown(report: Report) -> str:
    """Return the report as GitHub Markdown of at most `LIMIT_BYTES` bytes, ending in a newline."""
    sections = [f"{MARKER}\n### {_plain(verdict_line(report))}\n\n{_plain(pairs_line(report))}\n"]
    sections += _list("Why", report.causes)
    sections += _list("Mind", report.comparability)
    sections.append(_table(METRIC_HEADERS, map(metric_cells, report.metrics)))
    sections.append(_table(SHARE_HEADERS, map(share_cells, shown_shares(report))))
    sections.append(_table(TOTAL_HEADERS, map(total_cells, report.totals)))
    sections += [f"{_plain(line)}\n" for line in passed_lines(report) if line]
    if report.attribution is not None:
        title = f"why {metric_words(report.attribution.measure)} per run changed"
        sections.append(_table((title, ""), attribution_cells(report.attribution)))
        if report.attribution.segments:
            sections.append(_table(("by prompt segment", ""), segment_cells(report.attribution)))
    sections.append(f"Again: {code(reproduce_command(report), 1000)}\n")
    shown = top_tasks(report, _TASKS)
    if shown:
        rows = [[code(cells[0]), *map(_plain, cells[1:])] for cells in map(task_cells, shown)]
        sections.append(f"<details><summary>Tasks</summary>\n\n{_rows(TASK_HEADERS, rows)}\n</details>\n")
    return _fitting(sections)


def code(text: str, limit: int = 200) -> str:
    """Return foreign text as a code span that is safe in a table cell."""
    shown = safe_text(text, limit).replace("`", "'").replace("|", "\\|").replace("@", "@\u200b")
    return f"`{shown}`" if shown.strip() else "` `"


def _plain(text: str) -> str:
    return _LINKING.sub(_NO_LINK, _MARKUP.sub(r"\\\1", safe_text(text, 500)))


def _list(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    return [f"**{title}**\n\n" + "\n".join(f"- {_plain(line)}" for line in lines) + "\n"]


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _rows(headers, [[_plain(cell) for cell in row] for row in rows])


def _rows(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _fitting(sections: list[str]) -> str:
    """Return the sections joined, without the last ones if they do not fit."""
    text = "\n".join(sections)
    while len(text.encode("utf-8")) > LIMIT_BYTES and len(sections) > 1:
        sections = sections[:-1]
        text = "\n".join(sections) + _CUT
    return text
