"""A run of some steps with reads and writes that kills itself behind a record; told by its arguments."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from harness.record import Recorder
from runtime.core.policy import Budget, Policy
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.journal.files import JournalWriter
from runtime.journal.records import Record
from runtime.ports.tools import ToolContext
from runtime.testing import FakeClock, ScriptedModel, calls
from runtime.tools.tool import tool
from tests.support.agents import Prices
from tests.support.counts import FULL

STEPS = 20 if FULL else 5


def ledger_agent(ledger: Path) -> Agent:
    """Return an agent whose effects are lines of a file, so that they outlive the process."""

    def note(line: str) -> None:
        with ledger.open("a") as file:
            file.write(f"{line}\n")

    @tool
    async def look(number: int) -> str:
        """Look something up."""
        note(f"look {number}")
        return f"found {number}"

    @tool(write=True)
    async def pay(number: int, ctx: ToolContext) -> str:
        """Pay something once."""
        note(f"pay {number}")
        return f"paid {number}"

    return Agent(
        name="clerk",
        model="m1",
        instructions="Keep the books.",
        tools=(look, pay),
        policy=Policy(loop=None),
        budget=Budget(max_steps=STEPS + 5),
    )


def script() -> list[Any]:
    """Return a call for each step but the last, every third a write, and an answer."""
    made: list[Any] = [calls(("pay" if n % 3 == 2 else "look", {"number": n})) for n in range(STEPS - 1)]
    return [*made, "the books are kept"]


def request() -> Request:
    """Return the one request."""
    return Request(prompt="keep the books", request_id="req_books", tenant="acme", environment="test", seed=1)


async def record(journal: Path, ledger: Path) -> RunResult:
    """Record the run."""
    with Recorder(journal) as recorder:
        return await run_agent_async(
            ledger_agent(ledger),
            request(),
            model=ScriptedModel(script()),
            wrap=recorder.wrap,
            prices=Prices(),
            clock=FakeClock(),
        )


def main() -> None:
    """Fork a run for each line on stdin: journal, ledger, and the number of the record behind which it dies."""
    for line in sys.stdin:
        journal, ledger, last = line.split()
        child = os.fork()
        if child == 0:
            append = JournalWriter.append

            def dying(
                self: JournalWriter, record: Record, last: int = int(last), append: Any = append
            ) -> int:
                size: int = append(self, record)
                if record.seq == last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return size

            JournalWriter.append = dying  # type: ignore[method-assign]  # the test's own process
            asyncio.run(record(Path(journal), Path(ledger)))
            os._exit(1)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
