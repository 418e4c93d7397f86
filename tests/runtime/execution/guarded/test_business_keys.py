"""Business keys: made of what is carried out, in one spelling."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.canonical import fingerprint
from runtime.core.effects import CallTool
from runtime.core.policy import Policy
from runtime.execution.guarded.business_keys import business_hash, claim_hash
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import calls
from runtime.tools.tool import Tool, tool
from tests.runtime.failure_modes.world import World, agent_of


def refunding(done: list[Any], **options: Any) -> Tool:
    @tool(write=True, **options)
    async def refund(order: float, amount: int = 1_000) -> str:
        done.append((order, amount))
        return f"{amount} refunded"

    return refund


@pytest.mark.parametrize("names", [("order",), ("order", "amount")])
def test_defaults_and_equal_numbers_are_one_business_key(names: tuple[str, ...], tmp_path: Path) -> None:
    done: list[Any] = []
    world = World(BlockingControlStore(SqliteControlStore(tmp_path / "c.sqlite")))
    asked = [{"order": 1}, {"order": 1, "amount": 1_000}, {"order": 1.0}, {"order": 1.0, "amount": 1_000}]

    agent = agent_of(refunding(done, dedupe_by=names))
    result = asyncio.run(world.run(agent, [*(calls(("refund", a)) for a in asked), "done"]))

    assert result.stop_reason == "finish"
    assert done == [(1.0, 1_000)]
    assert [c.status for c in result.trace.tool_calls] == ["ok", "cached", "cached", "cached"]


def test_a_business_key_with_other_arguments_is_still_a_conflict(tmp_path: Path) -> None:
    done: list[Any] = []
    world = World(BlockingControlStore(SqliteControlStore(tmp_path / "c.sqlite")))
    asked = [{"order": 1}, {"order": 1, "amount": 7}]

    agent = agent_of(refunding(done, dedupe_by=("order",)), policy=Policy(on_failure="tell"))
    result = asyncio.run(world.run(agent, [*(calls(("refund", a)) for a in asked), "done"]))

    assert done == [(1.0, 1_000)]
    assert "used with other arguments" in str(result.trace.tool_calls[1].error)


@tool(write=True, dedupe_by=("order", "price"), rename={"number": "order"})
async def charge(number: int | float | str, price: Decimal = Decimal("1.50"), note: str = "") -> str:
    """Charge."""
    return ""


def call_of(of: Tool, arguments: dict[str, Any], *, bound: bool = True) -> CallTool:
    value = of.validate(arguments).value if bound else None
    return CallTool(
        lane="0.tool0/1",
        call_id="c",
        name=of.name,
        arguments=arguments,
        args_hash=fingerprint(arguments),
        bound=value,
    )


@given(st.integers(-(10**6), 10**6), st.booleans())
def test_numbers_that_are_equal_are_one_key(number: int, bound: bool) -> None:
    keys = {
        business_hash(charge.decl, call_of(charge, {"order": n, "price": "1.5"}, bound=bound))
        for n in (number, float(number))
    }

    assert len(keys) == 1


def test_a_number_and_its_text_are_two_keys() -> None:
    keys = [business_hash(charge.decl, call_of(charge, {"order": n})) for n in (1, "1", 1.5, "1.5")]

    assert len(set(keys)) == 4


def test_decimals_are_compared_as_numbers() -> None:
    prices = ["1.5", "1.50", "01.500"]
    keys = {business_hash(charge.decl, call_of(charge, {"order": 1, "price": p})) for p in prices}

    assert keys == {business_hash(charge.decl, call_of(charge, {"order": 1}))}


def test_plain_arguments_keep_the_key_they_had() -> None:
    given_ = {"order": 7, "price": "2.5", "note": "x"}

    assert business_hash(charge.decl, call_of(charge, given_)) == fingerprint([7, "2.5"])
    assert claim_hash(charge.decl, call_of(charge, given_)) == fingerprint(given_)


def test_a_call_without_business_key_is_compared_as_it_was_given() -> None:
    given_ = {"order": 1.0}

    assert claim_hash(None, call_of(charge, given_)) == fingerprint(given_)
