"""Process tools: typed like any other, one clear error, and nothing of theirs is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, SecretStr

from runtime import Agent, Policy, RetryPolicy, ScriptedModel, ToolError, run_agent_async, tool
from runtime.core.effects import ToolResult
from runtime.testing import calls, says
from runtime.tools.tool import Tool
from tests.runtime.tools.test_tool import CONTEXT

FOREVER = "import threading; threading.Event().wait(90)"


class Order(BaseModel):
    number: int
    at: datetime
    token: SecretStr = SecretStr("default")


@tool(kind="process", rename={"first": "from"})
def typed(order: Order, first: Annotated[int, AfterValidator(lambda n: n + 1)] = 1) -> str:
    """Take what a signature says."""
    return f"{order.number} {order.at.year} {order.token.get_secret_value()} {first}"


@tool(kind="process", write=True)
def gives_a_model(path: str) -> list[Order]:
    """Write, and give what has a JSON form only as a model."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("written\n")
    return [Order(number=1, at=datetime(2020, 1, 1, tzinfo=UTC), token=SecretStr("x"))]


@tool(kind="process", write=True)
def gives_nothing_json(path: str) -> Any:
    """Write, and give what has no JSON form."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("written\n")
    return 2j


@tool(kind="process")
def leaves(code: int) -> str:
    """End the process as a command line tool does."""
    sys.exit(code)


@tool(kind="process")
def vanishes() -> str:
    """End the process without a word."""
    os._exit(0)


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@tool(kind="process")
def mutters() -> str:
    """Raise what has no text."""
    raise Mute


class MuteError(ToolError):
    def __str__(self) -> str:
        raise ValueError("no text")


@tool(kind="process")
def refuses() -> str:
    """Raise an error of its own domain that has no text."""
    raise MuteError


def _start_another(path: str) -> None:
    """Start a process that holds our output and never ends by itself, and say which it is."""
    other = subprocess.Popen([sys.executable, "-c", FOREVER])
    Path(path).write_text(str(other.pid), encoding="utf-8")


@tool(kind="process")
def leaves_another(path: str) -> str:
    """Return while a process that was started here goes on."""
    _start_another(path)
    return "done"


@tool(kind="process", timeout_s=30.0, write=True)
def waits_for_another(path: str) -> str:
    """Wait for a process that was started here."""
    _start_another(path)
    subprocess.run([sys.executable, "-c", FOREVER], check=False)
    return "never"


def call(of: Tool, **arguments: Any) -> ToolResult:
    checked = of.validate(arguments)
    assert checked.problems == ()
    return asyncio.run(of.call(checked.value, CONTEXT))


def alive(pid: int) -> bool:
    """Return whether a process runs; one that is dead and not yet waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


async def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20.0
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        await asyncio.sleep(0.005)


def started(path: Path) -> int | None:
    """Return the process that a tool has written down."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text(encoding="utf-8"))
    return None


def test_a_process_tool_gets_what_its_signature_says() -> None:
    order = {"number": 7, "at": "2020-01-01T00:00:00Z", "token": "secret"}

    assert call(typed, order=order, **{"from": 4}).content == "7 2020 secret 5"
    assert call(typed, order={"number": 7, "at": "2020-01-01T00:00:00Z"}).content == "7 2020 default 1"


def test_a_process_tool_gives_what_a_thread_tool_may_give(tmp_path: Path) -> None:
    path = tmp_path / "written"

    models = call(gives_a_model, path=str(path))
    other = call(gives_nothing_json, path=str(path))

    assert models.content == '[{"at":"2020-01-01T00:00:00Z","number":1,"token":"**********"}]'
    assert other == ToolResult(content="[the call was made; its result has no JSON form: complex]")


@pytest.mark.parametrize(
    ("of", "arguments", "words"),
    [
        (leaves, {"code": 0}, "SystemExit: 0"),
        (leaves, {"code": 3}, "SystemExit: 3"),
        (vanishes, {}, "ended with 0 and without an answer"),
        (mutters, {}, "Mute: (it has no text)"),
    ],
)
def test_a_process_that_gives_no_result_is_one_clear_error(
    of: Tool, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(Exception) as raised:
        call(of, **arguments)

    assert type(raised.value).__name__ == "ProcessToolError"
    assert words in str(raised.value)


def test_an_error_of_its_own_domain_may_have_no_text() -> None:
    result = call(refuses)

    assert (result.status, result.content) == ("error", "(it has no text)")


def test_a_process_that_leaves_another_behind_is_not_waited_for_and_takes_it_along(tmp_path: Path) -> None:
    path = tmp_path / "pid"

    async def main() -> ToolResult:
        async with asyncio.timeout(20.0):
            result = await leaves_another.call(leaves_another.validate({"path": str(path)}).value, CONTEXT)
            other = started(path)
            assert other is not None
            await until(lambda: not alive(other))
            return result

    assert asyncio.run(main()).content == "done"


def test_what_a_process_started_ends_with_its_cancelled_run(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    agent = Agent(name="a", model="m", tools=(waits_for_another,), policy=Policy(allow="any"))
    model = ScriptedModel([calls(("waits_for_another", {"path": str(path)})), says("done")])

    async def main() -> None:
        run = asyncio.ensure_future(run_agent_async(agent, "go", model=model))
        await until(lambda: started(path) is not None)
        other = started(path)
        assert other is not None
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await until(lambda: not alive(other))

    asyncio.run(main())


def test_what_a_process_started_ends_at_its_time_limit(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    short = tool(kind="process", timeout_s=3.0, write=True, name="short")(waits_for_another.function)
    agent = Agent(
        name="a", model="m", tools=(short,), tool_retry=RetryPolicy(attempts=1), policy=Policy(allow="any")
    )
    model = ScriptedModel([calls(("short", {"path": str(path)})), says("done")])

    async def main() -> str:
        result = await run_agent_async(agent, "go", model=model)
        other = started(path)
        assert other is not None
        await until(lambda: not alive(other))
        return result.stop_reason

    assert asyncio.run(main()) == "in_doubt:short"
