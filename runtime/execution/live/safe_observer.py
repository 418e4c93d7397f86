"""A stream observer that cannot harm the run it watches: one that raises is reported and dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable

from runtime.ports.models import StreamObserver

_LOG = logging.getLogger("goldrun")


class SafeObserver:
    """Hands text on to an observer until that raises."""

    def __init__(self, observer: StreamObserver) -> None:
        self._observer: StreamObserver | None = observer

    def on_text(self, delta: str) -> None:
        """Hand a piece of text on."""
        if self._observer is not None:
            self._guarded(self._observer.on_text, delta)

    def on_restart(self) -> None:
        """Hand on that the call is made again."""
        if self._observer is not None:
            self._guarded(self._observer.on_restart)

    def _guarded(self, callback: Callable[..., None], *values: str) -> None:
        try:
            callback(*values)
        except Exception:  # noqa: BLE001 - foreign code; a closed connection must not end a paid run
            observer, self._observer = self._observer, None
            _LOG.warning(
                "the stream observer %s raised and gets no more text; the run goes on",
                type(observer).__qualname__,
                exc_info=True,
            )
