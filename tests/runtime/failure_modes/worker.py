"""Processes of the failure-mode tests: say `ready`, wait for a line, run agents, say one JSON document."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.record import Recorder
from runtime.control.ledger import Caps
from runtime.core.messages import ModelRequest
from runtime.core.policy import Budget, Policy
from runtime.entry.agent import Agent
from runtime.entry.run import DuplicateRunError
from runtime.ports.tools import Reconcile
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import ScriptedModel, calls
from runtime.testing.scripted import Turn
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import World, agent_of, rules


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def heard() -> str:
    return sys.stdin.readline().rstrip("\n")


def note(path: Path, text: str) -> None:
    """Append a line that outlives the process: an effect in the world."""
    with path.open("a") as file:
        file.write(f"{text}\n")


def effects_of(path: Path) -> Path:
    return path.with_suffix(".effects")


def paying_agent(
    path: Path, *, dies: bool = False, reconcile: Reconcile | None = None, **fields: Any
) -> Agent:
    """Return an agent whose write is a line of a file; it may die right after it."""

    @tool(write=True, cost_usd="0.25", timeout_s=30.0, reconcile=reconcile)
    async def pay(order: int) -> str:
        """Pay an order."""
        note(effects_of(path), f"pay {order}")
        if dies:
            os._exit(9)
        return f"paid {order}"

    return agent_of(pay, **{"policy": Policy(loop=None), **fields})


def spend(path: Path, me: int, count: int, cap: int) -> Any:
    """Run many runs, each with one paid call, against one tenant's day."""
    world = World(
        BlockingControlStore(SqliteControlStore(path)), rules(tenant_day=Caps(tool_calls=cap)), limit_s=600.0
    )
    agent = paying_agent(path)

    async def main() -> list[str]:
        found: list[str] = []
        for first in range(0, count, 20):
            numbers = range(first, min(first + 20, count))
            script = [calls(("pay", {"order": me})), "done"]
            runs = (world.run(agent, list(script), f"req_{me}_{n}") for n in numbers)
            found += [r.stop_reason for r in await asyncio.gather(*runs)]
        return found

    return asyncio.run(main())


def hang(path: Path, me: int) -> Any:
    """Hold a paid call's reservation for ever."""
    world = World(BlockingControlStore(SqliteControlStore(path)))

    @tool(write=True, cost_usd="0.25", timeout_s=60.0)
    async def pay() -> str:
        say("in the tool")
        await asyncio.Event().wait()
        return "never"

    return asyncio.run(world.run(agent_of(pay), [calls(("pay", {}))])).stop_reason


def die(path: Path, me: int) -> Any:
    """Die after the effect and before its outcome is recorded."""
    world = World(BlockingControlStore(SqliteControlStore(path)))
    with Recorder(path.with_suffix(".jsonl")) as recorder:
        run = world.run(
            paying_agent(path, dies=True), [calls(("pay", {"order": 1})), "done"], wrap=recorder.wrap
        )
        return asyncio.run(run).stop_reason


def counted(path: Path, me: int) -> Any:
    """Make two writes of three that are allowed, then die in the third model call."""
    world = World(BlockingControlStore(SqliteControlStore(path)))
    answered = 0

    def answer(request: ModelRequest) -> Turn:
        nonlocal answered
        answered += 1
        if answered == 3:
            os._exit(9)
        return calls(("pay", {"order": answered}))

    agent = paying_agent(path, budget=Budget(max_tool_calls=3, max_steps=40))
    with Recorder(path.with_suffix(".jsonl")) as recorder:
        run = world.run(agent, [], model=ScriptedModel(answer), wrap=recorder.wrap)
        return asyncio.run(run).stop_reason


def deliver(path: Path, me: int) -> Any:
    """Deliver one request that other processes deliver too."""
    world = World(BlockingControlStore(SqliteControlStore(path)))
    try:
        run = world.run(paying_agent(path), [calls(("pay", {"order": 1})), "done"])
        return asyncio.run(run).stop_reason
    except DuplicateRunError as duplicate:
        return f"duplicate of {duplicate.run.run_id}"


def decide(path: Path, me: int) -> Any:
    """Approve what is listed, whatever its state, and say what that changed."""
    store = BlockingControlStore(SqliteControlStore(path))
    now = time.time()  # the test's run has a clock of the same anchor
    found = []
    for approval in store.list_approvals(now=now, state=None):
        change = store.decide_approval(
            approval.id, decision="granted", by="ann", args_hash=approval.binding.args_hash, now=now
        )
        found.append([change.applied, change.why])
    return found


def slow(path: Path, me: int, runs: int, steps: int) -> Any:
    """Run many runs of slow calls for two tenants; say when each call began and each run ended."""
    world = World(BlockingControlStore(SqliteControlStore(path)), rules(poll_s=0.05), limit_s=600.0)
    begun: list[tuple[str, float]] = []
    ended: list[tuple[str, str, float]] = []

    def tool_of(tenant: str) -> Agent:
        @tool
        async def step(n: int) -> str:
            begun.append((tenant, time.monotonic()))
            if len(begun) == runs:
                say("under way")
            await asyncio.sleep(0.05)
            return f"did {n}"

        return agent_of(step, policy=Policy(loop=None), budget=Budget(max_steps=steps + 1))

    async def one(tenant: str, n: int) -> None:
        script = [*(calls(("step", {"n": i})) for i in range(steps)), "done"]
        result = await world.run(tool_of(tenant), script, f"req_{tenant}_{n}", tenant=tenant)
        ended.append((tenant, result.stop_reason, time.monotonic()))

    async def main() -> None:
        await asyncio.gather(*(one("ab"[n % 2], n) for n in range(runs)))

    asyncio.run(main())
    return {"begun": begun, "ended": ended}


def think(path: Path, me: int) -> Any:
    """Wait for a model that never answers."""
    world = World(BlockingControlStore(SqliteControlStore(path)), rules(poll_s=0.05))

    class Silent:
        async def call(self, *arguments: Any) -> Any:
            say("thinking")
            await asyncio.Event().wait()

        async def aclose(self) -> None:
            """Hold nothing."""

    result = asyncio.run(world.run(agent_of(), [], model=Silent()))
    return {"stop": result.stop_reason, "at": time.monotonic()}


JOBS: dict[str, Callable[..., Any]] = {
    job.__name__: job for job in (spend, hang, die, counted, deliver, decide, slow, think)
}


def main() -> None:
    """Do the job that the arguments name: job, file, number of this process, further numbers."""
    job, path, *numbers = sys.argv[1:]
    say("ready")
    heard()
    say(json.dumps(JOBS[job](Path(path), *map(int, numbers))))


if __name__ == "__main__":
    main()
