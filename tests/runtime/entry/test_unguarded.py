"""A run that writes without a control store says once what does not hold."""

from __future__ import annotations

import logging

import pytest

from runtime import Agent, Governor, Policy, run_agent, tool
from runtime.testing import ScriptedModel
from runtime.testing.ram_store import RamControlStore


@tool(write=True)
async def pay() -> str:
    return "paid"


@pytest.mark.parametrize(
    ("name", "policy", "guarded", "said"),
    [
        ("writer", Policy(allow=("pay",)), False, 1),
        ("asker", Policy(approve=("pay",)), False, 1),
        ("reader", Policy(), False, 0),
        ("guarded", Policy(allow=("pay",)), True, 0),
    ],
)
def test_what_does_not_hold_without_a_store_is_said_once_for_each_agent_that_writes(
    name: str, policy: Policy, guarded: bool, said: int, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(name=f"unguarded {name}", model="m", tools=(pay,), policy=policy)
    governor = Governor(RamControlStore()) if guarded else None

    with caplog.at_level(logging.WARNING, "goldrun"):
        for _ in range(2):
            run_agent(agent, "go", model=ScriptedModel(["done"]), governor=governor)

    assert [r.message.count("no kill switch") for r in caplog.records] == [1] * said
