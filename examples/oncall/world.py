"""Services in memory: metrics, logs, deploys, hosts. A rollback changes what the metrics say."""

from __future__ import annotations

from dataclasses import dataclass

LOG_PAGES = 40
SILENT_HOSTS = frozenset({"edge-9"})
"""Hosts that never answer a probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """A deploy of a service."""

    number: int
    service: str
    at: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values of a metric, oldest first."""

    service: str
    metric: str
    minutes: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """One page of log lines; `next_page` is `None` on the last one."""

    lines: tuple[str, ...]
    next_page: int | None


_HEALTHY = {"p99_ms": 180.0, "error_rate": 0.001, "queue_depth": 12.0}
_SICK = {
    ("checkout", "p99_ms"): 2400.0,
    ("checkout", "error_rate"): 0.07,
    ("mailer", "queue_depth"): 900.0,
}


class World:
    """The services; tools read and change them."""

    def __init__(self) -> None:
        self._running = {"checkout": 214, "mailer": 88, "catalog": 31}
        self._previous = {"checkout": 213, "mailer": 87, "catalog": 30}
        self._done: set[str] = set()

    @property
    def services(self) -> tuple[str, ...]:
        """Names of the services."""
        return tuple(sorted(self._running))

    def series(self, service: str, metric: str, minutes: int) -> Series:
        """Return a metric as it is under the running deploy."""
        sick = self._running[service] != self._previous[service]
        now = _SICK.get((service, metric), _HEALTHY[metric]) if sick else _HEALTHY[metric]
        return Series(service=service, metric=metric, minutes=minutes, values=(_HEALTHY[metric], now, now))

    def deploys(self, service: str) -> list[Deploy]:
        """Return the two last deploys, newest first."""
        newest, before = max(self._running[service], self._previous[service] + 1), self._previous[service]
        return [
            Deploy(number=number, service=service, at=at, state=self._state(service, number))
            for number, at in ((newest, "2026-03-04T09:40:00Z"), (before, "2026-02-25T14:10:00Z"))
        ]

    def roll_back(self, service: str, to: int, key: str | None) -> Deploy:
        """Run an earlier deploy again; a key that did it before changes nothing."""
        if key is None or key not in self._done:
            self._running[service] = to
            self._done.update({key} if key else ())
        return Deploy(number=to, service=service, at="2026-02-25T14:10:00Z", state="running")

    def logs(self, service: str, q: str, page: int) -> LogPage:
        """Return one page of the lines that hold a text."""
        lines = tuple(f"{service} {q}: request {page * 100 + i} took {2300 + i} ms" for i in range(2))
        return LogPage(lines=lines, next_page=page + 1 if page < LOG_PAGES else None)

    def _state(self, service: str, number: int) -> str:
        return "running" if self._running[service] == number else "stopped"
