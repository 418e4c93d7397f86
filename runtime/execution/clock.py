"""The clock: the only place that reads wall time, monotonic time, or waits."""

from __future__ import annotations

import asyncio
import datetime
import time
import uuid
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Time as the runtime sees it."""

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never goes back."""
        ...

    def now(self) -> datetime.datetime:
        """Return the aware UTC wall time."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clock, or the one that a test has put in its place when this is made.

    A run makes its clock as it begins. One that begins under a frozen clock stays frozen, and freezing it in the
    middle of another, inside a tool, moves no time of that.

    Attributes:
        monotonic_s: Returns seconds of the monotonic clock. It is read thirty times in a step, so nothing stands
            before it.
    """

    def __init__(self) -> None:
        self.monotonic_s: Callable[[], float] = time.monotonic

    def now(self) -> datetime.datetime:
        """Return the aware UTC wall time."""
        return datetime.datetime.now(datetime.UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


def new_request_id() -> str:
    """Return a fresh request id; the one random value of a run that nothing derives."""
    return f"req_{uuid.uuid4().hex}"
