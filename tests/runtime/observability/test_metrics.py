"""Metrics: text that Prometheus reads, figures that add up, and names that cannot grow without end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from runtime.core.run import Totals
from runtime.errors import UsageError
from runtime.observability.metrics import MetricsSink
from runtime.observability.run_events import Event
from runtime.observability.summary import summary
from runtime.ports.control_values import BreakerView

ORDER = (
    "tenant",
    "environment",
    "agent",
    "tool",
    "model",
    "name",
    "status",
    "direction",
    "cause",
    "stop_class",
    "stop_kind",
    "le",
)


def event(kind: str, **fields: Any) -> Event:
    known: dict[str, Any] = {
        "request_id": "req_1",
        "run_id": "run_1",
        "tenant": "acme",
        "environment": "test",
        "agent": "shop",
    }
    return Event(kind=kind, **{**known, **fields})  # type: ignore[arg-type]  # tests write plain text


def ended(stop: str = "finish", *, tenant: str = "acme", **totals: Any) -> Event:
    known: dict[str, Any] = {"cost_nanousd": 1_000_000, "duration_s": 1.0, "tool_calls": 2}
    return event("run_ended", tenant=tenant, stop_reason=stop, totals=Totals(**{**known, **totals}))


def samples(sink: MetricsSink) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the samples of a sink's text, by name and label values."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(sink.exposition().decode()):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in ORDER if name in sample.labels)
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_text_is_read_by_prometheus_parser_whatever_the_names_are() -> None:
    sink = MetricsSink()
    odd = 'a"b\\c\nd{e="f"}'
    sink.take(event("outcome", tenant=odd, subject="tool", name=odd, status="ok", duration_s=0.2))
    sink.take(ended(tenant=odd))

    found = samples(sink)

    assert found["goldrun_tool_calls_total"] == {(odd, "test", odd, "ok"): 1.0}
    assert found["goldrun_runs_total"] == {(odd, "test", "shop", "finish", "finish"): 1.0}


def test_calls_tokens_and_refusals_are_counted() -> None:
    sink = MetricsSink()
    sink.take(event("outcome", subject="model", name="m1", status="ok", input_tokens=10, output_tokens=3))
    sink.take(event("outcome", subject="model", name="m1", status="error"))
    sink.take(event("refused", subject="tool", name="pay", status="denied"))
    sink.take(event("not_admitted", subject="tool", name="pay", status="rate"))

    found = samples(sink)

    assert found["goldrun_model_calls_total"] == {("m1", "ok"): 1.0, ("m1", "error"): 1.0}
    assert found["goldrun_tokens_total"] == {("m1", "input"): 10.0, ("m1", "output"): 3.0}
    assert found["goldrun_tool_calls_total"] == {("acme", "test", "pay", "denied"): 1.0}
    assert found["goldrun_not_admitted_total"] == {("acme", "test", "pay", "rate"): 1.0}


def test_tenants_past_the_cap_count_under_other_and_none_is_lost() -> None:
    sink = MetricsSink(max_tenants=3)

    for number in range(50):
        sink.take(ended(tenant=f"t{number}"))

    runs = samples(sink)["goldrun_runs_total"]
    assert sorted(labels[0] for labels in runs) == ["other", "t0", "t1", "t2"]
    assert sum(runs.values()) == 50
    assert summary(sink.registry, tenant="other").runs == 47


def test_tools_that_models_invent_share_one_label() -> None:
    sink = MetricsSink()

    for number in range(1_000):
        sink.take(event("refused", subject="tool", name=f"invented{number}", status="unknown_tool"))

    assert samples(sink)["goldrun_tool_calls_total"] == {("acme", "test", "unknown", "unknown_tool"): 1_000.0}


def test_agents_tools_and_breakers_have_a_cap_too() -> None:
    sink = MetricsSink()

    for number in range(700):
        sink.take(event("outcome", subject="tool", name=f"tool{number}", status="ok"))
        sink.breaker(f"acme/test/tool{number}", "open")

    found = samples(sink)
    assert len(found["goldrun_tool_calls_total"]) == 501
    assert len(found["goldrun_breaker_state"]) == 500


def test_same_tenant_in_two_environments_is_told_apart() -> None:
    sink = MetricsSink()
    sink.take(ended())
    sink.take(event("run_ended", environment="prod", stop_reason="max_steps", totals=Totals()))

    assert summary(sink.registry, tenant="acme", environment="test").completion_rate == 1.0
    assert summary(sink.registry, tenant="acme", environment="prod").completion_rate == 0.0


def test_two_sinks_share_no_registry_by_accident() -> None:
    first, second = MetricsSink(), MetricsSink()

    first.take(ended())

    assert (summary(first.registry).runs, summary(second.registry).runs) == (1, 0)


def test_summary_holds_the_figures_of_the_field() -> None:
    sink = MetricsSink()
    for _ in range(6):
        sink.take(ended())
    sink.take(ended("max_steps", tool_calls=8, loops=1, cost_nanousd=8_000_000))
    sink.take(ended("policy_deny:pay", denials=2, tool_calls=0))
    sink.take(ended("in_doubt:pay", in_doubt=1, cost_nanousd=None))
    sink.take(ended("operator_kill", cost_nanousd=None, duration_s=None))
    sink.breaker("acme/test/pay", "open")

    found = summary(sink.registry)

    assert found.runs == 10
    assert found.completion_rate == 0.6
    assert (found.loop_rate, found.deny_rate, found.in_doubt_rate) == (0.1, 0.1, 0.1)
    assert found.unpriced == 2
    assert found.cost_per_run_usd == pytest.approx((7 * 0.001 + 0.008) / 8)
    assert (found.tool_calls_p50, found.tool_calls_p95) == (2.0, 8.0)
    assert found.stops == {"finish": 6, "in_doubt": 1, "max_steps": 1, "operator_kill": 1, "policy_deny": 1}
    assert found.breakers == {"acme/test/pay": "open"}


def test_summary_of_no_runs_knows_no_shares() -> None:
    found = summary(MetricsSink().registry)

    assert found.runs == 0
    assert (found.completion_rate, found.duration_p50_s, found.tool_calls_p95) == (None, None, None)
    assert (found.cost_per_run_usd, found.loop_rate, found.breakers) == (None, None, {})


def test_summary_reads_a_registry_that_holds_other_metrics() -> None:
    from prometheus_client import Counter

    registry = CollectorRegistry()
    Counter("theirs", "Something else", ("tenant",), registry=registry).labels("acme").inc()
    sink = MetricsSink(registry)
    sink.take(ended())

    assert summary(registry).runs == 1


@given(seconds=st.lists(st.floats(0, 1_800), min_size=1, max_size=60), share=st.sampled_from([0.5, 0.95]))
def test_quantile_of_seconds_lies_in_the_bucket_of_the_true_one(seconds: list[float], share: float) -> None:
    sink = MetricsSink()
    for value in seconds:
        sink.take(ended(duration_s=value))
    found = summary(sink.registry)

    estimate = found.duration_p50_s if share == 0.5 else found.duration_p95_s

    bounds = (0.0, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
    true = sorted(seconds)[max(-(-int(share * 100) * len(seconds) // 100) - 1, 0)]
    high = next(b for b in bounds[1:] if true <= b)
    assert estimate is not None
    assert bounds[bounds.index(high) - 1] <= estimate <= high + 1e-9


@pytest.mark.parametrize(("calls", "bound"), [(0, 0.0), (1, 1.0), (3, 3.0), (4, 5.0), (500, 89.0)])
def test_quantile_of_tool_calls_is_the_bound_of_their_bucket(calls: int, bound: float) -> None:
    sink = MetricsSink()

    sink.take(ended(tool_calls=calls))

    assert summary(sink.registry).tool_calls_p50 == bound


def test_breakers_of_the_control_store_are_shown() -> None:
    sink = MetricsSink()
    views = [
        BreakerView(key=f"acme/test/{phase}", phase=phase, trips=1, retry_at=0.0)
        for phase in ("closed", "half_open", "open")
    ]

    sink.breakers(views)

    assert summary(sink.registry).breakers == {v.key: v.phase for v in views}
    assert sorted(samples(sink)["goldrun_breaker_state"].values()) == [0.0, 1.0, 2.0]


def test_unknown_state_of_a_breaker_is_refused() -> None:
    with pytest.raises(UsageError, match="'ajar'"):
        MetricsSink().breaker("pay", "ajar")
