"""The tools of the support agent, bound to one world."""

from __future__ import annotations

from examples.support.world import SILENT_CARRIERS, Article, Order, Parcel, World
from runtime import RetryableError, Tool, ToolContext, ToolError, tool


def support_tools(world: World) -> tuple[Tool, ...]:
    """Return the tools that read and change a world."""
    return (*_reading(world), *_writing(world))


def _reading(world: World) -> tuple[Tool, ...]:
    @tool(name="kb.search")
    async def search_articles(q: str, limit: int = 2) -> list[Article]:
        """Search the help articles; the best come first."""
        return world.search(q, limit)

    @tool(name="order.lookup")
    async def look_up_order(order_id: str) -> Order:
        """Return an order with its item, price, tracking number and note."""
        return _order(world, order_id)

    @tool(name="carrier.track", timeout_s=5.0)
    async def track_parcel(tracking: str) -> Parcel:
        """Return where a parcel is, as its carrier says."""
        if tracking.partition("-")[0] in SILENT_CARRIERS:
            raise RetryableError("the carrier answers 503")
        if tracking not in world.parcels:
            raise ToolError(f"The carrier knows no parcel {tracking}.")
        return world.parcels[tracking]

    return search_articles, look_up_order, track_parcel


def _writing(world: World) -> tuple[Tool, ...]:
    @tool(name="ticket.create", write=True, idempotent=True)
    async def create_ticket(order_id: str, summary: str, ctx: ToolContext) -> dict[str, str]:
        """Open a ticket about an order; returns its number."""
        _order(world, order_id)
        return {"ticket": world.open_ticket(f"{order_id}: {summary}", ctx.idempotency_key)}

    @tool(name="refund.create", write=True, idempotent=True)
    async def create_refund(
        order_id: str, amount_cents: int, reason: str, ctx: ToolContext
    ) -> dict[str, str]:
        """Pay an order back; the amount is in euro cents and at most what was paid."""
        order = _order(world, order_id)
        if not 0 < amount_cents <= order.paid_cents:
            raise ToolError(
                f"Order {order_id} was paid with {order.paid_cents} cents; {amount_cents} is no refund of it."
            )
        return {"refund": world.refund(order_id, amount_cents, ctx.idempotency_key), "reason": reason}

    return create_ticket, create_refund


def _order(world: World, order_id: str) -> Order:
    if order_id not in world.orders:
        raise ToolError(f"No order {order_id}. Ask the customer for the number on the invoice.")
    return world.orders[order_id]
