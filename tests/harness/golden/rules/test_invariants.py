"""What holds in every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from harness.golden.rules.invariants import check_invariants
from runtime.core.policy import Budget, Policy
from runtime.core.trace import Trace

MakeTrace = Callable[..., Trace]
SEARCH, CREATE = ("kb.search", {"q": "x"}), ("ticket.create", {"order": "8812"})


def looks_secret(data: bytes) -> str | None:
    return "test_key" if b"sk-secret" in data else None


def rules(trace: Trace, **more: Any) -> list[str]:
    return [f.rule for f in check_invariants(None, trace, looks_secret=looks_secret, **more)]


def test_a_good_run_keeps_them_all(make_trace: MakeTrace, header: Callable[..., Any]) -> None:
    granted = ("ticket.create", {"order": "8812"}, {"approval": "granted"})
    head = header(policy=Policy(approve=("ticket.create",)), budget=Budget(max_steps=3, max_usd="0.003"))

    assert rules(make_trace([SEARCH], [granted]), header=head) == []


@pytest.mark.parametrize(
    "turn",
    [
        ("kb.search", {"a": [{"b": "sk-secret"}]}),
        ("kb.search", {"sk-secret": 1}),
        ("kb.search", {"a": {"sk-secret": ["x"]}}),
        ("kb.search", {}, {"result": "the key is sk-secret"}),
        ("kb.search", '{"a": "sk-secret'),
    ],
)
def test_a_secret_is_found_and_not_shown(make_trace: MakeTrace, turn: Any) -> None:
    found = check_invariants(None, make_trace([turn]), looks_secret=looks_secret)

    assert [f.rule for f in found] == ["invariant.no_secrets"]
    assert found[0].step == 0
    assert "sk-secret" not in found[0].message


def test_a_secret_below_a_secret_key_is_found_and_neither_is_shown(make_trace: MakeTrace) -> None:
    trace = make_trace([("kb.search", {"sk-secret-1": "sk-secret-2"})])

    found = check_invariants(None, trace, looks_secret=looks_secret)

    assert len(found) == 2
    assert "sk-secret" not in "".join(f.message for f in found)


def test_runs_recorded_without_redaction_are_not_searched(
    make_trace: MakeTrace, header: Callable[..., Any]
) -> None:
    assert rules(make_trace([SEARCH], output="sk-secret"), header=header(redaction="none")) == []
    assert rules(make_trace([SEARCH], output="sk-secret")) != []


def test_a_result_that_no_decision_could_read_is_told(make_trace: MakeTrace) -> None:
    assert rules(make_trace([SEARCH], output=None)) == ["invariant.results_consumed"]
    assert rules(make_trace([SEARCH], output=None, stop="max_steps")) == []


def test_a_write_without_a_key_is_told(make_trace: MakeTrace, header: Callable[..., Any]) -> None:
    turn: tuple[Any, ...] = ("ticket.create", {}, {"key": None})

    assert rules(make_trace([turn])) == ["invariant.writes_keyed"]
    assert rules(make_trace([turn], header=header(source="import"))) == []
    assert rules(make_trace([("ticket.create", {}, {"status": "denied"})])) == []


def test_an_approval_is_good_for_one_exact_call(make_trace: MakeTrace, header: Callable[..., Any]) -> None:
    head = header(policy=Policy(approve=("ticket.create",)))
    granted = ("ticket.create", {"order": "8812"}, {"approval": "granted"})

    assert rules(make_trace([granted], [CREATE]), header=head) == ["invariant.writes_approved"]
    assert rules(make_trace([granted], [("ticket.create", {"order": "9"})]), header=head) == [
        "invariant.writes_approved"
    ]
    assert rules(make_trace([CREATE]), header=head) == ["invariant.writes_approved"]


@pytest.mark.parametrize(
    ("budget", "rule"),
    [
        (Budget(max_steps=1), "max_steps"),
        (Budget(max_tool_calls=0), "max_tool_calls"),
        (Budget(max_usd="0.001999999"), "max_usd"),
        (Budget(max_tokens=219), "max_tokens"),
    ],
)
def test_a_budget_that_was_exceeded_is_told(
    make_trace: MakeTrace, header: Callable[..., Any], budget: Budget, rule: str
) -> None:
    trace = make_trace([SEARCH])

    assert rules(trace, header=header(budget=budget)) == [f"invariant.budget_kept.{rule}"]


def test_a_run_that_went_on_past_its_time_is_told(make_trace: MakeTrace, header: Callable[..., Any]) -> None:
    trace = make_trace([SEARCH])
    late = msgspec.structs.replace(trace, totals=msgspec.structs.replace(trace.totals, duration_s=62.5))

    assert rules(late, header=header(budget=Budget(max_seconds=60.0))) == [
        "invariant.budget_kept.max_seconds"
    ]


def test_a_budget_that_is_just_met_is_kept(make_trace: MakeTrace, header: Callable[..., Any]) -> None:
    trace = make_trace([SEARCH])
    exact = Budget(max_steps=2, max_tool_calls=1, max_usd="0.002", max_tokens=220, max_seconds=1.0)

    assert rules(trace, header=header(budget=exact)) == []
    over = msgspec.structs.replace(trace, stop_reason="max_tokens")
    assert rules(over, header=header(budget=Budget(max_tokens=100))) == []
