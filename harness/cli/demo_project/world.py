"""The shop in memory: orders, parcels, help articles, tickets. One carrier does not answer."""

from __future__ import annotations

import re
from typing import TypedDict


class Order(TypedDict):
    """An order."""

    order_id: str
    item: str
    tracking: str


class Parcel(TypedDict):
    """A parcel's status, as its carrier reports it."""

    tracking: str
    status: str
    last_seen: str


_ITEMS = {
    "7301": "rain jacket",
    "7302": "tea set",
    "7303": "desk lamp",
    "7304": "wall clock",
    "7305": "door mat",
    "7306": "kettle",
    "5520": "bookshelf",
    "5521": "armchair",
    "5522": "wardrobe",
    "5523": "bed frame",
    "5524": "sideboard",
    "5525": "sofa",
    "5526": "dining table",
    "5527": "garden bench",
}
_PARCELS = {
    "NP-7301": ("late", "depot Leipzig"),
    "NP-7302": ("delivered", "front door"),
    "NP-7303": ("on its way", "depot Hannover"),
    "NP-7304": ("late", "depot Kassel"),
    "NP-7305": ("delivered", "neighbour"),
    "NP-7306": ("on its way", "customs"),
}
_ARTICLES = (
    "Late parcels: a parcel is late from the first day after its due date. Open a ticket for it.",
    "Carrier outage: if a carrier's tracking is down, ask the customer to wait until the next morning.",
    "Returns: goods come back free of charge within 30 days.",
    "Invoices: the invoice is attached to the mail that confirms the order.",
)


class World:
    """One shop; tools read and change it."""

    def __init__(self) -> None:
        self.tickets: dict[str, str] = {}

    def order(self, order_id: str) -> Order | None:
        """Return an order; numbers that begin with 5 are furniture, which slowfreight carries."""
        item = _ITEMS.get(order_id)
        if item is None:
            return None
        carrier = "SF" if order_id.startswith("5") else "NP"
        return Order(order_id=order_id, item=item, tracking=f"{carrier}-{order_id}")

    def parcel(self, tracking: str) -> Parcel | None:
        """Return a parcel of a carrier that answers."""
        if tracking not in _PARCELS:
            return None
        status, last_seen = _PARCELS[tracking]
        return Parcel(tracking=tracking, status=status, last_seen=last_seen)

    def articles(self, text: str) -> list[str]:
        """Return the help article that shares the most words with a text; empty if none shares any."""
        query = _words(text)
        best = max(_ARTICLES, key=lambda article: len(query & _words(article)))
        return [best] if query & _words(best) else []

    def open_ticket(self, order_id: str) -> str:
        """Return the number of the order's ticket; the first call opens it."""
        return self.tickets.setdefault(order_id, f"T-{order_id}")


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{5,}", text.lower()))
