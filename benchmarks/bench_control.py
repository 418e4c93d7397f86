"""Time the operations of the control stores, and one fully guarded step made of them: CPU and wall time."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runtime.control.breaker import BreakerRule
from runtime.control.ledger import Amount, Caps, SpendScope
from runtime.control.ratelimit import RateRule
from runtime.core.effects import ToolResult
from runtime.ports.control_store import ControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing.ram_store import RamControlStore

TARGETS: dict[str, tuple[float, float]] = {
    "reserve, 3 scopes": (70.0, 12.0),
    "settle": (50.0, 10.0),
    "claim (synced)": (90.0, 3.0),
    "complete claim (synced)": (100.0, 3.0),
    "look up claim": (12.0, 1.0),
    "lease and release, 20 taken": (60.0, 6.0),
    "rate": (60.0, 10.0),
    "ask breaker": (12.0, 2.0),
    "report breaker": (40.0, 6.0),
    "read switches": (8.0, 0.5),
    "guarded read step": (360.0, 70.0),
    "guarded write step": (700.0, 75.0),
}
"""Microseconds of CPU on SQLite and in memory. Wall time is shown beside it: it holds the waits for the disk, which
are those of the machine."""

_ROUNDS = 5
_REPEATS = 400
_BREAKER = BreakerRule()
_RATE = RateRule(50, 60.0)
_SCOPES = (
    SpendScope("acme/prod/run/req_1", Caps(nanos=10**14)),
    SpendScope("acme/prod/day/1", Caps(10**14)),
    SpendScope("*"),
)
_RESULT = ToolResult(content="The refund was approved. " * 8)


@dataclass(frozen=True, slots=True)
class Timing:
    """Median microseconds of one operation."""

    wall_us: float
    cpu_us: float


class Jobs:
    """The operations on one store; each takes the number of its call, which never comes twice."""

    def __init__(self, store: ControlStore) -> None:
        self.store = store
        self.taken: deque[int] = deque()

    async def prepare(self) -> None:
        """Fill the table of holds, and claim a known key."""
        for n in range(1_000):
            await self.reserve(-n - 1)
        await self.store.claim("known", args_hash="a", owner="o", now=1.0, lease_s=60.0)

    async def reserve(self, n: int) -> None:
        """Hold one call's worst case."""
        await self.store.reserve_spend(f"req_1/{n}", _SCOPES, Amount(1000, 900, 1), now=1.0, ttl_s=60.0)

    async def settle(self, n: int) -> None:
        """End that hold."""
        await self.store.settle_spend(f"req_1/{n}", Amount(700, 800, 1), now=2.0)

    async def claim(self, n: int) -> None:
        """Claim a write."""
        await self.store.claim(f"idem_{n}", args_hash="a", owner="o", now=1.0, lease_s=60.0)

    async def complete(self, n: int) -> None:
        """Store its result."""
        await self.store.end_claim(f"idem_{n}", fencing=1, state="done", result=_RESULT, now=2.0)

    async def lookup(self, n: int) -> None:
        """Look a claim up."""
        await self.store.lookup_claim("known", now=1.0)

    async def lease(self, n: int) -> None:
        """Take a slot and give back the one that was taken first."""
        answer = await self.store.acquire_lease("acme/prod/http.get", cap=50, owner="o", now=1.0, ttl_s=60.0)
        assert answer.lease is not None
        self.taken.append(answer.lease.fencing)
        if len(self.taken) > 20:
            await self.store.release_lease("acme/prod/http.get", fencing=self.taken.popleft())

    async def rate(self, n: int) -> None:
        """Take a token."""
        await self.store.take_rate("acme/prod/http.get", _RATE, now=1.0 + n)

    async def ask(self, n: int) -> None:
        """Ask the breaker."""
        await self.store.ask_breaker("acme/prod/http.get", _BREAKER, now=1.0 + n, token="t")

    async def report(self, n: int) -> None:
        """Tell the breaker."""
        await self.store.report_breaker(
            "acme/prod/http.get", _BREAKER, now=1.0 + n, generation=0, sample="ok", token="t"
        )

    async def read(self, n: int) -> None:
        """Read the switches."""
        await self.store.read_switches()

    async def read_step(self, n: int) -> None:
        """Do all that guards a model call and one tool call that reads."""
        await self.read(n)
        await self.reserve(10**6 + n)
        await self.settle(10**6 + n)
        await self.read(n)
        await self.ask(n)
        await self.rate(n)
        await self.lease(n)
        await self.reserve(2 * 10**6 + n)
        await self.settle(2 * 10**6 + n)
        await self.report(n)

    async def write_step(self, n: int) -> None:
        """Do the same for a tool call that writes."""
        await self.read_step(3 * 10**6 + n)
        await self.claim(10**6 + n)
        await self.complete(10**6 + n)


def run() -> list[dict[str, Any]]:
    """Return one row for each operation and store: `name`, `cpu_us`, `wall_us`, `target`, `unit` and `ok`."""
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        stores: dict[str, ControlStore] = {
            "sqlite": SqliteControlStore(Path(folder) / "control.db"),
            "memory": RamControlStore(),
        }
        for column, (kind, store) in enumerate(stores.items()):
            jobs = Jobs(store)
            in_order: list[Callable[[int], Awaitable[None]]] = [
                jobs.reserve,
                jobs.settle,
                jobs.claim,
                jobs.complete,
                jobs.lookup,
                jobs.lease,
                jobs.rate,
                jobs.ask,
                jobs.report,
                jobs.read,
                jobs.read_step,
                jobs.write_step,
            ]
            timings = asyncio.run(_interleaved(jobs, in_order))
            for (name, targets), timing in zip(TARGETS.items(), timings, strict=True):
                rows.append(_row(f"{kind}: {name}", timing, targets[column]))
            store.close()
    return rows


async def _interleaved(on: Jobs, jobs: list[Callable[[int], Awaitable[None]]]) -> list[Timing]:
    """Return the median of each job; every round runs all jobs in order, so load falls on all alike."""
    await on.prepare()
    found: list[list[Timing]] = [[] for _ in jobs]
    for number in range(_ROUNDS):
        for job, timings in zip(jobs, found, strict=True):
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            for n in range(number * _REPEATS, (number + 1) * _REPEATS):
                await job(n)
            per_us = 1e6 / _REPEATS
            timings.append(
                Timing((time.perf_counter() - wall) * per_us, (time.process_time() - cpu) * per_us)
            )
    return [Timing(median(t.wall_us for t in each), median(t.cpu_us for t in each)) for each in found]


def _row(name: str, timing: Timing, target: float) -> dict[str, Any]:
    return {
        "name": name,
        "cpu_us": round(timing.cpu_us, 1),
        "wall_us": round(timing.wall_us, 1),
        "target": target,
        "unit": "us CPU",
        "ok": timing.cpu_us <= target,
    }


def main() -> int:
    """Print the rows; the exit code says whether every target holds."""
    rows = run()
    for row in rows:
        mark = "ok  " if row["ok"] else "MISS"
        print(
            f"{mark} {row['name']:<36} {row['cpu_us']:>8,.1f} {row['unit']} (target {row['target']:,.1f})"
            f"  {row['wall_us']:>9,.1f} us wall"
        )
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
