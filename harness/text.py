"""Text for terminals: foreign text made safe, cells of known width, plain aligned tables.

Text from recordings comes from models, tools and strangers. Nothing of it may move a cursor, change a colour,
turn the reading direction or hide itself, so every such character is shown as a visible escape.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

ELLIPSIS = "…"
DEFAULT_LIMIT = 200
"""Cells of one piece of foreign text by default."""
_MARKS_IN_A_ROW = 2
"""Combining marks drawn over one character; more are shown as escapes, or they would climb over other lines."""
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe_text(text: str, limit: int | None = DEFAULT_LIMIT) -> str:
    r"""Return text that changes nothing but its own cells on a terminal: one line, no control of any kind.

    Control characters (C0, C1, DEL), bidirectional and other invisible format characters, line separators,
    lone surrogates, private and unassigned code points are written as `\n`, `\x1b`, `\u202e` and so on.

    Args:
        text: Anything.
        limit: Most cells of the result; longer text ends in an ellipsis. `None` for no limit.
    """
    if text.isascii() and text.isprintable():
        if limit is None or len(text) <= limit:
            return text
        return text[: limit - 1] + ELLIPSIS if limit > 0 else ""
    pieces: list[tuple[str, int]] = []
    used = marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        shown = _escape(char) if marks > _MARKS_IN_A_ROW or not _is_harmless(char) else char
        cells = len(shown) if shown is not char else _cells(char)
        if limit is not None and used + cells > limit:
            return _cut(pieces, used, limit)
        pieces.append((shown, cells))
        used += cells
    return "".join(piece for piece, _ in pieces)


def safe_line(line: str, limit: int) -> str:
    """Return a line cut to a number of cells, made safe as `safe_text` does; trailing blanks are dropped."""
    return safe_text(line.rstrip(), limit)


def cell_width(text: str) -> int:
    """Return how many terminal cells a safe text takes: 2 for wide characters, 0 for combining marks."""
    return len(text) if text.isascii() else sum(_cells(char) for char in text)


def wrapped(head: str, words: Iterable[str], *, indent: int, width: int) -> list[str]:
    """Return words as lines of at most a width; the first begins with `head`, the others stand two cells deeper.

    A word that is longer than a line has a line of its own.
    """
    lines: list[str] = []
    line, fresh = " " * indent + head, True
    for word in words:
        if not fresh and cell_width(line) + 1 + cell_width(word) > width:
            lines.append(line)
            line, fresh = " " * (indent + 2), True
        line += word if fresh else f" {word}"
        fresh = False
    return [*lines, line.rstrip()]


def table(rows: Iterable[Sequence[str]], headers: Sequence[str], align: str | None = None) -> str:
    """Return rows as an aligned plain-text table with a header line, without trailing blanks.

    Args:
        rows: Cells of each row, as many as there are headers; they are made safe, cut at `DEFAULT_LIMIT`.
        headers: Column titles.
        align: One letter per column, `l` or `r`; `None` aligns all to the left.

    Raises:
        ValueError: If a row or `align` has another number of columns, or `align` another letter.
    """
    columns = len(headers)
    sides = align if align is not None else "l" * columns
    if len(sides) != columns or set(sides) - {"l", "r"}:
        raise ValueError(f"align {sides!r} must have one 'l' or 'r' for each of the {columns} columns")
    lines = [[safe_text(cell) for cell in row] for row in (headers, *rows)]
    for line in lines:
        if len(line) != columns:
            raise ValueError(f"row {line!r} has {len(line)} cells, the table has {columns} columns")
    widths = [max(cell_width(line[i]) for line in lines) for i in range(columns)]
    return "\n".join(
        "  ".join(
            _pad(cell, width, side) for cell, width, side in zip(line, widths, sides, strict=True)
        ).rstrip()
        for line in lines
    )


def _pad(cell: str, width: int, side: str) -> str:
    blanks = " " * (width - cell_width(cell))
    return blanks + cell if side == "r" else cell + blanks


def _cut(pieces: list[tuple[str, int]], used: int, limit: int) -> str:
    """Return the pieces with as many dropped from the end as the ellipsis needs."""
    if limit <= 0:
        return ""
    while pieces and used > limit - 1:
        used -= pieces.pop()[1]
    return "".join(piece for piece, _ in pieces) + ELLIPSIS


def _is_harmless(char: str) -> bool:
    # Spaces of other widths are no "printable" characters to Python, yet do no harm.
    return char.isprintable() or unicodedata.category(char) == "Zs"


def _escape(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _cells(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
