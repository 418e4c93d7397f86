"""How deep a tool stands: frames of ours above its body in a governed and recorded run.

A step of the chain may be a task of its own, so the frames above a tool are not one stack. They are counted where
they are: this task's own (`sys._getframe`), and of each task that waits for another one, down its chain of awaits.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from harness.record import Recorder
from runtime import Agent, Governor, Request, ScriptedModel, SqliteControlStore, run_agent, tool
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import calls
from tests.support.agents import Prices

ROOT = Path(__file__).parents[3]
OURS = (str(ROOT / "runtime"), str(ROOT / "harness"))
MOST_FRAMES = 15
FRAMES: list[str] = []


def is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(OURS)


def name_of(code: CodeType) -> str:
    return (
        f"{Path(code.co_filename).stem}:{code.co_qualname}" if sys.version_info >= (3, 11) else code.co_name
    )


def stack(frame: FrameType | None) -> Iterator[CodeType]:
    """Yield the code of a frame and of those above it: this task, the event loop, and who runs it."""
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


def awaits(task: asyncio.Task[Any]) -> Iterator[CodeType]:
    """Yield the code of a waiting task's coroutines, outermost first."""
    coroutine: Any = task.get_coro()
    while hasattr(coroutine, "cr_code"):
        yield coroutine.cr_code
        coroutine = coroutine.cr_await


def frames_above() -> list[str]:
    """Return our frames above the caller, in whatever task they stand; those of the control store are above nobody."""
    here = asyncio.current_task()
    waiting = [
        t for t in asyncio.all_tasks() if t is not here and not t.get_name().startswith("goldrun-control-")
    ]
    codes = [code for task in waiting for code in awaits(task)]
    codes += stack(sys._getframe(2))
    return [name_of(code) for code in codes if is_ours(code)]


@tool(write=True, takes_key=True)
async def pay(order: int, ctx: ToolContext) -> str:
    FRAMES[:] = frames_above()
    return f"order {order} is paid"


def frames_of_a_governed_run(folder: Path) -> list[str]:
    """Return our frames above a tool's body in a run that a store guards and a journal records."""
    store = BlockingControlStore(SqliteControlStore(folder / "control.db"))
    agent = Agent(name="clerk", model="m1", tools=(pay,))
    request = Request(prompt="pay", tenant="acme", environment="test", request_id="req_1")
    script: list[Any] = [calls(("pay", {"order": 1})), "paid"]

    FRAMES.clear()
    with Recorder(folder / "run.jsonl") as recorder:
        result = run_agent(
            agent,
            request,
            model=ScriptedModel(script),
            wrap=recorder.wrap,
            governor=Governor(store.store),
            prices=Prices(),
        )
    store.close()

    assert result.stop_reason == "finish"
    return list(FRAMES)


def test_at_most_15_of_our_frames_stand_above_a_tool_in_a_governed_and_recorded_run(tmp_path: Path) -> None:
    found = frames_of_a_governed_run(tmp_path)

    # The ends of the chain are there, so nothing of it was overlooked.
    assert {"run:run_agent", "driver:drive_async", "tool:Tool.call"} <= set(found)
    assert len(found) <= MOST_FRAMES, "\n".join(found)
