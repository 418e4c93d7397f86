"""Best-effort sinks: a bounded queue and a thread for each, so that one that blocks or raises stops nothing.

A sink is required or best effort. A required one takes each event before the effect goes on, and what it cannot keep is
not done: the audit log, and any sink of yours that does not say `required = False`. A best-effort one, as log lines and
metrics are, is served by a thread of its own, in order. What it raises is lost, and so is what comes while its queue is
full. Losses are counted in `lost`, and reported through the logger `goldrun`.
"""

from __future__ import annotations

import atexit
import contextvars
import logging
import threading
import time
import weakref
from collections import deque
from weakref import WeakKeyDictionary

from runtime.observability.event import Event, EventSink

MOST_WAITING = 4096
_REPORT_S = 10.0
"""Losses are reported at most so often."""
_IDLE_S = 1.0
"""How long a thread waits for a further event before it ends."""
_EXIT_S = 2.0
"""How long the end of the process waits for sinks."""

_log = logging.getLogger("goldrun")


def is_required(sink: EventSink) -> bool:
    """Return whether what a sink cannot keep must not be done."""
    return bool(getattr(sink, "required", True))


class BestEffortQueue:
    """The events that wait for a best-effort sink.

    Attributes:
        lost: Events that it did not take.
    """

    def __init__(self, sink: EventSink, *, most: int = MOST_WAITING) -> None:
        """Serve a sink; its thread begins with the first event."""
        self._sink = weakref.ref(sink)
        self._name = type(sink).__name__
        self._most = most
        self._waiting: deque[tuple[contextvars.Context, EventSink, Event]] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._thread: threading.Thread | None = None
        self._reported = 0
        self._reported_at = float("-inf")
        self._last_error = "its queue was full"
        self.lost: int = 0

    def take(self, event: Event) -> None:
        """Queue an event; never waits for the sink."""
        sink = self._sink()
        with self._changed:
            if sink is None or len(self._waiting) >= self._most:
                self.lost += 1
                return
            self._waiting.append((contextvars.copy_context(), sink, event))
            if self._thread is None:
                name = f"goldrun-sink-{self._name}"
                self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until the sink has got all that waits; false if it takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                if not self._changed.wait_for(lambda: bool(self._waiting), _IDLE_S):
                    self._thread = None  # the next event begins another
                    return
                context, sink, event = self._waiting.popleft()
                self._busy = True
            try:
                context.run(sink.take, event)
            except Exception as error:  # noqa: BLE001 - the edge where a sink's exception becomes a loss
                self.lost += 1
                self._last_error = f"{type(error).__name__}: {error}"
            del sink
            self._report()

    def _report(self) -> None:
        now = time.monotonic()
        if self.lost == self._reported or now - self._reported_at < _REPORT_S:
            return
        new, self._reported, self._reported_at = self.lost - self._reported, self.lost, now
        _log.warning(
            "the sink %s lost %d events, %d in all; last: %s",
            self._name,
            new,
            self.lost,
            self._last_error,
        )


_QUEUES: WeakKeyDictionary[EventSink, BestEffortQueue] = WeakKeyDictionary()
_LOCK = threading.Lock()


def queue_of(sink: EventSink) -> BestEffortQueue:
    """Return the one queue of a best-effort sink."""
    with _LOCK:
        found = _QUEUES.get(sink)
        if found is None:
            found = _QUEUES[sink] = BestEffortQueue(sink)
        return found


def flush_sinks(timeout_s: float = _EXIT_S) -> bool:
    """Wait until all best-effort sinks have got what waits for them; false if that takes too long."""
    ends = time.monotonic() + timeout_s
    with _LOCK:
        queues = list(_QUEUES.values())
    done = [queue.flush(max(0.0, ends - time.monotonic())) for queue in queues]
    return all(done)


atexit.register(flush_sinks)
