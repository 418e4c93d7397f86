"""Metrics: the figures of the field as one Prometheus registry, by tenant with a cap on how many.

A tenant past the cap counts under `other`, so that a flood of names cannot fill the memory of the scraper; the
same holds for agents, tools, models and breakers. A tool that the model invented counts under `unknown`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from runtime.core.money import NANOS_PER_USD
from runtime.core.stop import parse_stop
from runtime.errors import GoldrunError, UsageError
from runtime.observability.run_events import Event
from runtime.ports.control_values import BreakerView

OTHER = "other"
UNKNOWN = "unknown"
PHASES = {"closed": 0, "half_open": 1, "open": 2}
_MAX_NAMES = 500
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_CALLS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89)


class MetricsSink:
    """Counts runs, calls, refusals and money.

    Attributes:
        registry: The `prometheus_client` registry that holds them.
    """

    def __init__(self, registry: Any = None, *, max_tenants: int = 100) -> None:
        """Count into a registry, a new one by default.

        Args:
            registry: A `prometheus_client` registry that holds no metrics of ours yet.
            max_tenants: Pairs of tenant and environment with labels of their own.
        """
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry: CollectorRegistry = CollectorRegistry() if registry is None else registry
        self._watched: list[Callable[[], Iterable[BreakerView]]] = []
        self.registry.register(self)  # first: the registry asks in this order
        self._tenants = _Capped(max_tenants)
        self._agents, self._tools_seen = _Capped(_MAX_NAMES), _Capped(_MAX_NAMES)
        self._models_seen, self._breakers = _Capped(_MAX_NAMES), _Capped(_MAX_NAMES)
        kept: dict[str, Any] = {"registry": self.registry}
        by_run = ("tenant", "environment", "agent")
        self._runs = Counter("goldrun_runs", "Runs that ended", (*by_run, "stop_class", "stop_kind"), **kept)
        self._looping = Counter("goldrun_runs_looping", "Runs that looped", by_run, **kept)
        self._denied = Counter("goldrun_runs_denied", "Runs with a denied call", by_run, **kept)
        self._in_doubt = Counter("goldrun_runs_in_doubt", "Runs with a write in doubt", by_run, **kept)
        self._cost = Counter("goldrun_cost_usd", "Dollars of priced runs", by_run, **kept)
        self._unpriced = Counter("goldrun_runs_unpriced", "Runs whose cost is unknown", by_run, **kept)
        self._seconds = Histogram("goldrun_run_seconds", "Duration of runs", by_run, buckets=_SECONDS, **kept)
        self._calls = Histogram(
            "goldrun_run_tool_calls", "Tool calls of runs", by_run, buckets=_CALLS, **kept
        )
        by_tool = ("tenant", "environment", "tool", "status")
        self._tools = Counter("goldrun_tool_calls", "Attempts and refusals of tool calls", by_tool, **kept)
        self._tool_s = Histogram(
            "goldrun_tool_seconds", "Duration of attempts", ("tool",), buckets=_SECONDS, **kept
        )
        self._models = Counter("goldrun_model_calls", "Attempts of model calls", ("model", "status"), **kept)
        self._tokens = Counter("goldrun_tokens", "Tokens", ("model", "direction"), **kept)
        by_name = ("tenant", "environment", "name", "cause")
        self._refused = Counter("goldrun_not_admitted", "Calls not admitted", by_name, **kept)
        self._breaker = Gauge("goldrun_breaker_state", "0 closed, 1 half open, 2 open", ("name",), **kept)

    def take(self, event: Event) -> None:
        """Count one event."""
        match event.kind:
            case "outcome" if event.subject == "tool":
                tool = self._tool(event)
                self._tools.labels(*self._tenant(event), tool, event.status).inc()
                if event.duration_s is not None:
                    self._tool_s.labels(tool).observe(event.duration_s)
            case "refused":
                self._tools.labels(*self._tenant(event), self._tool(event), event.status).inc()
            case "outcome":
                self._model_call(event)
            case "not_admitted":
                seen = self._models_seen if event.subject == "model" else self._tools_seen
                self._refused.labels(*self._tenant(event), seen.label(event.name), event.status).inc()
            case "run_ended":
                self._ended(event)
            case _:
                pass

    def breaker(self, name: str, state: str) -> None:
        """Set the state of a breaker.

        Raises:
            UsageError: If the state is not `closed`, `half_open` or `open`.
        """
        if state not in PHASES:
            raise UsageError(
                f"{state!r} is no state of a breaker", next_step=f"use one of {', '.join(PHASES)}"
            )
        label = self._breakers.label(name)
        if label != OTHER:  # several breakers in one gauge would say nothing
            self._breaker.labels(label).set(PHASES[state])

    def breakers(self, views: Iterable[BreakerView]) -> None:
        """Set the states of all breakers that the control store knows."""
        for view in views:
            self.breaker(view.key, view.phase)

    def watch(self, breakers: Callable[[], Iterable[BreakerView]]) -> None:
        """Read the states of breakers whenever the registry is; one that cannot be read keeps its last state.

        Args:
            breakers: Lists them; called in the thread that reads the registry.
        """
        self._watched.append(breakers)

    def collect(self) -> Iterator[Any]:
        """Bring the states of breakers up to date, as the registry asks before it reads; there is nothing more."""
        for breakers in self._watched:
            with contextlib.suppress(GoldrunError):
                self.breakers(breakers())
        return iter(())

    def describe(self) -> Iterator[Any]:
        """Name no metric of its own."""
        return iter(())

    def exposition(self) -> bytes:
        """Return the registry in Prometheus' text format."""
        from prometheus_client import generate_latest

        found: bytes = generate_latest(self.registry)
        return found

    def _model_call(self, event: Event) -> None:
        model = self._models_seen.label(event.name)
        self._models.labels(model, event.status).inc()
        for direction, tokens in (("input", event.input_tokens), ("output", event.output_tokens)):
            if tokens is not None:
                self._tokens.labels(model, direction).inc(tokens)

    def _ended(self, event: Event) -> None:
        totals = event.totals
        if totals is None or event.stop_reason is None:
            return
        run = (*self._tenant(event), self._agents.label(event.agent))
        reason = parse_stop(event.stop_reason)
        self._runs.labels(*run, reason.stop_class.value, reason.kind.value).inc()
        for counter, happened in (
            (self._looping, totals.loops > 0),
            (self._denied, totals.denials > 0),
            (self._in_doubt, totals.in_doubt > 0),
            (self._unpriced, totals.cost_nanousd is None),
        ):
            counter.labels(*run).inc(1 if happened else 0)
        self._cost.labels(*run).inc((totals.cost_nanousd or 0) / NANOS_PER_USD)
        self._calls.labels(*run).observe(totals.tool_calls)
        if totals.duration_s is not None:
            self._seconds.labels(*run).observe(totals.duration_s)

    def _tool(self, event: Event) -> str:
        return UNKNOWN if event.status == "unknown_tool" else self._tools_seen.label(event.name)

    def _tenant(self, event: Event) -> tuple[str, str]:
        pair = (event.tenant, event.environment)
        return pair if self._tenants.knows(pair) else (OTHER, OTHER)


class _Capped:
    """A set of names with a cap: names after the first `most` share one label."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[object] = set()
        self._lock = threading.Lock()

    def knows(self, name: object) -> bool:
        """Return whether a name is one of the first."""
        if name in self._seen:
            return True
        with self._lock:
            if len(self._seen) < self._most:
                self._seen.add(name)
            return name in self._seen

    def label(self, name: str | None) -> str:
        """Return the label of a name."""
        return name if name is not None and self.knows(name) else OTHER
