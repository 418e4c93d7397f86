"""The support agent: instructions, tools, limits."""

from __future__ import annotations

from runtime import Agent, Budget, LoopLimits, Policy, RetryPolicy

from . import settings
from .tools import shop_tools
from .world import World

INSTRUCTIONS = """\
You answer customers of a small shop.
Call order.lookup(order_id) before you speak about an order, then carrier.track(tracking).
If a parcel is late, open a ticket with ticket.create(order_id, summary).
For anything else, or if a carrier does not answer, look into kb.search(q).
"""


def build() -> Agent:
    """Return the agent with its own shop; replay needs no model client."""
    return Agent(
        name="support",
        version="1.0.0",
        model="gpt-4o-mini",
        provider="openai",
        instructions=INSTRUCTIONS,
        tools=shop_tools(World()),
        policy=Policy(on_failure="tell", max_refusals=10, loop=LoopLimits(same_call=8, same_error=8)),
        budget=Budget(max_steps=12, max_seconds=60.0, max_usd="0.05"),
        max_output_tokens=300,
        tool_retry=RetryPolicy(attempts=settings.CARRIER_ATTEMPTS, first_s=0.25, ceiling_s=2.0),
    )
