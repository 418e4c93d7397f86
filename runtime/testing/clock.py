"""A clock for tests: time passes only when somebody waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FakeClock:
    """A `Clock` whose waits end at once and move its time on; pass it as `run_agent(clock=...)`.

    The wall time stands still, so that two runs under two fresh clocks are equal to the byte. `advance` moves both.

    Attributes:
        seconds: Seconds that passed since the clock was made.
        waits: The waits that were asked for, in seconds, in order.
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
        """Let time pass, on the wall too."""
        self.seconds += seconds
        self._now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.waits.append(seconds)
        self.seconds += seconds
