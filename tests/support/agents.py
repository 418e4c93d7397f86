"""A small agent with real tools, for tests that run it live, record it and replay it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runtime.core.money import Rate
from runtime.core.policy import Policy, RetryPolicy
from runtime.entry.agent import Agent
from runtime.ports.tools import ToolContext
from runtime.tools.tool import RetryableError, ToolError, tool

RATE = Rate(input=1_000_000, output=4_000_000)


@dataclass(frozen=True)
class Prices:
    """One rate for each model, or none."""

    id: str | None = "test prices"
    known: Rate | None = RATE

    def rate(self, model: str, provider: str | None) -> Rate | None:
        """Return the rate."""
        return self.known


@dataclass
class Shop:
    """What the tools act on: how often each was called, and which answers are still to fail.

    Attributes:
        calls: Calls that reached a tool's function, in order.
        faults: Exceptions a tool raises before it succeeds, by tool name.
        stock: Answers of `stock`, by item.
    """

    calls: list[tuple[str, Any]] = field(default_factory=list)
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    stock: dict[str, int] = field(default_factory=lambda: {"apple": 3, "pear": 0})

    def reach(self, name: str, *arguments: Any) -> None:
        """Note a call, and raise the next fault of the tool if one is left."""
        self.calls.append((name, arguments))
        if self.faults.get(name):
            raise self.faults[name].pop(0)


def shop_agent(shop: Shop, **fields: Any) -> Agent:
    """Return an agent that looks up stock and orders items."""

    @tool
    async def stock(item: str) -> str:
        """Tell how many of an item there are."""
        shop.reach("stock", item)
        if item not in shop.stock:
            raise ToolError(f"no item {item}")
        return f"{shop.stock[item]} of {item}"

    @tool(write=True)
    async def order(item: str, count: int = 1) -> dict[str, Any]:
        """Order an item."""
        shop.reach("order", item, count)
        return {"ordered": item, "count": count}

    @tool(write=True, idempotent=True)
    async def note(text: str, ctx: ToolContext) -> str:
        """Write a note."""
        shop.reach("note", text, ctx.idempotency_key)
        return "noted"

    known: dict[str, Any] = {
        "name": "shop",
        "model": "m1",
        "instructions": "Sell fruit.",
        "tools": (stock, order, note),
        "policy": Policy(allow="any"),
        "tool_retry": RetryPolicy(first_s=0.5),
    }
    return Agent(**{**known, **fields})


def passing_fault(message: str = "busy") -> RetryableError:
    """Return a fault that a tool raises and that may be repeated."""
    return RetryableError(message)
