"""What the failure-mode tests share: governed runs on a SQLite file, a list of events, a store that fails."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from runtime.core.effects import CallTool, Performer
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.execution.control_rules import ControlRules
from runtime.execution.governor import Governor
from runtime.observability.run_events import Event, ObservingPerformer
from runtime.ports.control_store import ControlStore
from runtime.ports.control_values import ControlUnavailable
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import ScriptedModel
from runtime.tools.tool import Tool
from tests.support.agents import Prices

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
TENANT, ENVIRONMENT = "acme", "test"


class Audit:
    """Keeps events; an `EventSink`.

    Attributes:
        events: In order.
        broken: Whether it refuses to take more.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.broken = False

    def take(self, event: Event) -> None:
        if self.broken:
            raise OSError("the disk is full")
        self.events.append(event)

    def wrap(self, inner: Performer) -> Performer:
        """Return a performer that tells this list of events."""
        return ObservingPerformer(inner, (self,), key=b"k" * 16)

    def kinds(self, name: str) -> list[tuple[str, str | None]]:
        """Return kind and status of each event about a tool or model."""
        return [(e.kind, e.status) for e in self.events if e.name == name]

    @property
    def stops(self) -> list[str | None]:
        """The stop reasons that were told."""
        return [e.stop_reason for e in self.events if e.kind == "run_ended"]


class HandClock:
    """A clock that is moved by hand; the wall clock can be moved on its own."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.wall_offset_s = 0.0

    def monotonic_s(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        wall = datetime(2026, 1, 2, 12, tzinfo=UTC)
        return wall + timedelta(seconds=self.seconds + self.wall_offset_s)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.seconds += seconds


class FaultyStore:
    """A control store that cannot be reached while `down` is set."""

    def __init__(self, store: BlockingControlStore) -> None:
        self._store: ControlStore = store.store
        self.down = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)

        def reach(*arguments: Any, **named: Any) -> Any:
            if self.down:
                raise ControlUnavailable("the store is away")
            return found(*arguments, **named)

        return reach

    def as_store(self) -> BlockingControlStore:
        return BlockingControlStore(cast("ControlStore", self))


@dataclass
class World:
    """A control file, its governor and what happened; a run longer than `limit_s` fails its test."""

    store: BlockingControlStore
    rules: ControlRules = field(default_factory=lambda: ControlRules(poll_s=0.01, max_wait_s=0.0))
    clock: Any = None
    audit: Audit = field(default_factory=Audit)
    limit_s: float = 20.0
    governor: Governor = field(init=False)

    def __post_init__(self) -> None:
        self.governor = Governor(self.store.store, self.rules, clock=self.clock)

    async def run(
        self, agent: Agent, script: Any, request_id: str = "req_1", *, tenant: str = TENANT, **ports: Any
    ) -> RunResult:
        """Run an agent for a tenant under the governor."""
        model = ports.pop("model", None) or ScriptedModel(script)
        ports.setdefault("wrap", self.audit.wrap)
        ports.setdefault("prices", Prices())
        request = Request(prompt="go", request_id=request_id, tenant=tenant, environment=ENVIRONMENT)
        async with asyncio.timeout(self.limit_s):
            return await run_agent_async(agent, request, model=model, governor=self.governor, **ports)

    def stop_in_index(self, request_id: str = "req_1") -> str | None:
        """Return the stop reason that the index has of a run."""
        (found,) = self.store.find_runs(request_id)
        return found.stop_reason


def agent_of(*tools: Tool, **fields: Any) -> Agent:
    return Agent(**{"name": "clerk", "model": "m1", "tools": tools, **fields})


def rules(**fields: Any) -> ControlRules:
    """Return rules that look for switches often and never wait for a slot or rate, unless told."""
    return ControlRules(**{"poll_s": 0.01, "max_wait_s": 0.0, **fields})


async def within(work: Awaitable[T], limit_s: float = 30.0) -> T:
    """Return a result; a test that waits for something that never comes fails instead of hanging."""
    async with asyncio.timeout(limit_s):
        return await work


async def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for something that another task, thread or process does."""
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        await asyncio.sleep(0.002)


def started(effects: list[Any]) -> list[str]:
    return [e.name for e in effects if isinstance(e, CallTool)]


@contextmanager
def workers(job: str, path: Path, *arguments: object, processes: int = 1) -> Iterator[list[Any]]:
    """Start processes of `tests.runtime.failure_modes.worker` and wait until all are ready."""
    command = [sys.executable, "-m", "tests.runtime.failure_modes.worker", job, str(path)]
    begun = [
        subprocess.Popen(
            [*command, str(me), *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for me in range(processes)
    ]
    try:
        for each in begun:
            assert line(each) == "ready"
        yield begun
    finally:
        for each in begun:
            each.kill()
            each.communicate()


def tell_reader(figures: str) -> None:
    """Say what was measured; pytest shows it with `-s` and where a test fails."""
    sys.stdout.write(f"\n{figures}\n")


def line(process: Any) -> str:
    """Return the next line a worker says."""
    return str(process.stdout.readline()).rstrip("\n")


def tell(process: Any, text: str = "go") -> None:
    """Say something to a worker."""
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


def told(process: Any) -> Any:
    """Return the JSON document a worker says next."""
    return json.loads(line(process))


def sqlite(path: Path) -> BlockingControlStore:
    return BlockingControlStore(SqliteControlStore(path))
