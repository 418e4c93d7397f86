"""The loop of `bench_guarded_step` in other frameworks, with their own instant fake models; imported if installed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

Run = Callable[[int], Awaitable[None]]
"""Makes one run of some steps and an answer."""


def pydantic_ai() -> Run:
    """Return the loop in pydantic-ai."""
    ai: Any = import_module("pydantic_ai")
    messages: Any = import_module("pydantic_ai.messages")
    function: Any = import_module("pydantic_ai.models.function")
    usage: Any = import_module("pydantic_ai.usage")

    async def run(steps: int) -> None:
        made = 0

        def answer(seen: Any, info: Any) -> Any:
            nonlocal made
            made += 1
            if made > steps:
                return messages.ModelResponse(parts=[messages.TextPart("done")])
            return messages.ModelResponse(parts=[messages.ToolCallPart("look", {"n": made})])

        agent: Any = ai.Agent(function.FunctionModel(answer))
        agent.tool_plain(look)
        await agent.run("go", usage_limits=usage.UsageLimits(request_limit=steps + 1))

    return run


def openai_agents() -> Run:
    """Return the loop in openai-agents, its tracing switched off."""
    sdk: Any = import_module("agents")
    types: Any = import_module("openai.types.responses")
    tool = sdk.function_tool(look)

    async def run(steps: int) -> None:
        made = 0

        async def answer(self: Any, *arguments: Any, **named: Any) -> Any:
            nonlocal made
            made += 1
            text = types.ResponseOutputText(text="done", type="output_text", annotations=[])
            item = types.ResponseOutputMessage(
                id="m", type="message", role="assistant", status="completed", content=[text]
            )
            if made <= steps:
                item = types.ResponseFunctionToolCall(
                    name="look", arguments=f'{{"n": {made}}}', call_id=f"call_{made}", type="function_call"
                )
            return sdk.ModelResponse(output=[item], usage=sdk.Usage(), response_id=None)

        instant = type("Instant", (sdk.Model,), {"get_response": answer, "stream_response": answer})
        agent = sdk.Agent(name="bench", tools=[tool], model=instant())
        config = sdk.RunConfig(tracing_disabled=True)
        await sdk.Runner.run(agent, "go", max_turns=steps + 1, run_config=config)

    return run


def langgraph() -> Run:
    """Return the loop in langgraph: a model node and its tool node."""
    messages: Any = import_module("langchain_core.messages")
    graphs: Any = import_module("langgraph.graph")
    prebuilt: Any = import_module("langgraph.prebuilt")
    tool = import_module("langchain_core.tools").tool(look)

    async def run(steps: int) -> None:
        made = 0

        async def answer(state: Any) -> Any:
            nonlocal made
            made += 1
            if made > steps:
                return {"messages": [messages.AIMessage("done")]}
            call = {"name": "look", "args": {"n": made}, "id": f"call_{made}"}
            return {"messages": [messages.AIMessage("", tool_calls=[call])]}

        graph: Any = graphs.StateGraph(graphs.MessagesState)
        graph.add_node("model", answer)
        graph.add_node("tools", prebuilt.ToolNode([tool]))
        graph.add_edge(graphs.START, "model")
        graph.add_conditional_edges(
            "model", prebuilt.tools_condition, {"tools": "tools", graphs.END: graphs.END}
        )
        graph.add_edge("tools", "model")
        await graph.compile().ainvoke({"messages": [("user", "go")]}, {"recursion_limit": 2 * steps + 5})

    return run


async def look(n: int) -> str:
    """Look something up."""
    return "seen"


LOOPS: dict[str, Callable[[], Run]] = {
    "pydantic_ai": pydantic_ai,
    "agents": openai_agents,
    "langgraph": langgraph,
}
"""By the name of the module that must be installed."""
