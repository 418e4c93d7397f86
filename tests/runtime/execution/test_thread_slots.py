"""SlotPool: no more threads and processes than were asked for, first come first served, and nobody is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.control.switches import Switch, SwitchRef
from runtime.core.policy import Budget, Policy, RetryPolicy
from runtime.entry.agent import Agent
from runtime.entry.run import RunResult, run_agent, run_agent_async
from runtime.errors import UsageError
from runtime.execution.thread_slots import PROCESSES, THREADS, SlotPool, Ticket, limit_slots
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import Tool, tool
from tests.runtime.failure_modes.world import World, agent_of, until
from tests.support.agents import Prices

ONCE = RetryPolicy(attempts=1)


@pytest.fixture(autouse=True)
def few() -> Iterator[None]:
    limit_slots(threads=2, processes=1)
    yield
    limit_slots(threads=THREADS, processes=PROCESSES)


class Crowd:
    """Counts the calls that run at once; each waits until it is let go, or for `stay_s`."""

    def __init__(self, *, free: bool = True, stay_s: float = 20.0) -> None:
        self.stay_s = stay_s
        self._lock = threading.Lock()
        self.here = 0
        self.most = 0
        self.seen: list[int] = []
        self.go = threading.Event()
        if free:
            self.go.set()

    def tool(self, name: str = "come", **options: Any) -> Tool:
        @tool(name=name, **{"timeout_s": 20.0, **options})
        def come(n: int) -> str:
            with self._lock:
                self.here += 1
                self.seen.append(n)
                self.most = max(self.most, self.here)
            self.go.wait(self.stay_s)
            with self._lock:
                self.here -= 1
            return str(n)

        return come


@tool(kind="process")
def beside(folder: str, n: int) -> int:
    """Say how many of these run at once."""
    mark = Path(folder) / str(n)
    mark.touch()
    threading.Event().wait(0.5)  # long enough for another to come
    count = len(list(Path(folder).iterdir()))
    mark.unlink()
    return count


def asks(name: str, *numbers: int, **more: Any) -> Any:
    return calls(*((name, {"n": n, **more}) for n in numbers))


async def run(agent: Agent, *script: Any) -> RunResult:
    async with asyncio.timeout(30.0):
        return await run_agent_async(agent, "go", model=ScriptedModel([*script, "done"]), prices=Prices())


def test_a_turn_has_no_more_threads_than_there_are_slots() -> None:
    crowd = Crowd(free=False, stay_s=0.01)

    result = asyncio.run(run(agent_of(crowd.tool()), asks("come", *range(40))))

    assert result.stop_reason == "finish"
    assert [c.result for c in result.trace.tool_calls] == [str(n) for n in range(40)]
    assert crowd.most == 2
    assert crowd.seen[:2] in ([0, 1], [1, 0])


def test_a_turn_has_no_more_processes_than_there_are_slots(tmp_path: Path) -> None:
    result = asyncio.run(run(agent_of(beside), asks("beside", 1, 2, folder=str(tmp_path))))

    assert [c.result for c in result.trace.tool_calls] == ["1", "1"]


def test_runs_of_other_event_loops_share_the_slots() -> None:
    crowd = Crowd(free=False, stay_s=0.01)
    threads = [
        threading.Thread(target=lambda: asyncio.run(run(agent_of(crowd.tool()), asks("come", *range(10)))))
        for _ in range(4)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(crowd.seen) == 40
    assert crowd.most == 2


def test_the_time_limit_of_a_call_begins_when_the_call_does() -> None:
    crowd = Crowd(free=False)

    async def main() -> RunResult:
        first = asyncio.ensure_future(run(agent_of(crowd.tool()), asks("come", 1, 2)))
        await until(lambda: crowd.here == 2)
        agent = agent_of(crowd.tool("short", timeout_s=0.5), tool_retry=ONCE)
        second = asyncio.ensure_future(run(agent, asks("short", 3)))
        await asyncio.wait({second}, timeout=0.6)  # longer than its limit
        assert not second.done()
        crowd.go.set()
        await first
        return await second

    result = asyncio.run(main())

    assert (result.stop_reason, crowd.seen[2:]) == ("finish", [3])


def test_the_runs_time_ends_the_wait_and_a_write_that_waited_is_not_in_doubt() -> None:
    crowd = Crowd(free=False)

    async def main() -> RunResult:
        first = asyncio.ensure_future(run(agent_of(crowd.tool()), asks("come", 1, 2)))
        await until(lambda: crowd.here == 2)
        late = agent_of(crowd.tool("pay", write=True), budget=Budget(max_seconds=0.1))
        result = await run(late, asks("pay", 3))
        crowd.go.set()
        await first
        return result

    result = asyncio.run(main())

    (call,) = result.trace.tool_calls
    assert (result.stop_reason, call.status) == ("max_seconds", "interrupted")
    assert crowd.seen == [1, 2] or crowd.seen == [2, 1]


def test_a_kill_ends_the_wait_and_a_write_that_waited_is_not_in_doubt(tmp_path: Path) -> None:
    crowd = Crowd(free=False)
    world = World(BlockingControlStore(SqliteControlStore(tmp_path / "c.sqlite")))

    async def main() -> RunResult:
        first = asyncio.ensure_future(run(agent_of(crowd.tool()), asks("come", 1, 2)))
        await until(lambda: crowd.here == 2)
        agent = agent_of(crowd.tool("pay", write=True))
        second = asyncio.ensure_future(world.run(agent, [asks("pay", 3), "done"]))
        await until(lambda: ("intent", None) in world.audit.kinds("pay"))
        world.store.put_switch(Switch(ref=SwitchRef(scope="global"), by="ann", reason="test", at=0.0))
        result = await second
        crowd.go.set()
        await first
        return result

    result = asyncio.run(main())

    assert result.stop_reason == "operator_kill"
    assert [c.status for c in result.trace.tool_calls] == ["interrupted"]
    assert 3 not in crowd.seen


def test_a_run_that_is_cancelled_while_it_waits_gives_its_turn_back() -> None:
    crowd = Crowd(free=False)

    async def main() -> RunResult:
        first = asyncio.ensure_future(run(agent_of(crowd.tool()), asks("come", 1, 2)))
        await until(lambda: crowd.here == 2)
        gone = asyncio.ensure_future(run(agent_of(crowd.tool()), asks("come", 3, 4, 5)))
        await asyncio.wait({gone}, timeout=0.05)
        gone.cancel()
        await asyncio.wait({gone})
        crowd.go.set()
        await first
        return await run(agent_of(crowd.tool()), asks("come", 6, 7))

    result = asyncio.run(main())

    assert result.stop_reason == "finish"
    assert sorted(crowd.seen) == [1, 2, 6, 7]


def test_a_thread_that_was_given_up_keeps_nobody_waiting() -> None:
    stuck, free = Crowd(free=False), Crowd()
    agent = agent_of(
        stuck.tool("hang", timeout_s=0.05), free.tool(), tool_retry=ONCE, policy=Policy(on_failure="tell")
    )

    result = asyncio.run(run(agent, asks("hang", 1, 2, 3), asks("come", 4)))
    stuck.go.set()

    assert [c.status for c in result.trace.tool_calls] == ["timeout"] * 3 + ["ok"]


def test_runs_within_thread_tools_do_not_wait_for_the_calls_they_serve() -> None:
    inner = Crowd()

    @tool(timeout_s=20.0)
    def sync_agent(n: int) -> str:
        model = ScriptedModel([asks("come", n), "done"])
        return run_agent(agent_of(inner.tool()), "go", model=model, prices=Prices()).stop_reason

    result = asyncio.run(run(agent_of(sync_agent), asks("sync_agent", *range(4))))

    assert [c.result for c in result.trace.tool_calls] == ["finish"] * 4


def test_runs_that_a_thread_tool_starts_in_another_thread_do_not_wait_for_it() -> None:
    inner = Crowd()

    def work(n: int) -> str:
        model = ScriptedModel([asks("come", n), "done"])
        return run_agent(agent_of(inner.tool()), "go", model=model, prices=Prices()).stop_reason

    @tool(timeout_s=5.0)
    def sync_agent(n: int) -> str:
        return asyncio.run(asyncio.to_thread(work, n))

    result = asyncio.run(run(agent_of(sync_agent), asks("sync_agent", *range(4))))

    assert [c.result for c in result.trace.tool_calls] == ["finish"] * 4


def test_child_runs_do_not_wait_for_the_calls_they_serve() -> None:
    inner = Crowd()
    script = ScriptedModel(lambda request: asks("come", 1) if len(request.messages) < 2 else "done")
    child = Agent(name="child", model="m1", tools=(inner.tool(),), client=script)
    loops: list[asyncio.AbstractEventLoop] = []

    @tool(timeout_s=20.0, children=True)
    def delegate(n: int, ctx: ToolContext) -> str:
        assert ctx.child is not None
        future = asyncio.run_coroutine_threadsafe(_awaited(ctx.child(child, "go")), loops[0])
        return str(future.result(20).stop_reason)

    async def main() -> RunResult:
        loops.append(asyncio.get_running_loop())
        return await run(agent_of(delegate), asks("delegate", 1, 2))

    assert [c.result for c in asyncio.run(main()).trace.tool_calls] == ["finish", "finish"]


async def _awaited(work: Any) -> Any:
    return await work


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"processes": -1}])
def test_slots_that_are_none_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="allow at least 1"):
        limit_slots(**wrong)


@given(st.integers(1, 4), st.lists(st.integers(0, 9), max_size=40))
def test_slots_are_never_overdrawn_and_none_is_lost(limit: int, steps: list[int]) -> None:
    async def main() -> None:
        slots = SlotPool(limit)
        tickets: list[Ticket] = []
        for step in steps:
            if step < 6 or not tickets:
                tickets.append(slots.ticket())
            else:
                slots.release(tickets.pop(step % len(tickets)))
            held = [t for t in tickets if t.held]
            assert len(held) == min(limit, len(tickets))
            assert held == tickets[: len(held)]
        for ticket in tickets:
            slots.release(ticket)
            slots.release(ticket)
        assert [slots.ticket().held for _ in range(limit + 1)] == [True] * limit + [False]

    asyncio.run(main())


def test_who_waits_goes_on_when_there_are_more_slots() -> None:
    async def main() -> None:
        slots = SlotPool(1)
        first, second = slots.ticket(), slots.ticket()
        assert not second.held
        slots.limit = 2
        await asyncio.wait_for(second.wait(), 10)
        assert (first.held, second.held) == (True, True)

    asyncio.run(main())


def test_a_turn_of_a_loop_that_is_closed_is_passed_on() -> None:
    slots = SlotPool(1)

    async def queue() -> None:
        slots.ticket()

    held = slots.ticket()
    asyncio.run(queue())

    async def main() -> bool:
        waiting = slots.ticket()
        slots.release(held)
        await asyncio.wait_for(waiting.wait(), 10)
        return waiting.held

    assert asyncio.run(main())
