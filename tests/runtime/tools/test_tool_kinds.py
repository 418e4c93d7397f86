"""Where tools run: threads that are given up tell their late outcome, processes are killed."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading

import pytest

from runtime import Agent, Policy, RetryPolicy, ScriptedModel, ToolError, run_agent, tool
from runtime.core.effects import ToolResult
from runtime.errors import UsageError
from runtime.ports.tools import ToolContext
from runtime.testing import calls, says
from runtime.tools.tool import Tool


def _context(late: list[ToolResult | None] | None = None) -> ToolContext:
    return ToolContext(
        request_id="req_1",
        tenant="acme",
        environment="test",
        lane="0.tool0/1",
        attempt=1,
        idempotency_key=None,
        seconds_left=None,
        on_late=None if late is None else late.append,
    )


@tool(kind="process")
def process_id(word: str) -> dict[str, object]:
    """Say which process runs this."""
    return {"word": word, "pid": os.getpid()}


@tool(kind="process", timeout_s=0.3, write=True)
def endless() -> str:
    """Never end."""
    threading.Event().wait()
    return "never"


@tool(kind="process")
def refuses(word: str) -> str:
    """Raise an error of its own domain."""
    raise ToolError(f"no such {word}")


def _call(of: Tool, **arguments: object) -> ToolResult:
    checked = of.validate(arguments)
    assert not checked.problems
    return asyncio.run(of.call(checked.value, _context()))


def test_a_process_tool_runs_in_another_process() -> None:
    result = _call(process_id, word="hello")

    assert '"word":"hello"' in result.content
    assert f'"pid":{os.getpid()}' not in result.content


def test_a_process_tools_own_error_is_told_to_the_model() -> None:
    result = _call(refuses, word="order")

    assert (result.status, result.content) == ("error", "no such order")


def test_a_process_tool_past_its_limit_is_killed_and_its_write_is_in_doubt() -> None:
    agent = Agent(name="a", model="m", tools=(endless,), tool_retry=RetryPolicy(attempts=1), policy=Policy())

    result = run_agent(agent, "go", model=ScriptedModel([calls(("endless", {})), says("done")]))

    assert result.stop_reason == "in_doubt:endless"
    assert result.totals.duration_s is not None
    assert result.totals.duration_s < 5


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, ["late"]),
        (ToolError("no such order"), ["no such order"]),
        (ConnectionResetError("gone"), [None]),
    ],
)
def test_a_thread_that_was_given_up_tells_its_late_outcome(
    error: Exception | None, expected: list[str | None]
) -> None:
    let_go, told = threading.Event(), threading.Event()
    late: list[ToolResult | None] = []

    @tool(timeout_s=0.05)
    def slow() -> str:
        """Wait to be let go."""
        let_go.wait(10)
        if error is not None:
            raise error
        return "late"

    def keep_late(result: ToolResult | None) -> None:
        late.append(result)
        told.set()

    async def give_up() -> None:
        context = _context()
        keep = dataclasses.replace(context, on_late=keep_late)
        task = asyncio.ensure_future(slow.call(slow.validate({}).value, keep))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        let_go.set()
        await asyncio.to_thread(told.wait, 10)

    asyncio.run(asyncio.wait_for(give_up(), 10))

    assert [r if r is None else r.content for r in late] == expected


def test_a_process_tool_with_a_context_is_refused() -> None:
    def wants(ctx: ToolContext) -> str:
        return ctx.lane

    with pytest.raises(UsageError, match="takes ctx"):
        tool(kind="process")(wants)


def test_a_kind_that_does_not_fit_the_function_is_refused() -> None:
    async def coroutine() -> str:
        return "x"

    with pytest.raises(UsageError, match="coroutine function"):
        tool(kind="thread")(coroutine)
