"""A control store that was replaced, cut or lost is noticed before the next write; workers stop without it too."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.core.policy import NO_RETRY, Budget, Policy
from runtime.entry.run import RunResult
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.state.control.stop_file import write_stop
from runtime.testing import calls
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import World, agent_of, rules, until, within


def replaced(path: Path) -> None:
    """Another file takes the store's name, as after a restore from a backup."""
    fresh = path.with_name("fresh.db")
    SqliteControlStore(fresh).close()
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
    fresh.rename(path)
    BlockingControlStore(SqliteControlStore(path)).close()


def removed(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def truncated(path: Path) -> None:
    os.truncate(path, 0)


def overwritten(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(os.urandom(size))


def log_removed(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


@pytest.mark.parametrize(
    "damage", [replaced, removed, truncated, overwritten, log_removed], ids=lambda damage: damage.__name__
)
def test_nothing_that_writes_starts_after_the_store_was_lost(
    store: BlockingControlStore, path: Path, damage: Callable[[Path], None]
) -> None:
    begun: list[int] = []
    world = World(store)

    @tool(write=True)
    async def pay(n: int) -> str:
        begun.append(n)
        if n == 2:
            damage(path)
        return "paid"

    agent = agent_of(pay, policy=Policy(allow=("pay",), loop=None), budget=Budget(max_steps=40))
    script = [*(calls(("pay", {"n": n})) for n in range(30)), "done"]

    result = asyncio.run(world.run(agent, script))

    assert begun == [0, 1, 2]
    assert result.stop_reason in {"control_unavailable", "in_doubt:pay"}


def test_a_run_cannot_begin_in_a_file_that_took_the_place_of_the_store(
    store: BlockingControlStore, path: Path
) -> None:
    world = World(store)
    shutil.copy(path, path.with_name("backup.db"))
    path.with_name("backup.db").rename(path)

    with pytest.raises(Exception, match="replaced"):
        asyncio.run(world.run(agent_of(), ["done"]))


def test_a_stop_file_stops_what_runs_while_another_process_has_the_store_locked(
    path: Path, store: BlockingControlStore
) -> None:
    world = World(store, rules(poll_s=0.005))
    turns = [0]

    async def main() -> tuple[RunResult, int]:
        began = asyncio.Event()

        @tool(timeout_s=None)
        async def wait() -> str:
            began.set()
            await asyncio.Event().wait()
            return "never"

        async def health() -> None:
            while True:
                turns[0] += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(health())
        run = asyncio.ensure_future(world.run(agent_of(wait), [calls(("wait", {})), "done"]))
        await began.wait()
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        before = turns[0]
        write_stop(path, by="ann", reason="locked", at=1.0)
        governed = next(iter(world.governor._watch._loops.values()))
        await until(lambda: not any(g.halted is None for g in governed.live))  # type: ignore[attr-defined]
        went_on = turns[0] - before
        blocker.execute("ROLLBACK")
        blocker.close()
        result = await run
        beside.cancel()
        return result, went_on

    result, went_on = asyncio.run(within(main()))

    assert result.stop_reason == "operator_kill"
    assert went_on > 0


def test_a_deadline_is_kept_while_another_process_has_the_store_locked(path: Path) -> None:
    made = BlockingControlStore(SqliteControlStore(path, busy_timeout_s=0.3))
    world = World(made)
    blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    @tool(timeout_s=0.05)
    async def wait() -> str:
        blocker.execute("BEGIN IMMEDIATE")
        await asyncio.Event().wait()
        return "never"

    agent = agent_of(wait, tool_retry=NO_RETRY)
    result = asyncio.run(world.run(agent, [calls(("wait", {})), "done"]))
    blocker.close()
    made.close()

    assert [c.status for c in result.trace.tool_calls] == ["timeout"]
