"""What a process tool's exception says crosses to the run: lost answers are in doubt, refused ones repeated."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.error import URLError

import pytest

from runtime import RetryableError, RetryPolicy, tool
from runtime.core.effects import FailureKind
from runtime.ports.tool_failures import failure_of
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import calls
from runtime.tools.tool_kinds import ProcessToolError
from tests.runtime.failure_modes.world import World, agent_of
from tests.runtime.tools.test_tool import CONTEXT

QUICK = RetryPolicy(attempts=2, first_s=0.001)
BROKEN, REFUSED = ConnectionResetError("x"), ConnectionRefusedError("x")


@tool(kind="process", write=True)
def writes(path: str, how: str) -> str:
    """Write, and fail in some way."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("w")
    match how:
        case "reset":
            raise ConnectionResetError("reset")
        case "refused":
            raise ConnectionRefusedError("no")
        case "late":
            raise TimeoutError("late")
        case "exits":
            os._exit(9)
        case _:
            raise ValueError("wrong")


@pytest.mark.parametrize(
    ("how", "reason", "made"),
    [
        ("reset", "in_doubt:writes", 1),
        ("late", "in_doubt:writes", 1),
        ("exits", "in_doubt:writes", 1),
        ("refused", "tool_error_exhausted:writes", 2),
        ("wrong", "tool_error_exhausted:writes", 1),
    ],
)
def test_a_write_of_a_process_is_in_doubt_or_repeated_as_that_of_a_thread(
    tmp_path: Path, how: str, reason: str, made: int
) -> None:
    path = tmp_path / "written"
    store = BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))

    script = [calls(("writes", {"path": str(path), "how": how})), "done"]
    result = asyncio.run(World(store).run(agent_of(writes, tool_retry=QUICK), script))
    store.close()

    assert (result.stop_reason, len(path.read_text())) == (reason, made)


@tool(kind="process")
def asks_to_wait() -> str:
    """Say when to come again."""
    raise RetryableError("busy", after_s=3.0)


def test_a_process_says_when_its_call_may_be_repeated() -> None:
    with pytest.raises(ProcessToolError) as raised:
        asyncio.run(asks_to_wait.call(asks_to_wait.validate({}).value, CONTEXT))

    failure = failure_of(raised.value)
    assert (failure.retryable, failure.after_s, failure.error_type) == (True, 3.0, "RetryableError")


@pytest.mark.parametrize(
    ("error", "phase", "retryable"),
    [
        (ExceptionGroup("x", [ValueError("x"), BROKEN]), "lost", True),
        (ExceptionGroup("x", [REFUSED, ExceptionGroup("y", [BROKEN])]), "lost", True),
        (ExceptionGroup("x", [REFUSED, REFUSED]), "connect", True),
        (ExceptionGroup("x", [REFUSED, ValueError("x")]), "run", False),
        (URLError(REFUSED), "connect", True),
        (URLError(BROKEN), "lost", True),
        (URLError("unknown url type"), "run", False),
    ],
)
def test_groups_and_wrapped_reasons_say_what_was_sent(error: Exception, phase: str, retryable: bool) -> None:
    failure = failure_of(error)

    assert (failure.phase, failure.retryable) == (phase, retryable)
    assert failure_of(URLError(TimeoutError())).kind is FailureKind.TIMEOUT
