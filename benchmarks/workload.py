"""The recorded run that the replay benchmarks share: 20 steps, one tool call each, every guard on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from harness.record.recorder import memory_wrap
from runtime.core.policy import Budget, LoopLimits, Policy
from runtime.entry.agent import Agent
from runtime.entry.run import Request, run_agent
from runtime.journal.records import Record
from runtime.testing.scripted import ScriptedModel, Turn, calls, says
from runtime.tools.tool import Tool, tool

STEPS = 20
"""Model decisions of the run; the last one answers, the others call one tool each."""
_ARTICLE = "A parcel that comes late is refunded in full within two weeks. The customer is told by mail. "


def support_agent() -> Agent:
    """Return an agent with three tools whose steps, seconds, dollars, tokens and calls are all limited."""
    return Agent(
        name="support",
        model="gpt-4o-mini",
        provider="openai",
        instructions="You answer questions about orders. Look things up before you answer. " * 4,
        tools=_tools(),
        policy=Policy(allow=("kb.search", "order.lookup", "ticket.note"), loop=LoopLimits()),
        budget=Budget(
            max_steps=25,
            max_seconds=600.0,
            max_usd="0.5",
            max_tokens=1_000_000,
            max_tool_calls=50,
        ),
        max_output_tokens=400,
    )


def recorded_run(*, task: str | None = None, request_id: str = "req_bench") -> list[Record]:
    """Return the records of one real run against a scripted model, redacted as by default."""
    sink, wrap = memory_wrap()
    request = Request(
        prompt="Where is my order 7301? Refund it if it is lost.",
        tenant="acme",
        environment="test",
        request_id=request_id,
        source="prod" if task is None else "golden",
        task=task,
    )
    result = run_agent(support_agent(), request, model=ScriptedModel(list(_turns())), wrap=wrap)
    if result.stop_reason != "finish":
        raise RuntimeError(f"the benchmark's run ended with {result.stop_reason!r}, not with an answer")
    return sink.records


def _turns() -> Iterator[Turn]:
    for number in range(STEPS - 1):
        name, arguments = _CALLS[number % len(_CALLS)](number)
        yield calls((name, arguments), text=f"I look at part {number} of the question before I answer.")
    yield says("Your parcel is late. The refund of 29.90 EUR was approved and arrives within two weeks.")


_CALLS: tuple[Callable[[int], tuple[str, dict[str, Any]]], ...] = (
    lambda n: ("kb.search", {"q": f"refund rule {n} for late parcels", "limit": 3}),
    lambda n: ("order.lookup", {"order_id": f"{7301 + n}"}),
    lambda n: ("ticket.note", {"order_id": f"{7301 + n}", "text": f"Rule {n} was checked for this order."}),
)


def _tools() -> tuple[Tool, ...]:
    @tool(name="kb.search")
    async def search(q: str, limit: int = 3) -> str:
        """Search the help articles; the best come first."""
        return f"{q}: " + _ARTICLE * limit

    @tool(name="order.lookup")
    async def lookup(order_id: str) -> dict[str, Any]:
        """Return an order with its item, price and tracking number."""
        return {"order": order_id, "item": "desk lamp", "price": "29.90 EUR", "tracking": f"NP-{order_id}"}

    @tool(name="ticket.note", write=True, idempotent=True)
    async def note(order_id: str, text: str) -> str:
        """Write a note on the ticket of an order."""
        return f"noted on {order_id}: {len(text)} letters"

    return (search, lookup, note)
