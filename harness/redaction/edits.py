"""Replacements in a text, whole or in pieces; pieces keep their number and their borders."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class TextEdit:
    """Bytes `start` to `end` become `new`."""

    start: int
    end: int
    new: bytes


def apply_edits(data: bytes, edits: Sequence[TextEdit]) -> bytes:
    """Return a text with edits made; they are in order and do not overlap."""
    parts: list[bytes] = []
    done = 0
    for edit in edits:
        parts += (data[done : edit.start], edit.new)
        done = edit.end
    return b"".join((*parts, data[done:]))


def edit_pieces(pieces: Sequence[bytes], edits: Sequence[TextEdit]) -> list[bytes]:
    """Return as many pieces with edits of their joined text made; what is new stands where its edit begins."""
    starts = [0, *accumulate(map(len, pieces))]
    own: list[list[TextEdit]] = [[] for _ in pieces]
    for edit in edits:
        at = min(bisect_right(starts, edit.start) - 1, len(pieces) - 1)
        new = edit.new
        while at < len(pieces) and (starts[at] < edit.end or new):
            begin = starts[at]
            own[at].append(TextEdit(max(edit.start - begin, 0), min(edit.end - begin, len(pieces[at])), new))
            new, at = b"", at + 1
    return [apply_edits(piece, own[at]) if own[at] else piece for at, piece in enumerate(pieces)]
