"""Server-sent events: parse bytes that arrive in arbitrary pieces.

This follows the WHATWG event stream format with two exceptions for recorded traffic: `finish()` returns an event
without its closing blank line, and blanks before `data:` are ignored.
"""

from __future__ import annotations

import re

import msgspec

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"[\r\n]")


class SseEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a stream.

    Attributes:
        data: The data lines, joined by line feeds.
        event: The event's name.
        id: The event's id, if it has one.
    """

    data: str
    event: str = "message"
    id: str | None = None


class SseParser:
    """Collects events from bytes as they arrive; lines may end in CR, LF or both, even across pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._after_cr = False
        self._started = False
        self._data: list[str] = []
        self._event = ""
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that this piece completes."""
        self._buffer += chunk
        if not self._started and not self._skip_bom(final=False):
            return []
        events: list[SseEvent] = []
        start = 0
        buffer = self._buffer
        if self._after_cr and buffer:
            start = 1 if buffer[0] == 0x0A else 0
            self._after_cr = False
        position = max(start, self._searched)
        while (end := _line_end(buffer, position)) >= 0:
            self._line(buffer[start:end], events)
            start = end + 1
            if buffer[end] == 0x0D:
                if start < len(buffer):
                    start += buffer[start] == 0x0A
                else:
                    self._after_cr = True
            position = start
        del buffer[:start]
        self._searched = len(buffer)
        return events

    def finish(self) -> list[SseEvent]:
        """Return the last event if its closing blank line is missing; the parser is then empty."""
        events: list[SseEvent] = []
        if not self._started:
            self._skip_bom(final=True)
        if self._buffer:
            self._line(self._buffer, events)
            self._buffer = bytearray()
            self._searched = 0
        self._dispatch(events)
        return events

    def take_lines(self, lines: list[bytes]) -> list[SseEvent]:
        """Return the events of a whole body that is already split into lines."""
        events: list[SseEvent] = []
        for line in lines:
            self._line(line, events)
        self._dispatch(events)
        return events

    def _skip_bom(self, *, final: bool) -> bool:
        if not final and len(self._buffer) < len(_BOM) and _BOM.startswith(bytes(self._buffer)):
            return False
        if self._buffer.startswith(_BOM):
            del self._buffer[: len(_BOM)]
        self._started = True
        return True

    def _line(self, raw: bytes | bytearray, events: list[SseEvent]) -> None:
        if not raw:
            self._dispatch(events)
            return
        line = raw.decode("utf-8", "replace")
        if line.startswith("data: "):
            self._data.append(line[6:])
            return
        if line.startswith(" ") and line.lstrip(" ").startswith("data:"):
            line = line.lstrip(" ")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _dispatch(self, events: list[SseEvent]) -> None:
        if self._data:
            data = "\n".join(self._data)
            events.append(SseEvent(data=data, event=self._event or "message", id=self._id))
        self._data = []
        self._event = ""


def parse_sse(body: bytes) -> list[SseEvent]:
    """Return all events of a whole body."""
    parser = SseParser()
    if b"\r" in body:
        return [*parser.feed(body), *parser.finish()]
    return parser.take_lines(body.removeprefix(_BOM).split(b"\n"))


def _line_end(buffer: bytearray, start: int) -> int:
    found = _LINE_END.search(buffer, start)
    return -1 if found is None else found.start()
