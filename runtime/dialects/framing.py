"""Streams other than server-sent events: one JSON array, or one JSON value a line, in arbitrary pieces.

Gemini streams a JSON array without `alt=sse`, and Ollama and Cohere stream JSON lines. Only complete elements are
returned, so a stream that is cut gives all elements before the cut.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]|"', re.DOTALL)
_OPENING = b"[{"


class JsonArrayParser:
    """Collects the objects of one JSON array from bytes as they arrive.

    Attributes:
        closed: Whether the array's end was seen.
    """

    def __init__(self) -> None:
        self.closed: bool = False
        self._buffer = bytearray()
        self._scanned = 0
        self._depth = 0
        self._start = 0

    def feed(self, chunk: bytes) -> list[str]:
        """Return the text of the elements that this piece completes; text between elements is skipped."""
        self._buffer += chunk
        found: list[str] = []
        for token in _TOKEN.finditer(self._buffer, self._scanned):
            first = self._buffer[token.start()]
            if token.end() - token.start() == 1 and first == 0x22:
                # The element is not complete yet. It is parsed again when more text has arrived.
                self._scanned = token.start()
                break
            self._scanned = token.end()
            if first == 0x22 or self.closed:
                continue
            if first in _OPENING:
                self._depth += 1
                if self._depth == 2:
                    self._start = token.start()
                continue
            self._depth -= 1
            if self._depth == 1:
                found.append(self._buffer[self._start : token.end()].decode("utf-8", "replace"))
            self.closed = self._depth <= 0
        done = self._scanned if self._depth < 2 else self._start
        del self._buffer[:done]
        self._scanned -= done
        self._start -= done
        return found

    @property
    def is_cut(self) -> bool:
        """Whether the stream ended before the array did."""
        return not self.closed


def parse_json_array(body: bytes) -> list[str]:
    """Return the text of all complete objects of an array."""
    return JsonArrayParser().feed(body)


def parse_json_lines(body: bytes) -> list[str]:
    """Return the lines of a body that are not empty; the last one needs no line end."""
    return [line for line in body.decode("utf-8", "replace").splitlines() if line.strip()]
