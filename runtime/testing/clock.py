"""A clock for tests: time passes only when code waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FakeClock:
    """A `Clock` whose waits end at once and advance its time; pass it as `run_agent(clock=...)`.

    The wall time does not change, so two runs with two fresh clocks are equal byte for byte. `advance` moves both.

    Attributes:
        seconds: Seconds that passed since the clock was made.
        waits: The requested waits, in seconds, in order.
    """

    def __init__(self, start: datetime = _START) -> None:
        self.seconds: float = 0.0
        self.waits: list[float] = []
        self._now = start

    def monotonic_s(self) -> float:
        """Return the seconds that passed."""
        return self.seconds

    def now(self) -> datetime:
        """Return the wall time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Advance the time, including the wall time."""
        self.seconds += seconds
        self._now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """Advance the time and return at once."""
        self.waits.append(seconds)
        self.seconds += seconds
