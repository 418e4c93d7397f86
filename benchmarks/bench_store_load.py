"""The SQLite control store under load: several processes on one file, a file that is locked, and a kill.

Each figure stands beside a peer that is measured in the same run: one process for eight, and an event loop that
uses no store for one whose store is locked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, quantiles
from tempfile import TemporaryDirectory
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench_guarded_step import Loop
from runtime.control.switches import Switch, SwitchRef
from runtime.errors import GoldrunError
from runtime.execution.acknowledgement import acknowledged
from runtime.execution.clock import SystemClock
from runtime.state.control.sqlite_store import SqliteControlStore

ROOT = Path(__file__).resolve().parents[1]
PROCESSES, STEPS, LOCKED_S, RUNS = 8, 20, 2.0, 200
_SECONDS = 4.0
TARGETS = {"throughput": 0.8, "slowest": 0.5, "p99_ms": 50.0, "lag_ms": 50.0, "kill_ms": 250.0}


def run() -> list[dict[str, Any]]:
    """Return one row for each figure: `name`, `value`, `target`, `unit` and `ok`."""
    with TemporaryDirectory() as folder:
        one = _steps_per_s(Path(folder) / "one.db", 1)
        many = _steps_per_s(Path(folder) / "many.db", PROCESSES)
        idle_ms = asyncio.run(_lag_ms(None))
        locked_ms = asyncio.run(_lag_ms(Path(folder) / "locked.db"))
        ack_ms, stop_ms = asyncio.run(_kill_ms(Path(folder) / "kill.db"))
    total = sum(each["steps_per_s"] for each in many)
    rates = [each["steps_per_s"] for each in many]
    alone = one[0]["steps_per_s"]
    p99 = max(each["p99_ms"] for each in many) / STEPS
    rows = [
        ("steps, 1 process", alone, None, "steps/s"),
        (f"steps, {PROCESSES} processes over 1", total / alone, TARGETS["throughput"], "x, at least"),
        (
            f"slowest of {PROCESSES} over their mean",
            min(rates) / mean(rates),
            TARGETS["slowest"],
            "x, at least",
        ),
        (f"p99 of a step, {PROCESSES} processes", p99, TARGETS["p99_ms"], "ms"),
        ("event loop lag p99, no store", idle_ms, None, "ms"),
        (f"event loop lag p99, file locked {LOCKED_S:g} s", locked_ms, TARGETS["lag_ms"], "ms"),
        (f"kill acknowledged, {RUNS} runs", ack_ms, None, "ms"),
        (f"kill, p99 to stop {RUNS} runs", stop_ms, TARGETS["kill_ms"], "ms"),
    ]
    return [_row(*row) for row in rows]


def _row(name: str, value: float, target: float | None, unit: str) -> dict[str, Any]:
    reached = target is None or (value >= target if "least" in unit else value <= target)
    return {"name": name, "value": round(value, 2), "target": target, "unit": unit, "ok": reached}


def _steps_per_s(path: Path, processes: int) -> list[dict[str, float]]:
    """Return what each process did that runs guarded steps on one file for some seconds."""
    SqliteControlStore(path).close()
    command = [sys.executable, str(Path(__file__)), "work", str(path)]
    begun = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for each in begun:
        assert each.stdout is not None
        each.stdout.readline()
    for each in begun:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    return [json.loads(each.communicate()[0]) for each in begun]


async def _work(path: Path) -> dict[str, float]:
    loop = Loop(SqliteControlStore(path), name=f"req_{os.getpid()}")
    await loop.run(STEPS)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began, took = time.perf_counter(), []
    while time.perf_counter() - began < _SECONDS:
        at = time.perf_counter()
        await loop.run(STEPS)
        took.append(1000 * (time.perf_counter() - at))
    return {
        "steps_per_s": len(took) * STEPS / (time.perf_counter() - began),
        "p99_ms": quantiles([*took, *took], n=100)[98],
    }


async def _lag_ms(path: Path | None) -> float:
    """Return the p99 of how late an event loop comes to its timers while the store of its runs is locked."""
    blocker: sqlite3.Connection | None = None
    runs: list[asyncio.Task[Any]] = []
    if path is not None:
        loop = Loop(SqliteControlStore(path, busy_timeout_s=LOCKED_S / 2))
        await loop.run(2)
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        runs = [asyncio.create_task(_refused(loop)) for _ in range(10)]
    late, ends = [], time.perf_counter() + LOCKED_S
    while time.perf_counter() < ends:
        at = time.perf_counter()
        await asyncio.sleep(0.005)
        late.append(1000 * (time.perf_counter() - at - 0.005))
    if blocker is not None:
        blocker.execute("ROLLBACK")
        blocker.close()
    await asyncio.gather(*runs)
    return quantiles(late, n=100)[98]


async def _refused(loop: Loop) -> None:
    try:
        await loop.run(STEPS)
    except (GoldrunError, RuntimeError):  # the store is locked: the run cannot begin, or not go on
        return


async def _kill_ms(path: Path) -> tuple[float, float]:
    """Return after how long a kill was acknowledged, and the p99 of when the runs had ended."""
    store, gate = SqliteControlStore(path), asyncio.Event()
    loop = Loop(store, gate=gate)
    ended: list[float] = []

    async def one() -> None:
        with contextlib.suppress(RuntimeError):  # it was killed and did not finish
            await loop.run(STEPS)
        ended.append(time.perf_counter())

    runs = [asyncio.create_task(one()) for _ in range(RUNS)]
    await asyncio.sleep(1.0)
    began = time.perf_counter()
    kill = Switch(ref=SwitchRef(scope="global"), by="bench", reason="", at=0.0)
    await acknowledged(store, await store.put_switch(kill), SystemClock())
    known = 1000 * (time.perf_counter() - began)
    await asyncio.gather(*runs)
    store.close()
    return known, quantiles([1000 * (at - began) for at in ended], n=100)[98]


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        sys.stdout.write(json.dumps(asyncio.run(_work(Path(sys.argv[2])))) + "\n")
    else:
        for found in run():
            mark = "info" if found["target"] is None else ("ok  " if found["ok"] else "MISS")
            aim = "" if found["target"] is None else f"  (target {found['target']:g})"
            sys.stdout.write(f"{mark} {found['name']:45} {found['value']:>10,.2f} {found['unit']}{aim}\n")
