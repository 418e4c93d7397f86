"""The figures of the field as values: read from a registry of metrics, over all runs or those of one tenant.

Quantiles come from histogram buckets. Those of seconds are linear within their bucket, as Prometheus'
`histogram_quantile` has them; those of tool calls are the upper bound of their bucket, which is exact up to 3 calls.
Above the last bucket its bound is given. A share of no runs is `None`, not 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from runtime.core.checking import shown
from runtime.core.signatures import checks_arguments
from runtime.errors import UsageError
from runtime.observability.metrics import PHASES

_PHASE_OF = {float(value): phase for phase, value in PHASES.items()}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs of a registry came to.

    Attributes:
        runs: Runs that ended.
        completion_rate: Share that ended with `finish`.
        duration_p50_s: Median of their seconds.
        duration_p95_s: 95th percentile of their seconds.
        tool_calls_p50: Median of their tool calls.
        tool_calls_p95: 95th percentile of their tool calls.
        cost_per_run_usd: Mean dollars of the runs whose cost is known.
        unpriced: Runs whose cost is unknown.
        loop_rate: Share that looped.
        deny_rate: Share with a denied call.
        in_doubt_rate: Share with a write in doubt.
        stops: Runs by stop kind.
        breakers: State by breaker: `closed`, `half_open` or `open`; those of all tenants.
    """

    runs: int
    completion_rate: float | None
    duration_p50_s: float | None
    duration_p95_s: float | None
    tool_calls_p50: float | None
    tool_calls_p95: float | None
    cost_per_run_usd: float | None
    unpriced: int
    loop_rate: float | None
    deny_rate: float | None
    in_doubt_rate: float | None
    stops: dict[str, int]
    breakers: dict[str, str]


@checks_arguments
def summary(registry: Any, *, tenant: str | None = None, environment: str | None = None) -> Summary:
    """Return the figures of a registry that a `MetricsSink` counts into.

    Args:
        registry: The `prometheus_client` registry.
        tenant: Only its runs; `other` for those past the cap.
        environment: Only runs in it.
    """
    wanted = {"tenant": tenant, "environment": environment}
    found = _Samples(registry, {name: value for name, value in wanted.items() if value is not None})
    stops = found.by("goldrun_runs_total", "stop_kind")
    runs = sum(stops.values())
    unpriced = found.total("goldrun_runs_unpriced_total")
    seconds, calls = found.buckets("goldrun_run_seconds"), found.buckets("goldrun_run_tool_calls")

    def share(value: float) -> float | None:
        return value / runs if runs else None

    return Summary(
        runs=int(runs),
        completion_rate=share(stops.get("finish", 0.0)),
        duration_p50_s=_quantile(seconds, 0.5, linear=True),
        duration_p95_s=_quantile(seconds, 0.95, linear=True),
        tool_calls_p50=_quantile(calls, 0.5, linear=False),
        tool_calls_p95=_quantile(calls, 0.95, linear=False),
        cost_per_run_usd=found.total("goldrun_cost_usd_total") / (runs - unpriced)
        if runs > unpriced
        else None,
        unpriced=int(unpriced),
        loop_rate=share(found.total("goldrun_runs_looping_total")),
        deny_rate=share(found.total("goldrun_runs_denied_total")),
        in_doubt_rate=share(found.total("goldrun_runs_in_doubt_total")),
        stops={kind: int(count) for kind, count in sorted(stops.items())},
        breakers={n: _PHASE_OF[v] for n, v in sorted(found.by("goldrun_breaker_state", "name").items())},
    )


class _Samples:
    """The samples of a registry that have some labels; breakers have none of these and are all there."""

    def __init__(self, registry: Any, wanted: dict[str, str]) -> None:
        self._of: dict[str, list[tuple[dict[str, str], float]]] = {}
        if not callable(getattr(registry, "collect", None)):
            raise UsageError(
                f"registry is {shown(registry)}, not a registry", next_step="pass MetricsSink.registry"
            )
        for metric in registry.collect():
            for sample in metric.samples:
                if all(sample.labels.get(name, value) == value for name, value in wanted.items()):
                    self._of.setdefault(sample.name, []).append((sample.labels, sample.value))

    def total(self, name: str) -> float:
        """Return the sum of a metric."""
        return sum(value for _, value in self._of.get(name, []))

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the sums of a metric by one of its labels."""
        found: dict[str, float] = {}
        for labels, value in self._of.get(name, []):
            found[labels[label]] = found.get(labels[label], 0.0) + value
        return found

    def buckets(self, name: str) -> list[tuple[float, float]]:
        """Return upper bounds and cumulative counts of a histogram, in order."""
        return sorted((float(bound), count) for bound, count in self.by(f"{name}_bucket", "le").items())


def _quantile(buckets: list[tuple[float, float]], share: float, *, linear: bool) -> float | None:
    if not buckets or buckets[-1][1] == 0:
        return None
    rank = share * buckets[-1][1]
    for (low, before), (bound, count) in _pairs(buckets):
        if count >= rank and count > before:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (rank - before) / (count - before) if linear else bound
    return buckets[-1][0]


def _pairs(
    buckets: list[tuple[float, float]],
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    return zip([(0.0, 0.0), *buckets], buckets, strict=False)
