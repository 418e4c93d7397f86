"""The strings of JSON text, found in place: also where the text is cut off or is only nearly JSON.

No parser is used: offsets in the text are kept, so that a replacement changes no other byte, and nesting costs no
stack.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

_STRING = re.compile(rb'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)', re.DOTALL)
_NUMBER = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*(-?[0-9]{4,40})(?![0-9.eE])")
_COLON = re.compile(rb"[ \t\r\n]*:")
_PIECE = re.compile(
    rb"[^\\]+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|\\", re.DOTALL
)
_LIST_START, _LIST_NEXT, _VALUE = b":[", b",", b":"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A string or number of JSON text.

    Attributes:
        start: First byte of its content.
        end: Byte after its content.
        raw: The content as it stands in the text.
        name: The name it stands under, also as an item of that name's list; `None` for names and other items.
        is_number: Whether it is a number under a name.
    """

    start: int
    end: int
    raw: bytes
    name: str | None = None
    is_number: bool = False


def looks_like_json(data: bytes) -> bool:
    """Return whether text may be JSON by how it begins."""
    start = data[:64].lstrip()[:1]
    return start in (b"{", b"[") or (start == b'"' and data.rstrip().endswith(b'"') and b"\\" in data)


def leaves(data: bytes) -> Iterator[Leaf]:
    """Yield the strings of JSON text, names too, and the numbers that stand under a name."""
    name: str | None = None
    listed: str | None = None
    last = 0
    for found in _STRING.finditer(data):
        start, end = found.span(1)
        between = (
            data[last : found.start()].translate(None, b" \t\r\n") if found.start() - last <= 64 else b"?"
        )
        last = found.end()
        raw = found[1]
        if _COLON.match(data, last):
            yield Leaf(start, end, raw)
            name, listed = decoded(raw).decode("utf-8", "replace"), None
            number = _NUMBER.match(data, last)
            if number is not None:
                yield Leaf(*number.span(1), number[1], name, is_number=True)
            continue
        if between == _VALUE:
            owner = name
        elif between == _LIST_START:
            owner = listed = name
        else:
            owner = listed = listed if between == _LIST_NEXT else None
        name = None
        yield Leaf(start, end, raw, owner)


def decoded(raw: bytes) -> bytes:
    """Return what the content of a JSON string says; what is no JSON stays as it is."""
    if b"\\" not in raw:
        return raw
    try:
        text = json.loads(b'"' + raw + b'"', strict=False)
    except ValueError:
        return raw
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else raw


class Offsets:
    """Where the bytes of a decoded string stand in its escaped form."""

    def __init__(self, raw: bytes) -> None:
        self._plain = b"\\" not in raw or decoded(raw) == raw
        self._starts = [0]
        self._pieces: list[tuple[int, int, bool]] = []
        at = 0
        for found in () if self._plain else _PIECE.finditer(raw):
            escaped = found[0].startswith(b"\\")
            at += len(decoded(found[0])) if escaped else len(found[0])
            self._pieces.append((found.start(), found.end(), escaped))
            self._starts.append(at)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the escaped form's span of a decoded span; an escape is never split."""
        if self._plain:
            return start, end
        return self._place(start, 0), self._place(end - 1, 1)

    def _place(self, at: int, after: int) -> int:
        index = min(bisect_right(self._starts, at) - 1, len(self._pieces) - 1)
        start, end, escaped = self._pieces[index]
        if escaped:
            return end if after else start
        return start + at - self._starts[index] + after
