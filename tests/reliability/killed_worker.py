"""A worker that records eight runs at once and tells of each append; the test kills it.

It is started once and forks for each `go`, so that a thousand kills cost no thousand interpreters.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path
from typing import Any

from harness.record import ProductionRecorder, Settings
from runtime.core.policy import Budget, Policy
from runtime.entry.run import Request, run_agent_async
from runtime.journal.files import JournalWriter
from runtime.journal.records import Record
from runtime.testing import ScriptedModel, calls
from tests.support.agents import Prices, Shop, shop_agent

RUNS = 8


def acknowledge(fd: int) -> None:
    """Have each append tell the parent what was acknowledged, after it was."""
    append = JournalWriter.append

    def told(self: JournalWriter, record: Record) -> int:
        size = append(self, record)
        os.write(fd, f"{record.run} {record.seq}\n".encode())
        return size

    JournalWriter.append = told  # type: ignore[method-assign]  # the test's own process


async def work(folder: Path) -> None:
    """Record runs for ever, eight at a time, with journals so small that some are sealed meanwhile."""
    numbers = count()
    recorder = ProductionRecorder(folder, settings=Settings(rotate_bytes=60_000))

    async def lane() -> None:
        while True:
            script: list[Any] = [calls(("stock", {"item": "apple"})) for _ in range(5)]
            await run_agent_async(
                shop_agent(Shop(), policy=Policy(allow="any", loop=None), budget=Budget()),
                Request(prompt="sell " * 20, request_id=f"req_{next(numbers)}"),
                model=ScriptedModel([*script, "three"]),
                wrap=recorder.wrap,
                prices=Prices(),
            )

    await asyncio.gather(*(lane() for _ in range(RUNS)))


def tell(what: object) -> None:
    """Tell the test."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main() -> None:
    """Fork a worker for each line on stdin: a folder; tell its process id."""
    acks = int(sys.argv[1])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            acknowledge(acks)
            asyncio.run(work(Path(line.strip())))
        tell(child)
        os.waitpid(child, 0)
        tell("dead")


if __name__ == "__main__":
    main()
