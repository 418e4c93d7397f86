"""Replacements in a text that came in pieces: the pieces keep their borders, also where a match spans two.

A secret in a streamed reply is seldom whole in one piece, so pieces are joined, cleaned as one text, and the
difference is mapped back to the pieces.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import msgspec

from harness.wire.matching import PSEUDONYM

Clean = Callable[[str], str]
_MOST_EDITS = 64
"""Most edits that are searched one by one; the cost of the search expression grows with them."""


class Edit(msgspec.Struct, frozen=True):
    """Characters `start` to `end` of a text become `new`."""

    start: int
    end: int
    new: str


def clean_pieces(pieces: Sequence[str], clean: Clean) -> list[str] | None:
    """Return the pieces of a text after it was cleaned as a whole; `None` if it was clean."""
    text = "".join(pieces)
    cleaned = clean(text)
    return None if cleaned is text or cleaned == text else apply_edits(pieces, find_edits(text, cleaned))


def find_edits(text: str, clean: str) -> list[Edit]:
    """Return what a redactor replaced: `clean` is `text` with some parts as pseudonyms.

    Where more than that was changed (JSON inside a string written anew), the whole text is one edit.
    """
    if text == clean:
        return []
    kept = PSEUDONYM.split(clean)
    names = [found[0] for found in PSEUDONYM.finditer(clean)]
    pattern = "(.+?)".join(re.escape(part) for part in kept)
    found = re.fullmatch(pattern, text, re.DOTALL) if len(names) <= _MOST_EDITS else None
    if found is None:
        return [Edit(0, len(text), clean)]
    spans = [found.span(i) for i in range(1, len(names) + 1)]
    return [
        Edit(start, end, name)
        for (start, end), name in zip(spans, names, strict=True)
        if text[start:end] != name
    ]


def apply_edits(pieces: Sequence[str], edits: Sequence[Edit]) -> list[str]:
    """Return as many pieces with the edits made; what replaces a part stands in the piece where it began.

    Args:
        pieces: Pieces of a text.
        edits: Of the joined text, by place, not overlapping.
    """
    ends = list(accumulate(map(len, pieces)))
    starts = [0, *ends[:-1]]
    kept: list[list[str]] = [[] for _ in pieces]
    text = "".join(pieces)
    done = 0
    for edit in [*edits, Edit(len(text), len(text), "")]:
        _spread(text, done, edit.start, starts, kept)
        if edit.new:
            kept[min(bisect_right(starts, edit.start) - 1, len(pieces) - 1)].append(edit.new)
        done = edit.end
    return ["".join(parts) for parts in kept]


def _spread(text: str, start: int, end: int, starts: list[int], kept: list[list[str]]) -> None:
    """Put text that stays into the pieces it came from."""
    at = bisect_right(starts, start) - 1
    while start < end:
        stop = min(end, starts[at + 1]) if at + 1 < len(starts) else end
        kept[at].append(text[start:stop])
        start, at = stop, at + 1
