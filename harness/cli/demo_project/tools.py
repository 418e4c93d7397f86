"""The agent's tools, bound to one shop."""

from __future__ import annotations

from runtime import RetryableError, Tool, ToolError, tool

from . import settings
from .world import Order, Parcel, World


def shop_tools(world: World) -> tuple[Tool, ...]:
    """Return the tools that read and change one shop."""

    @tool(name="order.lookup", rename={"order_id": settings.ORDER_FIELD})
    async def look_up_order(order_id: str) -> Order:
        """Return an order with its item and tracking number."""
        order = world.order(order_id)
        if order is None:
            raise ToolError(f"There is no order {order_id}.")
        return order

    @tool(name="carrier.track", timeout_s=5.0)
    async def track_parcel(tracking: str) -> Parcel:
        """Return a parcel's status from its carrier."""
        parcel = world.parcel(tracking)
        if parcel is None:
            raise RetryableError("the carrier answers 503")
        return parcel

    @tool(name="kb.search")
    async def search_articles(q: str) -> list[str]:
        """Return the help article that fits best."""
        return world.articles(q)

    @tool(name="ticket.create", write=True, idempotent=True)
    async def create_ticket(order_id: str, summary: str) -> dict[str, str]:
        """Open a ticket about a late parcel; returns its number."""
        return {"ticket": world.open_ticket(order_id), "summary": summary}

    return look_up_order, track_parcel, search_articles, create_ticket
