"""The live performer: hard timeouts, deadlines, abandoned work, and what a tool's exception becomes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from runtime.core.effects import (
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    Begin,
    CallTool,
    FailureKind,
    InputReply,
    Limits,
    SingleEffect,
    ToolResult,
)
from runtime.core.messages import Message, ModelReply, ModelRequest, user_message
from runtime.core.policy import Budget, Policy
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.execution.live.performer import LivePerformer
from runtime.execution.world import World as RunWorld
from runtime.ports.tool_failures import failure_of
from runtime.ports.tools import ToolContext
from runtime.testing import FakeClock, ScriptedModel, calls, fails, says
from runtime.tools.tool import RetryableError, Tool, tool
from tests.support.agents import Prices
from tests.support.playbook import header

SHORT = 0.02


def run(agent: Agent, script: list[Any], request: str | Request = "go", **ports: Any) -> RunResult:
    ports.setdefault("clock", FakeClock())
    return asyncio.run(run_agent_async(agent, request, model=ScriptedModel(script), prices=Prices(), **ports))


def agent_of(*tools: Tool, **fields: Any) -> Agent:
    return Agent(name="a", model="m1", tools=tools, **{"policy": Policy(allow="any"), **fields})


def test_a_read_that_hangs_times_out_is_repeated_and_then_ends_the_run() -> None:
    @tool(timeout_s=SHORT)
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    result = run(agent_of(hang), [calls(("hang", {}))])

    assert result.stop_reason == "tool_timeout:hang"
    assert [(c.status, c.attempts) for c in result.trace.tool_calls] == [("timeout", 3)]


def test_a_write_that_hangs_is_in_doubt_and_called_once() -> None:
    reached: list[int] = []

    @tool(write=True, timeout_s=SHORT)
    async def pay() -> str:
        reached.append(1)
        await asyncio.Event().wait()
        return "never"

    result = run(agent_of(pay), [calls(("pay", {}))])

    assert result.stop_reason == "in_doubt:pay"
    assert reached == [1]


def test_a_tool_that_swallows_cancellation_does_not_hold_the_run() -> None:
    async def main() -> RunResult:
        over = asyncio.Event()

        @tool(timeout_s=SHORT, write=True)
        async def stubborn() -> str:
            while not over.is_set():
                try:
                    await over.wait()
                except asyncio.CancelledError:
                    continue
            return "late"

        try:
            return await run_agent_async(
                agent_of(stubborn), "go", model=ScriptedModel([calls(("stubborn", {}))]), prices=Prices()
            )
        finally:
            over.set()
            await asyncio.sleep(0)

    result = asyncio.run(main())

    assert result.stop_reason == "in_doubt:stubborn"


def test_a_thread_that_hangs_times_out_while_it_goes_on() -> None:
    async def main() -> RunResult:
        over = threading.Event()

        @tool(timeout_s=SHORT, write=True)
        def block() -> str:
            over.wait(30)
            return "late"

        try:
            return await run_agent_async(
                agent_of(block), "go", model=ScriptedModel([calls(("block", {}))]), prices=Prices()
            )
        finally:
            over.set()

    result = asyncio.run(main())

    assert result.stop_reason == "in_doubt:block"


def test_the_run_s_deadline_cuts_a_read_off() -> None:
    @tool(timeout_s=30.0)
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    result = run(agent_of(hang, budget=Budget(max_seconds=SHORT)), [calls(("hang", {}))])

    assert result.stop_reason == "max_seconds"
    assert [c.status for c in result.trace.tool_calls] == ["interrupted"]


def test_the_run_s_deadline_cuts_a_model_off() -> None:
    class Hanging(ScriptedModel):
        async def call(self, *_: Any) -> ModelReply:
            await asyncio.Event().wait()
            return says("never")

    agent = agent_of(budget=Budget(max_seconds=SHORT))

    result = asyncio.run(run_agent_async(agent, "go", model=Hanging([]), prices=Prices()))

    assert result.stop_reason == "max_seconds"


def test_a_model_that_hangs_times_out() -> None:
    class Hanging(ScriptedModel):
        async def call(self, *_: Any) -> ModelReply:
            await asyncio.Event().wait()
            return says("never")

    agent = agent_of(model_timeout_s=SHORT)

    result = asyncio.run(run_agent_async(agent, "go", model=Hanging([]), prices=Prices(), clock=FakeClock()))

    assert result.stop_reason == "model_timeout:m1"
    assert result.totals.model_calls == 3


def test_the_run_s_deadline_ends_the_wait_for_a_person() -> None:
    class Absent:
        async def ask(self, call: AskApproval) -> ApprovalAnswer:
            await asyncio.Event().wait()
            return ApprovalAnswer(decision="granted")

    @tool(write=True)
    async def pay() -> str:
        return "paid"

    policy = Policy(allow="any", approve=("pay",), approval_timeout_s=300.0)
    agent = agent_of(pay, policy=policy, budget=Budget(max_seconds=SHORT))

    result = run(agent, [calls(("pay", {}))], desk=Absent())

    assert result.stop_reason == "max_seconds"
    assert result.totals.tool_executions == 0


def test_a_person_who_does_not_answer_in_time_is_a_timeout() -> None:
    class Absent:
        async def ask(self, call: AskApproval) -> ApprovalAnswer:
            await asyncio.Event().wait()
            return ApprovalAnswer(decision="granted")

    @tool(write=True)
    async def pay() -> str:
        return "paid"

    agent = agent_of(pay, policy=Policy(allow="any", approve=("pay",), approval_timeout_s=SHORT))

    assert run(agent, [calls(("pay", {}))], desk=Absent()).stop_reason == "approval_timeout"


def test_without_a_desk_nothing_is_approved() -> None:
    @tool(write=True)
    async def pay() -> str:
        return "paid"

    result = run(
        agent_of(pay, policy=Policy(allow="any", approve=("pay",), on_denied="stop")), [calls(("pay", {}))]
    )

    assert result.stop_reason == "approval_denied:pay"
    assert result.trace.approvals[0].by == "rule"


def test_a_tool_that_cancels_itself_fails_and_the_run_goes_on() -> None:
    @tool
    async def odd() -> str:
        raise asyncio.CancelledError

    result = run(agent_of(odd, policy=Policy(allow="any", on_failure="tell")), [calls(("odd", {})), "done"])

    assert result.stop_reason == "finish"
    assert [c.status for c in result.trace.tool_calls] == ["error"]


def test_further_input_is_asked_of_its_source() -> None:
    class Talk:
        def __init__(self) -> None:
            self.turns = [InputReply(messages=(user_message("and more?"),)), InputReply(end="finish")]

        async def next(self, conversation: tuple[Message, ...]) -> InputReply:
            return self.turns.pop(0)

    result = run(agent_of(), ["one", "two"], inputs=Talk())

    assert (result.stop_reason, result.output, result.totals.steps) == ("finish", "two", 2)


def test_text_is_shown_as_it_streams_and_a_repeated_call_begins_again() -> None:
    class Screen:
        def __init__(self) -> None:
            self.shown: list[str] = []

        def on_text(self, delta: str) -> None:
            self.shown.append(delta)

        def on_restart(self) -> None:
            self.shown.append("<restart>")

    screen = Screen()

    run(agent_of(), [fails("error", retryable=True), "hello"], observer=screen)

    assert screen.shown == ["<restart>", "hello"]


def test_replies_are_priced_and_what_the_port_priced_is_kept() -> None:
    import msgspec

    own = msgspec.structs.replace(says("b"), cost_nanousd=77)

    assert run(agent_of(), ["abc"]).totals.cost_nanousd is not None
    assert run(agent_of(), [own]).totals.cost_nanousd == 77


def test_a_model_s_exception_is_a_bug_and_ends_the_run_as_one() -> None:
    result = run(agent_of(), [])

    assert result.stop_reason == "internal_error"
    assert result.error is not None


@pytest.mark.parametrize(
    ("error", "kind", "retryable", "after_s"),
    [
        (ValueError("x"), FailureKind.ERROR, False, None),
        (ConnectionResetError("x"), FailureKind.ERROR, True, None),
        (TimeoutError("x"), FailureKind.TIMEOUT, True, None),
        (RetryableError("x", after_s=3.0), FailureKind.ERROR, True, 3.0),
    ],
)
def test_a_tool_s_exception_becomes_a_failure(
    error: Exception, kind: FailureKind, retryable: bool, after_s: float | None
) -> None:
    failure = failure_of(error)

    assert (failure.kind, failure.retryable, failure.after_s) == (kind, retryable, after_s)
    assert failure.error_type == type(error).__name__


def test_the_context_of_a_tool_is_bound_at_entry() -> None:
    seen: list[ToolContext] = []

    @tool(write=True)
    async def pay(n: int, ctx: ToolContext) -> str:
        seen.append(ctx)
        return "ok"

    request = Request(prompt="go", tenant="acme", environment="test", request_id="req_9")
    run(agent_of(pay), [calls(("pay", {"n": 1})), "done"], request)

    assert (seen[0].tenant, seen[0].environment, seen[0].request_id, seen[0].lane) == (
        "acme",
        "test",
        "req_9",
        "0.tool0/1",
    )
    assert seen[0].idempotency_key is not None


def perform(effect: SingleEffect, clock: FakeClock, tools: dict[str, Any] | None = None) -> AnyOutcome:
    async def main() -> AnyOutcome:
        live = LivePerformer(RunWorld(model=ScriptedModel([]), tools=tools or {}, clock=clock))
        clock.seconds = 100.0
        await live.perform(Begin(header=header()))
        clock.seconds = 103.0
        return await live.perform(effect)

    return asyncio.run(main())


def test_times_count_from_begin() -> None:
    class Slow:
        def __init__(self, clock: FakeClock) -> None:
            self.clock = clock

        async def call(self, bound: Any, context: ToolContext) -> ToolResult:
            self.clock.seconds += 2.0
            return ToolResult(content="ok")

    clock = FakeClock()
    effect = CallTool(
        lane="0.tool0/1", call_id="a", name="slow", arguments={}, args_hash="h", limits=Limits(timeout_s=9)
    )

    outcome = perform(effect, clock, {"slow": Slow(clock)})

    assert (outcome.at, outcome.duration_s) == (5.0, 2.0)


def test_what_is_not_bound_is_an_error_and_never_made_up() -> None:
    missing = CallTool(lane="0.tool0/1", call_id="a", name="x", arguments={}, args_hash="h")

    assert perform(missing, FakeClock()).failure is not None


def test_the_model_is_asked_with_the_clamped_limit() -> None:
    seen: list[int | None] = []

    class Watching(ScriptedModel):
        async def call(self, request: ModelRequest, limits: Limits, observer: Any = None) -> Any:
            seen.append(limits.max_output_tokens)
            return await super().call(request, limits, observer)

    agent = agent_of(max_output_tokens=1000, budget=Budget(max_usd="0.000003"))

    asyncio.run(run_agent_async(agent, "go", model=Watching(["ok"]), prices=Prices()))

    assert seen[0] is not None
    assert seen[0] < 1000
