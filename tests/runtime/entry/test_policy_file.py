"""Policies from files: typed, unknown fields refused, argument rules enforced on each call."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import Agent, Policy, Request, ScriptedModel, run_agent, tool
from runtime.control.permissions import broken_rule
from runtime.core.policy import ArgumentRule
from runtime.entry.policy_file import policy_json_schema, read_policy
from runtime.errors import DataFault, UsageFault
from runtime.models import calls, says

POLICY = """\
schema: policy/1
allow: [refund.create]
approve: []
arguments:
  refund.create:
    - {path: amount, at_most: 50}
    - {path: currency, one_of: [EUR, USD], required: true}
budget: {steps: 5, usd: 0.05}
"""


@tool(name="refund.create", write=True)
def refund(amount: float, currency: str = "EUR") -> str:
    """Give money back."""
    return f"refunded {amount} {currency}"


def test_a_policy_file_becomes_policy_and_budget(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")

    policy, budget = read_policy(file)

    assert policy.allow == ("refund.create",)
    assert policy.arguments["refund.create"][0] == ArgumentRule(path="amount", at_most=50)
    assert (budget.max_steps, budget.max_usd_nanos) == (5, 50_000_000)


def test_every_mistake_of_a_policy_file_is_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("schema: policy/1\nalow: [x]\nbudget: {steps: 0}\n", encoding="utf-8")

    with pytest.raises(UsageFault) as caught:
        read_policy(file)

    assert "alow" in str(caught.value)
    assert "budget.steps" in str(caught.value)


def test_a_policy_file_that_is_missing_or_no_yaml_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("schema: [", encoding="utf-8")

    with pytest.raises(UsageFault, match="no YAML"):
        read_policy(broken)
    with pytest.raises(DataFault, match="cannot be read"):
        read_policy(tmp_path / "absent.yaml")


def test_a_call_that_breaks_an_argument_rule_is_denied_and_told(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")
    policy, _ = read_policy(file)
    agent = Agent(name="a", model="m", tools=(refund,))
    script = [
        calls(("refund.create", {"amount": 900, "currency": "EUR"})),
        calls(("refund.create", {"amount": 9, "currency": "EUR"})),
        says("done"),
    ]

    result = run_agent(agent, Request(prompt="go", policy=policy), model=ScriptedModel(script))

    assert [c.status for c in result.trace.tool_calls] == ["denied", "ok"]
    assert "amount must be at most 50" in (result.trace.tool_calls[0].result or "")
    assert result.trace.denials[0].rule == "argument"


@given(amount=st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.booleans(), st.none()))
def test_no_value_outside_its_bounds_passes(amount: object) -> None:
    policy = Policy(arguments={"pay": (ArgumentRule(path="amount", at_least=0, at_most=50),)})

    passes = broken_rule(policy, "pay", {"amount": amount}) is None

    assert passes == (isinstance(amount, int | float) and not isinstance(amount, bool) and 0 <= amount <= 50)


def test_the_schema_for_editors_names_every_field() -> None:
    assert {"schema", "allow", "arguments", "budget"} <= policy_json_schema()["properties"].keys()
