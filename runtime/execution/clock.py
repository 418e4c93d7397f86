"""The clock: the only place that reads wall time, monotonic time, or waits."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as the runtime sees it."""

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never goes back."""
        ...

    def now(self) -> datetime:
        """Return the aware UTC wall time."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clock."""

    monotonic_s = staticmethod(time.monotonic)
    """Return seconds of the monotonic clock; it is read thirty times in a step, so nothing stands before it."""

    def now(self) -> datetime:
        """Return the aware UTC wall time."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


def new_request_id() -> str:
    """Return a fresh request id; the one random value of a run that nothing derives."""
    return f"req_{uuid.uuid4().hex}"
