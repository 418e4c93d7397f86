"""Permissions: exact names, no prefixes or globs; rules for arguments as they are carried out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.control.permissions import broken_rule, is_allowed, needs_approval
from runtime.core.policy import AnyTool, ArgumentRule, Policy


@pytest.mark.parametrize(
    ("allow", "tool", "verdict"),
    [
        ("any", "a", True),
        ("reads", "a", False),
        ((), "a", False),
        (("a",), "a", True),
        (("a",), "ab", False),
        (("a*",), "ab", False),
        (("A",), "a", False),
    ],
)
def test_only_exact_names_are_allowed(allow: tuple[str, ...] | AnyTool, tool: str, verdict: bool) -> None:
    assert is_allowed(Policy(allow=allow), tool, write=True) is verdict


def test_approval_is_asked_for_exact_names_alone() -> None:
    policy = Policy(approve=("pay",))

    assert needs_approval(policy, "pay")
    assert not needs_approval(policy, "pay.all")


TOP = ArgumentRule(path="amount", at_most=50)


def _breaks(rule: ArgumentRule, arguments: Any, filled: Any = None) -> str | None:
    return broken_rule(Policy(arguments={"pay": (rule,)}), "pay", arguments, filled)


def test_a_rule_looks_at_what_the_tool_fills_in() -> None:
    assert _breaks(TOP, {"order": 1}, {"order": 1, "amount": 1_000}) == "amount must be at most 50"
    assert _breaks(TOP, {"order": 1}, {"order": 1, "amount": 50}) is None
    assert _breaks(TOP, {"order": 1}) is None


def test_a_null_that_the_model_did_not_give_is_absent() -> None:
    assert _breaks(TOP, {}, {"amount": None}) is None
    assert _breaks(TOP, {"amount": None}) == "amount must be at most 50"


def test_what_a_rule_requires_is_given_by_the_model() -> None:
    rule = ArgumentRule(path="amount", at_most=50, required=True)

    assert _breaks(rule, {}, {"amount": 7}) == "amount must be given"
    assert _breaks(rule, {"amount": 7}) is None


@pytest.mark.parametrize(
    ("arguments", "broken"),
    [
        ({"items": [{"price": 50}, {"price": 51}]}, "items.price must be at most 50"),
        ({"items": [{"price": 50}, {"price": 1}]}, None),
        ({"items": [[{"price": 51}]]}, "items.price must be at most 50"),
        ({"items": [{"price": [1, 99]}]}, "items.price must be at most 50"),
        ({"items": []}, None),
        ({"items": {"price": 51}}, "items.price must be at most 50"),
    ],
)
def test_a_rule_holds_for_each_element_of_a_list(arguments: Any, broken: str | None) -> None:
    assert _breaks(ArgumentRule(path="items.price", at_most=50), arguments) == broken


def test_what_is_required_must_be_in_each_element() -> None:
    rule = ArgumentRule(path="items.price", required=True)

    assert _breaks(rule, {"items": [{"price": 1}, {}]}) == "items.price must be given"
    assert _breaks(rule, {"items": [{"price": 1}, {"price": 2}]}) is None


def test_a_number_that_is_none_keeps_no_limit() -> None:
    assert _breaks(TOP, {}, {"amount": float("nan")}) == "amount must be at most 50"


@given(st.lists(st.integers(-99, 99)), st.integers(-99, 99))
def test_a_list_keeps_a_rule_if_each_element_does(prices: list[int], top: int) -> None:
    rule = ArgumentRule(path="items.price", at_most=top)
    whole = _breaks(rule, {"items": [{"price": p} for p in prices]})
    alone = [_breaks(rule, {"items": {"price": p}}) for p in prices]

    assert (whole is None) == all(a is None for a in alone)
