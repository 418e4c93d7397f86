"""The scripted model: each answer is computed from the request alone (instructions, tool schemas, last results).

It has one weakness on purpose: it trusts its instructions more than a tool's schema, and repeats a refused call.
"""

from __future__ import annotations

import json
import re
from typing import Any

from runtime.core.messages import ModelReply, ModelRequest, TextPart, ToolCallPart, ToolResponsePart
from runtime.testing.scripted import calls, says

_ORDER = re.compile(r"\b\d{4}\b")
_FIELD = re.compile(r"order\.lookup\((\w+)\)")


def policy(request: ModelRequest) -> ModelReply:
    """Return the next answer to a request."""
    last = _last_call(request)
    if last is not None and last[1].startswith("Invalid arguments"):
        return calls((last[0].name, last[0].arguments))
    tool_names = {schema.name for schema in request.tools}
    order = _ORDER.search(_text(request, "user"))
    results = _results(request)
    if order is None or "order.lookup" not in tool_names:
        return _from_articles(results, _text(request, "user"))
    if "order.lookup" not in results:
        return calls(("order.lookup", {_field(request): order[0]}))
    order_row = _json(results["order.lookup"])
    if order_row is None:
        return says(f"I cannot find order {order[0]}. Please check the number on your invoice.")
    if "carrier.track" not in results:
        return calls(("carrier.track", {"tracking": order_row["tracking"]}))
    parcel = _json(results["carrier.track"])
    if parcel is None:
        return _from_articles(results, "carrier tracking outage")
    if parcel["status"] == "late" and "ticket.create" not in results:
        summary = f"{order_row['item']} is late, last seen: {parcel['last_seen']}"
        return calls(("ticket.create", {"order_id": order[0], "summary": summary}))
    ticket = _json(results.get("ticket.create", ""))
    note = f" I opened ticket {ticket['ticket']}." if ticket else ""
    return says(f"Your {order_row['item']} is {parcel['status']}, last seen: {parcel['last_seen']}.{note}")


def _from_articles(results: dict[str, str], question: str) -> ModelReply:
    if "kb.search" not in results:
        return calls(("kb.search", {"q": question}))
    articles = _json(results["kb.search"])
    return says(articles[0] if articles else "I do not know; a colleague will answer you.")


def _field(request: ModelRequest) -> str:
    named = _FIELD.search(_text(request, "system"))
    return named[1] if named else "order_id"


def _text(request: ModelRequest, role: str) -> str:
    parts = [part for message in request.messages if message.role == role for part in message.parts]
    return "\n".join(part.content for part in parts if isinstance(part, TextPart))


def _last_call(request: ModelRequest) -> tuple[ToolCallPart, str] | None:
    answered = _answered(request)
    return answered[-1] if answered else None


def _results(request: ModelRequest) -> dict[str, str]:
    return {call.name: result for call, result in _answered(request)}


def _answered(request: ModelRequest) -> list[tuple[ToolCallPart, str]]:
    parts = [part for message in request.messages for part in message.parts]
    calls_by_id = {part.id: part for part in parts if isinstance(part, ToolCallPart)}
    return [
        (calls_by_id[p.id], p.response)
        for p in parts
        if isinstance(p, ToolResponsePart) and p.id in calls_by_id
    ]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
