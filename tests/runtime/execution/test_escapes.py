"""Whatever a tool raises is a failure of its call: it ends neither its run, nor others, nor the process."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

from runtime.core.policy import Policy, RetryPolicy
from runtime.entry.run import RunResult, run_agent_async
from runtime.errors import Signal
from runtime.ports.tool_failures import failure_of
from runtime.testing import FakeClock, ScriptedModel, calls
from runtime.tools.tool import Tool, ToolError, tool
from tests.runtime.failure_modes.world import agent_of
from tests.support.agents import Prices

ONCE = RetryPolicy(attempts=1)


class Odd(BaseException):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class MuteError(ToolError):
    def __str__(self) -> str:
        raise ValueError("no text")


class Boastful(Exception):
    @property
    def retryable(self) -> bool:
        raise ValueError("no")

    @property
    def after_s(self) -> float:
        raise ValueError("no")


def stops_iterating() -> str:
    return next(iter(()))


def leaves() -> str:
    sys.exit(3)


def parses() -> str:
    argparse.ArgumentParser().parse_args(["--bad"])
    return ""


def is_interrupted() -> str:
    raise KeyboardInterrupt


def is_odd() -> str:
    raise Odd("odd")


def ends_generating() -> str:
    raise GeneratorExit


def mutters() -> str:
    raise Mute


RAISED: list[tuple[Callable[[], str], str]] = [
    (stops_iterating, "StopIteration"),
    (leaves, "SystemExit: 3"),
    (parses, "SystemExit: 2"),
    (is_odd, "Odd: odd"),
    (ends_generating, "GeneratorExit"),
    (mutters, "Mute: (it has no text)"),
]


def in_thread(raises: Callable[[], str]) -> Tool:
    @tool(name="it", timeout_s=10.0)
    def it() -> str:
        return raises()

    return it


def on_the_loop(raises: Callable[[], str]) -> Tool:
    @tool(name="it", timeout_s=10.0)
    async def it() -> str:
        return raises()

    return it


def run(of: Tool) -> RunResult:
    agent = agent_of(of, tool_retry=ONCE, policy=Policy(allow="any", on_failure="tell"))
    model = ScriptedModel([calls(("it", {})), "done"])
    return asyncio.run(run_agent_async(agent, "go", model=model, prices=Prices(), clock=FakeClock()))


@pytest.mark.parametrize("kind", [in_thread, on_the_loop])
@pytest.mark.parametrize(("raises", "words"), RAISED)
def test_what_a_tool_raises_is_a_failure_of_its_call(
    raises: Callable[[], str], words: str, kind: Callable[[Callable[[], str]], Tool]
) -> None:
    result = run(kind(raises))

    (call,) = result.trace.tool_calls
    assert result.stop_reason == "finish"
    assert call.status == "error"
    assert words in str(call.error)


def test_an_interrupt_raised_in_a_thread_is_a_failure_too() -> None:
    (call,) = run(in_thread(is_interrupted)).trace.tool_calls

    assert "KeyboardInterrupt" in str(call.error)


def test_an_interrupt_of_the_main_thread_is_not_held_back() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(on_the_loop(is_interrupted))


def test_a_signal_that_ends_the_run_is_no_failure_of_the_call_it_passes() -> None:
    class Ended(Signal):
        pass

    def ends() -> str:
        raise Ended

    with pytest.raises(Ended):
        run(in_thread(ends))


def test_a_tool_that_leaves_does_not_end_another_run() -> None:
    async def main() -> tuple[RunResult, RunResult]:
        gone = asyncio.Event()

        @tool(name="it")
        async def waits() -> str:
            await gone.wait()
            return "safe"

        model = ScriptedModel([calls(("it", {})), "done"])
        other = asyncio.ensure_future(run_agent_async(agent_of(waits), "go", model=model, prices=Prices()))
        guilty = ScriptedModel([calls(("it", {}))])
        agent = agent_of(in_thread(leaves), tool_retry=ONCE)
        first = await run_agent_async(agent, "go", model=guilty, prices=Prices())
        gone.set()
        return first, await other

    first, other = asyncio.run(main())

    assert (first.stop_reason, other.stop_reason) == ("tool_error_exhausted:it", "finish")
    assert other.trace.tool_calls[0].result == "safe"


@pytest.mark.parametrize("kind", [in_thread, on_the_loop])
def test_an_error_of_the_tools_domain_may_have_no_text(kind: Callable[[Callable[[], str]], Tool]) -> None:
    def refuses() -> str:
        raise MuteError

    (call,) = run(kind(refuses)).trace.tool_calls

    assert (call.status, call.result) == ("error", "(it has no text)")


@pytest.mark.parametrize(
    ("after_s", "kept"),
    [(2, 2), (0.5, 0.5), (float("nan"), None), (float("inf"), None), (-1, None), ("x", None)],
)
def test_a_wait_that_is_no_time_is_not_believed(after_s: Any, kept: float | None) -> None:
    error = ValueError("busy")
    error.after_s = after_s  # type: ignore[attr-defined]  # what a library's exception may carry

    assert failure_of(error).after_s == kept


def test_an_exception_that_raises_when_asked_about_itself_is_not_believed() -> None:
    failure = failure_of(Boastful("x"))

    assert (failure.retryable, failure.after_s, failure.message) == (False, None, "Boastful: x")
