"""The breakers of a control store as a scrape of metrics sees them."""

from __future__ import annotations

import asyncio

from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import BreakerView, ControlUnavailable


class BreakerViews:
    """Lists breakers for code that cannot wait on an event loop.

    From a thread of its own a scrape gets them as they are. On an event loop it gets them as they were at the last
    scrape, because no operation of the store may hold a loop up.
    """

    def __init__(self, store: ControlStore) -> None:
        self._store = store
        self._known: tuple[BreakerView, ...] = ()
        self._reading: asyncio.Task[None] | None = None

    def __call__(self) -> tuple[BreakerView, ...]:
        """Return the breakers by key.

        Raises:
            ControlUnavailable: If they cannot be read.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._known = asyncio.run(self._store.list_breakers())
            return self._known
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read())
        return self._known

    async def _read(self) -> None:
        try:
            self._known = await self._store.list_breakers()
        except ControlUnavailable:
            return  # the next scrape tries again
