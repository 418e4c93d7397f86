"""The on-call agent: instructions, tools, limits. A new world for each agent, so runs never meet."""

from __future__ import annotations

from examples.oncall.tools import oncall_tools
from examples.oncall.world import World
from runtime import Agent, Budget, Policy, RetryPolicy

INSTRUCTIONS = """\
You are on call for a few services.
Look at latency, errors and deploys together before you judge. Never act on one number alone.
Roll back only if you are asked to, and check the latency again afterwards.
"""


def build() -> Agent:
    """Return the agent. It has no model client: replay needs none, and `examples.loopback` serves one."""
    return Agent(
        name="oncall",
        version="1.0.0",
        model="gpt-4o",
        provider="openai",
        instructions=INSTRUCTIONS,
        tools=oncall_tools(World()),
        policy=Policy(allow="reads", approve=("deploy.rollback",)),
        budget=Budget(max_steps=10, max_seconds=60.0, max_usd="0.5", max_tool_calls=20),
        parameters={"temperature": 0},
        max_output_tokens=600,
        tool_retry=RetryPolicy(attempts=2, first_s=0.02, ceiling_s=0.1),
    )
