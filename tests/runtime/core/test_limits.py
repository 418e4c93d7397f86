"""Limits are checked where they are made, and dollars have one exact value however they are written."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.policy import ArgumentRule, Budget, LoopLimits, Policy, RetryPolicy
from runtime.errors import UsageError


@pytest.mark.parametrize("written", ["0.05", 0.05, Decimal("0.05"), Decimal("0.0500"), "5e-2"])
def test_dollars_have_one_value_however_they_are_written(written: Any) -> None:
    budget = Budget(max_usd=written)

    assert budget == Budget(max_usd="0.05")
    assert (str(budget.max_usd), budget.max_usd_nanos) == ("0.05", 50_000_000)


@given(st.integers(0, 10**18))
def test_dollars_keep_every_nano_dollar(nanos: int) -> None:
    assert Budget(max_usd=Decimal(nanos).scaleb(-9)).max_usd_nanos == nanos


@given(st.floats(0, 1e6))
def test_a_float_of_dollars_is_its_shortest_decimal(dollars: float) -> None:
    assert Budget(max_usd=dollars) == Budget(max_usd=repr(dollars))


@pytest.mark.parametrize(
    "usd",
    [
        -1,
        "-0.01",
        math.nan,
        math.inf,
        "nan",
        "Infinity",
        "",
        "ten",
        True,
        [1],
        b"1",
        "1e30",
        "9" * 5000,
    ],
)
def test_what_is_no_amount_of_dollars_is_refused(usd: Any) -> None:
    with pytest.raises(UsageError, match="max_usd is "):
        Budget(max_usd=usd)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_steps", "5"), ("max_steps", True), ("max_steps", 5.0), ("max_steps", -1), ("max_tokens", math.inf),
        ("max_tool_calls", "many"), ("max_seconds", "60"), ("max_seconds", math.nan), ("max_seconds", math.inf),
        ("max_seconds", False), ("max_seconds", -0.5), ("max_parallel", 0), ("max_parallel", 1.5),
    ],
)  # fmt: skip
def test_a_limit_of_the_wrong_kind_is_refused_where_the_budget_is_made(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        Budget(**{name: value})

    assert f"{name} is {value!r}" in caught.value.what
    assert (caught.value.where, caught.value.exit_code) == ("Budget", 2)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Budget, {"max_steps": "5", "max_usd": -1, "max_seconds": math.nan}),
        (Policy, {"allow": "kb.search", "on_denied": "halt", "max_refusals": None, "loop": 3}),
        (LoopLimits, {"same_call": 0, "cycle": "4", "no_progress": True}),
        (RetryPolicy, {"attempts": 0, "first_s": -1, "total": 1.5, "longest_wait_s": math.inf}),
        (ArgumentRule, {"path": 3, "at_least": math.nan, "one_of": "EUR", "required": 1}),
    ],
)
def test_all_mistakes_of_an_object_are_told_at_once(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        kind(**wrong)

    assert [name for name in wrong if f"{name} is " not in caught.value.what] == []


def test_a_number_of_thousands_of_digits_is_refused_without_being_written_out() -> None:
    with pytest.raises(UsageError, match="a whole number of 16610 bits"):
        Budget(max_usd=10**5000)


def test_a_list_of_names_is_kept_as_a_tuple() -> None:
    names: Any = ["kb.search"]

    policy = Policy(allow=names)
    names.append("shell.exec")

    assert policy.allow == ("kb.search",)


def test_a_number_that_no_float_can_hold_is_refused_like_any_other() -> None:
    with pytest.raises(UsageError, match="max_seconds is a whole number of 1329 bits, not a finite number"):
        Budget(max_seconds=10**400)
    with pytest.raises(UsageError, match="first_s"):
        RetryPolicy(first_s=-(10**400))
