"""The trace document: round trip, exact money, and what is no trace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.run import Totals
from runtime.core.trace import (
    SCHEMA,
    ApprovalEntry,
    DenialEntry,
    ModelStep,
    Step,
    ToolStep,
    Trace,
    parse_trace,
    trace_json,
)

texts = st.text(max_size=5)
words = st.none() | texts
nanos = st.none() | st.integers(0, 10**15)
arguments = (
    st.dictionaries(texts, st.integers() | texts | st.lists(st.booleans(), max_size=2), max_size=2) | texts
)
statuses = st.sampled_from(["ok", "error", "timeout", "denied", "in_doubt", "not_started", "cached"])
models = st.builds(
    ModelStep, lane=st.just("0.model/1"), request_model=texts, text=texts, cost_nanousd=nanos, error=words
)
calls = st.builds(
    ToolStep,
    id=texts,
    lane=texts,
    name=texts,
    arguments=arguments,
    status=statuses,
    result=words,
    error=words,
)
steps = st.builds(
    Step, index=st.integers(0, 9), model=st.none() | models, tool_calls=st.lists(calls, max_size=2).map(tuple)
)
traces = st.builds(
    Trace,
    request_id=texts,
    run_id=texts,
    tenant=texts,
    environment=texts,
    agent=texts,
    stop_reason=st.just("finish"),
    output=words,
    labels=st.dictionaries(texts, st.booleans() | texts, max_size=2),
    steps=st.lists(steps, max_size=3).map(tuple),
    denials=st.lists(
        st.builds(DenialEntry, step=st.integers(0, 3), lane=texts, tool=words, rule=texts, message=texts),
        max_size=2,
    ).map(tuple),
    approvals=st.lists(
        st.builds(ApprovalEntry, step=st.integers(0, 3), lane=texts, tool=texts, decision=texts), max_size=2
    ).map(tuple),
    totals=st.builds(
        Totals,
        tool_calls_by_name=st.dictionaries(texts, st.integers(1, 9), max_size=2),
        cost_nanousd=nanos,
        duration_s=st.none() | st.floats(0, 1e6),
    ),
    tools_known=st.none() | st.lists(texts, max_size=2).map(tuple),
)


@given(traces)
def test_document_round_trips_through_json(trace: Trace) -> None:
    assert parse_trace(json.loads(json.dumps(trace_json(trace)))) == trace


def small_trace(**fields: Any) -> Trace:
    known: dict[str, Any] = {
        "request_id": "r",
        "run_id": "u",
        "tenant": "t",
        "environment": "e",
        "agent": "a",
    }
    return Trace(**{**known, "stop_reason": "finish", **fields})


def test_money_is_a_decimal_string_outside_and_unknown_money_is_null() -> None:
    model = ModelStep(lane="0.model/1", request_model="m", cost_nanousd=2_360_000)
    trace = small_trace(steps=(Step(index=0, model=model),), totals=Totals(cost_nanousd=None))

    document = trace_json(trace)

    assert document["schema"] == SCHEMA
    assert document["steps"][0]["model"]["cost_usd"] == "0.002360000"
    assert document["totals"]["cost_usd"] is None
    assert "cost_nanousd" not in json.dumps(document)


def test_document_holds_the_fields_of_the_contract() -> None:
    document = trace_json(small_trace())

    assert {"run_id", "parent", "source", "suite", "repeat", "labels", "prompt_hash", "tools_hash"} < set(
        document
    )
    assert {"policy_hash", "price_table", "trace_hash", "denials", "approvals", "totals"} < set(document)
    assert {"steps", "tool_executions", "retries", "in_doubt", "total_tokens", "model_s"} < set(
        document["totals"]
    )


@pytest.mark.parametrize("document", [None, [], {}, {"schema": "goldrun.trace/2"}, {"schema": SCHEMA}])
def test_what_is_no_trace_is_refused(document: Any) -> None:
    with pytest.raises(ValueError):
        parse_trace(document)


def test_a_trace_is_frozen() -> None:
    with pytest.raises(AttributeError):
        small_trace().stop_reason = "max_usd"  # type: ignore[misc]  # the point of the test
