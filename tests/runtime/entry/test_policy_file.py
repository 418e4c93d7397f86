"""Policies from files: typed, unknown fields refused, argument rules enforced on each call."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime import Agent, Budget, Policy, Request, ScriptedModel, run_agent, tool
from runtime.control.permissions import broken_rule
from runtime.core.policy import ArgumentRule
from runtime.entry.policy_file import policy_json_schema, read_policy
from runtime.errors import DataError, UsageError
from runtime.testing import calls, says

POLICY = """\
schema: policy/1
allow: [refund.create]
approve: []
arguments:
  refund.create:
    - {path: amount, at_most: 50}
    - {path: currency, one_of: [EUR, USD], required: true}
budget: {max_steps: 5, max_usd: 0.05}
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
    file.write_text("schema: policy/1\nalow: [x]\nbudget: {max_steps: 0}\n", encoding="utf-8")

    with pytest.raises(UsageError) as caught:
        read_policy(file)

    assert "alow" in str(caught.value)
    assert "budget.max_steps" in str(caught.value)


def test_a_policy_file_that_is_missing_or_no_yaml_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("schema: [", encoding="utf-8")

    with pytest.raises(UsageError, match="not YAML"):
        read_policy(broken)
    with pytest.raises(DataError, match="cannot be read"):
        read_policy(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("approve: [pay]\napprove: []\n", 3, "stands twice, first in line 2"),
        ("budget: {max_seconds: 1:30}\n", 2, "base 60"),
        ("approve:\n  - no\n", 3, "boolean to some YAML readers"),
        ("arguments:\n  pay:\n    - {path: amount}\n", 4, "states no condition"),
        ("arguments:\n  pay: []\n", 3, "no rule stands here"),
        ("arguments:\n  pay:\n    - {path: a, at_least: 9, at_most: 3}\n", 4, "no number passes"),
        ("arguments:\n  pay:\n    - {path: a, pattern: '('}\n", 4, "not a regular expression"),
        ("on_denied: halt\n", 2, "on_denied: "),
    ],
)
def test_what_would_weaken_a_policy_unseen_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(f"schema: policy/1\n{text}", encoding="utf-8")

    with pytest.raises(UsageError) as caught:
        read_policy(file)

    assert caught.value.where == f"{file}:{line}"
    assert said in caught.value.what


PAY = ArgumentRule(path="amount")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"on_denied": "halt"}, "on_denied is 'halt', not one of tell, stop"),
        ({"on_failure": True}, "on_failure is True"),
        (
            {"allow": "refund.create"},
            r"allow is 'refund.create', not a tuple of names like \('refund.create',\)",
        ),
        ({"max_refusals": -1}, "max_refusals is -1"),
        ({"approval_timeout_s": math.inf}, "approval_timeout_s is inf"),
        ({"approval_timeout_s": 0}, "approval_timeout_s is 0"),
        ({"loop": {"cycle": 2}}, "loop is {'cycle': 2}, not a LoopLimits"),
        ({"arguments": {"refund.create": PAY}}, "arguments"),
    ],
)
def test_a_policy_with_a_wrong_value_is_refused_where_it_is_made(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Policy(**fields)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (PAY, "states no condition"),
        (replace(PAY, at_least=9, at_most=3), "no number passes"),
        (replace(PAY, pattern="("), "not a regular expression"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_before_the_run(rule: ArgumentRule, said: str) -> None:
    policy = Policy(arguments={"refund.create": (rule,)})
    agent = Agent(name="a", model="m", tools=(refund,), policy=policy)

    with pytest.raises(UsageError, match=said):
        run_agent(agent, "go", model=ScriptedModel([says("done")]))


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


OLD = "schema: policy/1\nbudget: {steps: 5, usd: 0.05}  # mine\n"


def test_limits_by_their_old_names_are_read_with_one_warning_that_names_file_and_keys(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(OLD, encoding="utf-8")

    with pytest.warns(FutureWarning) as told:
        _, budget = read_policy(file)

    assert budget == Budget(max_steps=5, max_usd="0.05")
    (warning,) = told
    assert str(file) in str(warning.message)
    assert "steps is now max_steps, usd is now max_usd" in str(warning.message)


def test_a_limit_under_both_names_is_an_error_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("schema: policy/1\nbudget:\n  max_usd: 1\n  usd: 2\n", encoding="utf-8")

    with pytest.raises(UsageError, match="has both usd and max_usd") as caught:
        read_policy(file)

    assert caught.value.where == f"{file}:4"


def test_a_mistake_in_a_limit_of_an_old_name_keeps_its_line(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("schema: policy/1\nbudget:\n  max_usd: 1\n  steps: x\n", encoding="utf-8")

    with pytest.warns(FutureWarning), pytest.raises(UsageError) as caught:
        read_policy(file)

    assert caught.value.where == f"{file}:4"


@pytest.mark.parametrize("written", ["0.05", '"0.05"', "5e-2"])
def test_dollars_of_a_file_are_a_number_or_a_decimal_text(tmp_path: Path, written: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(f"schema: policy/1\nbudget: {{max_usd: {written}}}\n", encoding="utf-8")

    assert read_policy(file)[1].max_usd_nanos == 50_000_000


@pytest.mark.parametrize("written", ["-1", "true", "cheap", "[1]"])
def test_dollars_of_a_file_that_are_none_are_refused(tmp_path: Path, written: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(f"schema: policy/1\nbudget: {{max_usd: {written}}}\n", encoding="utf-8")

    with pytest.raises(UsageError, match="dollars from 0"):
        read_policy(file)
