"""The agent that the tests of `goldrun resume` name as `module:factory`, and what it did."""

from __future__ import annotations

import os

from runtime import Agent, ControlRules, ScriptedModel, tool
from runtime.control.ledger import Caps
from runtime.core.policy import Policy
from runtime.testing import calls

EFFECTS: list[str] = []
RULES = ControlRules(everything=Caps(tool_calls=1))


@tool(write=True)
async def pay(order: int) -> str:
    EFFECTS.append(f"pay {order}")
    return "paid"


@tool
async def look() -> str:
    EFFECTS.append("look")
    return "seen"


@tool(name="pay", write=True)
async def pay_and_die(order: int) -> str:
    os._exit(9)


def build() -> Agent:
    """Return the agent; its model pays order 2, then is done."""
    client = ScriptedModel([calls(("pay", {"order": 2})), "done"])
    return Agent(name="payer", model="m1", tools=(pay, look), client=client, policy=Policy(allow="any"))


def dying() -> Agent:
    """Return the agent whose process dies while it pays."""
    return Agent(name="payer", model="m1", tools=(pay_and_die, look), policy=Policy(allow="any"))


def build_other() -> Agent:
    """Return an agent that reads what was recorded in another way: its tools take other arguments."""

    @tool(name="pay", write=True)
    async def pay_dollars(dollars: float) -> str:
        EFFECTS.append(f"paid {dollars} dollars")
        return "paid"

    client = ScriptedModel(["done"])
    return Agent(
        name="payer", model="m1", tools=(pay_dollars, look), client=client, policy=Policy(allow="any")
    )
