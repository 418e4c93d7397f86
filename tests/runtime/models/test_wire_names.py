"""Tool names that providers refuse travel renamed, and nobody above the adapter sees it."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.effects import Limits
from runtime.core.messages import Message, ModelReply, ModelRequest, ToolCallPart, ToolSchema, user_message
from runtime.models.openai_chat import OpenAIChat
from runtime.models.wire_names import WireNames
from runtime.testing.loopback import LoopbackProvider
from runtime.testing.scripted import calls

NAMES = st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=6, unique=True)


def _request(names: list[str]) -> ModelRequest:
    said = tuple(ToolCallPart(id=f"c{i}", name=name, arguments={}) for i, name in enumerate(names))
    return ModelRequest(
        model="m",
        messages=(user_message("hi"), Message(role="assistant", parts=said)),
        tools=tuple(ToolSchema(name=name) for name in names),
    )


@given(names=NAMES)
def test_names_on_the_wire_are_distinct_and_taken_by_providers_and_come_back(names: list[str]) -> None:
    wire = WireNames(_request(names))

    sent = [t.name for t in wire.sent(_request(names)).tools]
    reply = ModelReply(parts=tuple(ToolCallPart(id="x", name=name, arguments={}) for name in sent))

    assert len(set(sent)) == len(names)
    assert all(
        0 < len(n) <= 64 and n.replace("_", "a").replace("-", "a").isalnum() and n.isascii() for n in sent
    )
    assert [c.name for c in wire.received(reply).tool_calls] == names


def test_an_adapter_that_renames_gives_back_the_real_names() -> None:
    seen: list[str] = []

    def policy(request: ModelRequest) -> ModelReply:
        seen.extend(t.name for t in request.tools)
        answer = calls((request.tools[0].name, {}))
        assert isinstance(answer, ModelReply)
        return answer

    with LoopbackProvider(policy) as provider:

        async def ask() -> object:
            model = OpenAIChat(base_url=provider.base_url, rename_tools=True)
            try:
                return await model.call(_request(["order.lookup"]), Limits())
            finally:
                await model.aclose()

        reply = asyncio.run(ask())

    assert seen == ["order_lookup"]
    assert isinstance(reply, ModelReply)
    assert [c.name for c in reply.tool_calls] == ["order.lookup"]
