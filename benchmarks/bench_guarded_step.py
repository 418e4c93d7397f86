"""Time one guarded step over instant back ends, its growth with steps and runs, and the memory of a live run.

A step is a model call and a tool call with all guards and an audit event for each fact. The model and the tool
answer at once, so what is measured is the runtime alone. Peers run the same loop with their own instant fake models
if they are installed; they have fewer guards.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import itertools
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import peers
from runtime.core.effects import Limits
from runtime.core.messages import ModelReply, ModelRequest, TextPart, ToolCallPart
from runtime.core.money import Usage
from runtime.core.policy import Budget, Policy
from runtime.entry.agent import Agent
from runtime.entry.run import Request, run_agent_async
from runtime.execution.governor import Governor
from runtime.models.prices import PriceTable
from runtime.observability.run_events import Event, ObservingPerformer
from runtime.ports.control_store import ControlStore
from runtime.ports.models import StreamObserver
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing.ram_store import RamControlStore
from runtime.tools.tool import tool

STEPS, LONG = 50, 500
MANY = 200
TARGETS_US = {"no control": 100.0, "memory": 150.0, "sqlite": 250.0}
GROWTH_TARGET = 1.3
KIB_TARGET = 20.0
_ROUNDS = 5
_PRICES = PriceTable.default()
_NUMBERS = itertools.count()
_USAGE = Usage(input_tokens=900, output_tokens=40)


class Count:
    """An event sink that keeps nothing."""

    def __init__(self) -> None:
        self.events = 0

    def take(self, event: Event) -> None:
        """Count an event."""
        self.events += 1


class Instant:
    """A model that answers at once; unlike `ScriptedModel` it reads nothing of the conversation."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._made = 0

    async def call(
        self, request: ModelRequest, limits: Limits, observer: StreamObserver | None = None
    ) -> ModelReply:
        """Ask for the tool, or answer after the last step."""
        self._made += 1
        if self._made > self._steps:
            return ModelReply(parts=(TextPart("done"),), finish_reason="stop", usage=_USAGE)
        part = ToolCallPart(id=f"call_{self._made}", name="look", arguments={"n": self._made})
        return ModelReply(parts=(part,), finish_reason="tool_call", usage=_USAGE)

    async def aclose(self) -> None:
        """Hold nothing."""


class Loop:
    """Runs of an agent that looks something up until it has done so often enough."""

    def __init__(
        self, store: ControlStore | None, *, gate: asyncio.Event | None = None, name: str = "req"
    ) -> None:
        self._name = name
        self._governor = None if store is None else Governor(store)
        self._gate = gate
        self.waiting = 0

        @tool
        async def look(n: int) -> str:
            """Look something up."""
            if self._gate is not None:
                self.waiting += 1
                await self._gate.wait()
            return "seen"

        self._tool = look

    async def run(self, steps: int) -> None:
        """Make one run of some steps and an answer.

        Raises:
            RuntimeError: If it does not finish.
        """
        agent = Agent(
            name="bench",
            model="m1",
            tools=(self._tool,),
            policy=Policy(allow=("look",)),
            budget=Budget(max_steps=steps + 1, max_seconds=600.0, max_tool_calls=steps),
        )
        request = Request(
            prompt="go", tenant="acme", environment="bench", request_id=f"{self._name}_{next(_NUMBERS)}"
        )
        sink = Count()
        result = await run_agent_async(
            agent,
            request,
            model=Instant(steps),
            wrap=lambda inner: ObservingPerformer(inner, (sink,), key=b"k" * 16),
            prices=_PRICES,
            governor=self._governor,
        )
        if result.stop_reason != "finish":
            raise RuntimeError(f"the benchmark's run ended with {result.stop_reason!r}, not with an answer")


def cpu_us_per_step(run: Callable[[int], Awaitable[None]], steps: int, *, together: int = 1) -> float:
    """Return the median CPU microseconds of a step, over rounds of one or several runs at a time."""

    async def runs() -> None:
        await asyncio.gather(*(run(steps) for _ in range(together)))

    asyncio.run(runs())
    found = []
    for _ in range(_ROUNDS):
        gc.collect()
        start = time.process_time()
        asyncio.run(runs())
        found.append((time.process_time() - start) * 1e6 / (steps * together))
    return median(found)


def kib_per_live_run() -> float:
    """Return the memory of a run that waits in its first tool call, guards and conversation included."""

    async def measure() -> float:
        gate = asyncio.Event()
        loop = Loop(RamControlStore(), gate=gate)
        warm = asyncio.ensure_future(loop.run(1))
        await asyncio.sleep(0)
        while loop.waiting < 1:  # noqa: ASYNC110 - an event for it would be measured too
            await asyncio.sleep(0)
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        live = [asyncio.ensure_future(loop.run(1)) for _ in range(MANY)]
        while loop.waiting < MANY + 1:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gate.set()
        await asyncio.gather(warm, *live)
        return (after - before) / MANY / 1024

    return asyncio.run(measure())


def run() -> list[dict[str, Any]]:
    """Return one row for each measurement: `name`, `ratio` or `rate`, `target`, `unit`, `ok`."""
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        sqlite = SqliteControlStore(Path(folder) / "control.db")
        stores: dict[str, ControlStore | None] = {
            "no control": None,
            "memory": RamControlStore(),
            "sqlite": sqlite,
        }
        for name, store in stores.items():
            us = cpu_us_per_step(Loop(store).run, STEPS)
            rows.append(_row(f"guarded step, {name}", us, TARGETS_US[name], "us CPU a step"))
        for name in ("no control", "memory", "sqlite"):
            loop = Loop(stores[name])
            short, long = cpu_us_per_step(loop.run, 20), cpu_us_per_step(loop.run, LONG)
            rows.append(_row(f"growth 20 -> {LONG} steps, {name}", long / short, GROWTH_TARGET, "x"))
            many = cpu_us_per_step(loop.run, 20, together=MANY)
            rows.append(_row(f"growth 1 -> {MANY} runs, {name}", many / short, GROWTH_TARGET, "x"))
        sqlite.close()
    rows.append(_row("memory of a live run", kib_per_live_run(), KIB_TARGET, "KiB"))
    for module, peer in peers.LOOPS.items():
        if importlib.util.find_spec(module) is None:
            rows.append(_row(f"{module}: not installed, skipped", 0.0, None, "us CPU a step"))
            continue
        us = cpu_us_per_step(peer(), STEPS)
        rows.append(_row(f"{module}, same loop", us, None, "us CPU a step"))
    return rows


def _row(name: str, measured: float, target: float | None, unit: str) -> dict[str, Any]:
    ok = target is None or measured <= target
    return {"name": name, "ratio": round(measured, 2), "target": target, "unit": unit, "ok": ok}


def main() -> int:
    """Print the rows; the exit code says whether every target holds."""
    rows = run()
    for row in rows:
        mark = "info" if row["target"] is None else "ok  " if row["ok"] else "MISS"
        target = "" if row["target"] is None else f"(target {row['target']:g})"
        print(f"{mark} {row['name']:<40} {row['ratio']:>10,.2f} {row['unit']:<14} {target}")
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
