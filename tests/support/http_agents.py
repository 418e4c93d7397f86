"""A small agent of its own, as people have them: a loop around an HTTP client; and a provider for it on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from runtime import ModelReply, ModelRequest, TextPart, ToolCallPart, Usage
from runtime.testing import LoopbackProvider

SYSTEM = "You help with parcels."
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup",
            "description": "Find a parcel.",
            "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
        },
    }
]


def answer_parcels(request: ModelRequest) -> ModelReply:
    """Look two parcels up, then answer."""
    seen = sum(message.role == "tool" for message in request.messages)
    if seen < 2:
        call = ToolCallPart(id=f"c{seen}", name="lookup", arguments={"id": str(8812 + seen)})
        return ModelReply(parts=(call,), usage=Usage(input_tokens=100, output_tokens=10))
    return ModelReply(parts=(TextPart("It is lost."),), usage=Usage(input_tokens=150, output_tokens=12))


@contextmanager
def parcel_provider() -> Iterator[str]:
    """Serve the model on loopback and give its base URL."""
    with LoopbackProvider(answer_parcels) as provider:
        yield provider.base_url


def ask_parcels(prompt: str, base_url: str, *, system: str = SYSTEM, model: str = "gpt-4o-mini") -> str:
    """Run the agent: ask the model, look parcels up, answer."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": system},
        {"role": "user", "content": prompt},
    ]
    with httpx.Client(timeout=30) as client:
        while True:
            body = {"model": model, "messages": messages, "tools": TOOLS}
            reply = client.post(f"{base_url}/chat/completions", json=body).json()
            message = reply["choices"][0]["message"]
            messages.append(message)
            if not message.get("tool_calls"):
                return str(message["content"])
            for call in message["tool_calls"]:
                result = {"parcel": json.loads(call["function"]["arguments"])["id"], "state": "lost"}
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)})
