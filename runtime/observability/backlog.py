"""A sink with the events that wait for it because it failed."""

from __future__ import annotations

from runtime.observability.event import Event, EventSink

BACKLOG = 256
"""Events of one run that wait for a sink that fails."""


class Buffered:
    """A sink with the events that it has not taken yet. Whatever it raises means that it did not take one."""

    __slots__ = ("_sink", "lost", "waiting")

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self.waiting: list[Event] = []  # an empty deque has ten times the size
        self.lost: int = 0

    @property
    def is_full(self) -> bool:
        """Whether no more events can wait."""
        return len(self.waiting) >= BACKLOG

    def take(self, event: Event) -> bool:
        """Tell the sink of what waits and of one event; return whether it has kept all."""
        if not self.waiting:
            if not self._is_taken(event):
                self.waiting.append(event)
                return False
            return True
        if not self.is_full or self.flush():
            self.waiting.append(event)
            return self.flush()
        self.lost += 1
        return False

    def flush(self) -> bool:
        """Tell the sink of what waits; return whether nothing is left."""
        while self.waiting:
            if not self._is_taken(self.waiting[0]):
                return False
            del self.waiting[0]
        return True

    def _is_taken(self, event: Event) -> bool:
        try:
            self._sink.take(event)
        except Exception:  # noqa: BLE001 - the edge where a sink's exception becomes an event that was not kept
            return False
        return True
