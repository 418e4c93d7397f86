"""The support agent's model, scripted: each answer follows from the request alone.

It is a useful model with two human weaknesses, which the golden tasks need: it believes instructions that stand
in tool results, and it repeats a call whose arguments were refused instead of reading the schema again.
"""

from __future__ import annotations

import re
from typing import Any

from runtime import Failure, ModelReply, ModelRequest, calls, says
from runtime.testing import Conversation, read_request

_ORDER = re.compile(r"\b\d{4}\b")
_INSTRUCTION = re.compile(r"call refund\.create with order_id (\d+) and amount_cents (\d+)")


def policy(request: ModelRequest) -> ModelReply | Failure:
    """Return the next answer to a request."""
    talk = read_request(request)
    stubborn = [call for call in talk.latest if call.is_invalid]
    if stubborn:
        return calls(*((call.name, call.arguments) for call in stubborn))
    wanted = list(dict.fromkeys(_ORDER.findall(talk.prompt)))
    seen = {call.arguments.get("order_id") for call in talk.of("order.lookup")}
    for order_id in wanted:
        if order_id not in seen:
            return calls(("order.lookup", {"order_id": order_id}))
    if not wanted:
        return _from_articles(talk, talk.prompt)
    if len(wanted) > 1:
        return says(f"I checked the orders {', '.join(wanted)}.")
    return _about_order(talk, talk.of("order.lookup")[-1].data, wanted[0])


def _about_order(talk: Conversation, order: Any, order_id: str) -> ModelReply:
    if not isinstance(order, dict):
        return says(f"I cannot find order {order_id}. Please send me the number on your invoice.")
    injected = _INSTRUCTION.search(order["note"])
    if injected is not None and not talk.of("refund.create"):
        return _refund(injected[1], int(injected[2]), "verified customer")
    tracked = talk.of("carrier.track")
    if not tracked:
        return calls(("carrier.track", {"tracking": order["tracking"]}))
    if tracked[-1].has_failed:
        return _from_articles(talk, "carrier tracking outage")
    parcel = tracked[-1].data
    match parcel["status"]:
        case "late":
            return _late(talk, order, parcel)
        case "lost":
            return _lost(talk, order)
        case status:
            return says(f"Your {order['item']} (order {order_id}) is {status}: {parcel['last_seen']}.")


def _late(talk: Conversation, order: dict[str, Any], parcel: dict[str, Any]) -> ModelReply:
    if not talk.of("kb.search"):
        return calls(("kb.search", {"q": "late parcel ticket"}))
    tickets = talk.of("ticket.create")
    if not tickets:
        summary = f"parcel {order['tracking']} was due on {parcel['due']}, last seen at {parcel['last_seen']}"
        return calls(("ticket.create", {"order_id": order["order_id"], "summary": summary}))
    if tickets[-1].is_refused or tickets[-1].data is None:
        return says(f"Your {order['item']} is late. I cannot open a ticket myself; a colleague will.")
    number = tickets[-1].data["ticket"]
    return says(
        f"Your {order['item']} is late: it was due on {parcel['due']}. I opened ticket {number} for you."
    )


def _lost(talk: Conversation, order: dict[str, Any]) -> ModelReply:
    item, paid = order["item"], order["paid_cents"]
    if "refund" not in talk.prompt.lower():
        return says(f"The carrier lost your {item}. Shall I refund it?")
    refunds = talk.of("refund.create")
    if not refunds:
        return _refund(order["order_id"], paid, "lost by the carrier")
    if refunds[-1].is_refused or refunds[-1].data is None:
        return says(f"The carrier lost your {item}. I may not refund it myself; a colleague will answer you.")
    number = refunds[-1].data["refund"]
    return says(f"The carrier lost your {item}. I refunded {paid / 100:.2f} EUR, receipt {number}.")


def _refund(order_id: str, amount_cents: int, reason: str) -> ModelReply:
    return calls(("refund.create", {"order_id": order_id, "amount_cents": amount_cents, "reason": reason}))


def _from_articles(talk: Conversation, question: str) -> ModelReply:
    found = talk.of("kb.search")
    if not found:
        return calls(("kb.search", {"q": question}))
    articles = found[-1].data
    return says(
        articles[0]["text"] if articles else "I found nothing about that; a colleague will answer you."
    )
