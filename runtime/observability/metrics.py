"""Metrics: the figures of the field as one Prometheus registry, by tenant with a cap on how many.

A tenant past the cap counts under `other`, so that a flood of names cannot fill the memory of whoever scrapes.
"""

from __future__ import annotations

from typing import Any

from runtime.core.money import NANOS_PER_USD
from runtime.core.stop import parse_stop
from runtime.observability.events import Event

OTHER = "other"
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_CALLS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89)


class MetricsSink:
    """Counts runs, calls, refusals and money.

    Attributes:
        registry: The `prometheus_client` registry that holds them.
    """

    def __init__(self, registry: Any = None, *, max_tenants: int = 100) -> None:
        """Count into a registry, a new one by default."""
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry() if registry is None else registry
        self._max_tenants = max_tenants
        self._tenants: set[str] = set()
        kept: dict[str, Any] = {"registry": self.registry}
        by_run = ("tenant", "agent")
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
        by_tool = ("tenant", "tool", "status")
        self._tools = Counter("goldrun_tool_calls", "Attempts and refusals of tool calls", by_tool, **kept)
        self._tool_s = Histogram(
            "goldrun_tool_seconds", "Duration of attempts", ("tool",), buckets=_SECONDS, **kept
        )
        self._models = Counter("goldrun_model_calls", "Attempts of model calls", ("model", "status"), **kept)
        self._tokens = Counter("goldrun_tokens", "Tokens", ("model", "direction"), **kept)
        self._refused = Counter(
            "goldrun_not_admitted", "Calls not admitted", ("tenant", "name", "cause"), **kept
        )
        self._breaker = Gauge("goldrun_breaker_state", "0 closed, 1 half open, 2 open", ("name",), **kept)

    def take(self, event: Event) -> None:
        """Count one event."""
        tenant = self._tenant(event.tenant)
        match event.kind:
            case "outcome" if event.subject == "tool":
                self._tools.labels(tenant, event.name, event.status).inc()
                if event.duration_s is not None:
                    self._tool_s.labels(event.name).observe(event.duration_s)
            case "refused":
                self._tools.labels(tenant, event.name, event.status).inc()
            case "outcome":
                self._models.labels(event.name, event.status).inc()
                for direction, tokens in (("input", event.input_tokens), ("output", event.output_tokens)):
                    if tokens is not None:
                        self._tokens.labels(event.name, direction).inc(tokens)
            case "not_admitted":
                self._refused.labels(tenant, event.name, event.status).inc()
            case "run_ended":
                self._ended(event, tenant)
            case _:
                pass

    def breaker(self, name: str, state: str) -> None:
        """Set the state of a breaker: `closed`, `half_open` or `open`."""
        self._breaker.labels(name).set({"closed": 0, "half_open": 1, "open": 2}[state])

    def exposition(self) -> bytes:
        """Return the registry in Prometheus' text format."""
        from prometheus_client import generate_latest

        found: bytes = generate_latest(self.registry)
        return found

    def _ended(self, event: Event, tenant: str) -> None:
        totals = event.totals
        if totals is None or event.stop_reason is None:
            return
        run = (tenant, event.agent)
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

    def _tenant(self, tenant: str) -> str:
        if tenant in self._tenants:
            return tenant
        if len(self._tenants) >= self._max_tenants:
            return OTHER
        self._tenants.add(tenant)
        return tenant
