"""The time of one run: seconds since it began, and how long an effect may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.core.effects import Limits
from runtime.execution.clock import Clock


@dataclass(frozen=True, slots=True)
class EffectLimit:
    """How long an effect may take.

    Attributes:
        seconds: `None` for no limit.
        by_deadline: Whether the run's deadline comes before the effect's own timeout.
    """

    seconds: float | None
    by_deadline: bool


class RunTime:
    """Measures one run on one monotonic clock."""

    __slots__ = ("_began_s", "_elapsed_before_s", "_max_seconds", "monotonic_s")

    def __init__(self, clock: Clock, *, elapsed_s: float = 0.0) -> None:
        """Count from now.

        Args:
            clock: The clock.
            elapsed_s: Seconds that a resumed run has used before.
        """
        self.monotonic_s: Callable[[], float] = clock.monotonic_s
        self._elapsed_before_s = elapsed_s
        self._max_seconds: float | None = None
        self._began_s = self.monotonic_s() - elapsed_s

    def begin(self, max_seconds: float | None) -> None:
        """Count from now, to a deadline if the run has one."""
        self._began_s = self.monotonic_s() - self._elapsed_before_s
        self._max_seconds = max_seconds

    def elapsed_s(self) -> float:
        """Return the seconds since the run began."""
        return self.monotonic_s() - self._began_s

    def limit(self, limits: Limits) -> EffectLimit:
        """Return how long an effect may take from now on."""
        if limits.deadline_s is None:
            return EffectLimit(limits.timeout_s, by_deadline=False)
        left_s = limits.deadline_s - self.elapsed_s()
        if limits.timeout_s is None or left_s < limits.timeout_s:
            return EffectLimit(left_s, by_deadline=True)
        return EffectLimit(limits.timeout_s, by_deadline=False)

    def run_limit(self, timeout_s: float | None = None) -> EffectLimit:
        """Return how long an effect may take that carries no limits of its own, such as an approval."""
        return self.limit(Limits(deadline_s=self._max_seconds, timeout_s=timeout_s))
