"""Guards of code and recording are compared field by field, and none can be forgotten."""

from __future__ import annotations

import dataclasses
from dataclasses import fields
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from harness.replay.guards import BUDGET, LOOP, POLICY, RETRY, TOOL, guard_changes, guard_divergences
from runtime.core.messages import ToolSchema
from runtime.core.policy import ArgumentRule, Budget, LoopLimits, Policy, RetryPolicy
from runtime.core.run import Header, ToolDecl

RULE = ArgumentRule(path="cents", at_most=100)
PAY = ToolDecl(
    schema=ToolSchema(name="pay"), write=True, idempotent=True, timeout_s=5.0, scopes=("pay",), cost_nanousd=7
)
POLICY_SET = Policy(
    allow=("pay",), approve=("pay",), arguments={"pay": (RULE,)}, scopes=("pay",), on_denied="stop"
)
BUDGET_SET = Budget(
    max_steps=10, max_seconds=60, max_usd="0.05", max_tokens=900, max_tool_calls=9, max_parallel=2
)


def _header(**changes: Any) -> Header:
    base = {"policy": POLICY_SET, "budget": BUDGET_SET, "tools": (PAY,), **changes}
    return Header(request_id="r", run_id="r", tenant="t", environment="test", agent="shop", **base)


@pytest.mark.parametrize(
    ("of", "rules"),
    [
        (Policy, POLICY),
        (LoopLimits, LOOP),
        (RetryPolicy, RETRY),
        (ToolDecl, TOOL),
        (Budget, BUDGET),
    ],
)
def test_every_field_of_a_guard_has_a_rule(of: Any, rules: dict[str, object]) -> None:
    names = [f.name for f in (fields(of) if dataclasses.is_dataclass(of) else msgspec.structs.fields(of))]

    assert sorted(rules) == sorted(names)


def _policy(**changes: Any) -> dict[str, Any]:
    return {"policy": msgspec.structs.replace(POLICY_SET, **changes)}


def _tool(**changes: Any) -> dict[str, Any]:
    return {"tools": (msgspec.structs.replace(PAY, **changes),)}


def _budget(**changes: Any) -> dict[str, Any]:
    now = {f.name: getattr(BUDGET_SET, f.name) for f in fields(Budget)} | changes
    return {"budget": Budget(**now)}


WEAKENED = [
    (_policy(allow="any"), 'policy.allow ["pay"] -> any'),
    (_policy(allow=("pay", "send")), "policy.allow"),
    (_policy(approve=()), 'policy.approve ["pay"] -> []'),
    (_policy(arguments={}), "policy.arguments"),
    (_policy(arguments={"pay": (ArgumentRule(path="cents", at_most=900),)}), "policy.arguments"),
    (_policy(scopes=None), "policy.scopes"),
    (_policy(on_denied="tell"), "policy.on_denied stop -> tell"),
    (_policy(max_refusals=9), "policy.max_refusals 5 -> 9"),
    (_policy(loop=None), "policy.loop"),
    (_policy(loop=LoopLimits(same_call=9)), "policy.loop.same_call 3 -> 9"),
    (_budget(max_steps=50), "budget.max_steps 10 -> 50"),
    (_budget(max_steps=None), "budget.max_steps 10 -> none"),
    (_budget(max_usd=Decimal(5)), "budget.max_usd"),
    (_tool(write=False), "pay.write True -> False"),
    (_tool(idempotent=False), "pay.idempotent True -> False"),
    (_tool(timeout_s=600.0), "pay.timeout_s 5 -> 600"),
    (_tool(timeout_s=None), "pay.timeout_s 5 -> none"),
    (_tool(scopes=()), "pay.scopes"),
    (_tool(cost_nanousd=0), "pay.cost_nanousd 7 -> 0"),
    (_tool(dedupe_by=("cents",)), "pay.dedupe_by"),
]


@pytest.mark.parametrize(("now", "text"), WEAKENED)
def test_a_guard_taken_out_or_loosened_is_a_divergence_with_both_values(
    now: dict[str, Any], text: str
) -> None:
    (found,) = guard_divergences(guard_changes(_header(), _header(**now)))

    assert found.cause == ("tool declaration" if text.startswith("pay.") else "policy")
    assert str(found.summary).startswith(text)
    assert found.recorded != found.replayed


@pytest.mark.parametrize(
    "now",
    [
        _policy(allow=()),
        _policy(approve=("pay", "send")),
        _policy(arguments={"pay": (RULE, ArgumentRule(path="to", max_chars=9))}),
        _policy(loop=LoopLimits(same_call=2)),
        _budget(max_steps=2),
        _tool(timeout_s=1.0),
        _tool(scopes=("pay", "admin")),
        {"tool_retry": RetryPolicy(attempts=9)},
    ],
)
def test_a_tighter_guard_is_told_and_is_no_divergence(now: dict[str, Any]) -> None:
    changes = guard_changes(_header(), _header(**now))

    assert len(changes) == 1
    assert guard_divergences(changes) == []


def test_equal_guards_and_tools_of_one_side_only_change_nothing() -> None:
    other = ToolDecl(schema=ToolSchema(name="send"), write=True)

    assert guard_changes(_header(), _header()) == []
    assert guard_changes(_header(), _header(tools=(PAY, other))) == []
    assert guard_changes(_header(tools="opaque"), _header()) == []


def test_several_weaker_guards_of_one_part_are_one_divergence_that_names_all() -> None:
    now = _header(budget=Budget(max_steps=10), **_policy(approve=()))

    (found,) = guard_divergences(guard_changes(_header(), now))

    assert "policy.approve" in str(found.summary)
    assert "budget.max_usd" in str(found.summary)
    assert found.recorded["budget.max_tool_calls"] == 9
