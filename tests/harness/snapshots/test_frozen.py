"""`frozen_clock` as tests of agents use it: around live, recorded and replayed runs, sync and async."""

from __future__ import annotations

import asyncio
import datetime
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.cassette.store import iter_recordings
from harness.record.recorder import Recorder
from harness.sessions.replay import replay_run
from harness.snapshots.frozen import frozen
from runtime.core.policy import Policy, RetryPolicy
from runtime.entry.agent import Agent
from runtime.entry.request import Request
from runtime.entry.run import run_agent, run_agent_async
from runtime.errors import UsageError
from runtime.execution.clock import SystemClock
from runtime.testing import ScriptedModel, calls, says
from runtime.tools.tool import RetryableError, tool


def agent() -> Agent:
    """Return an agent whose tool takes time and fails once, so that its run waits too."""
    failed: list[int] = []

    @tool
    async def look(order: int) -> str:
        """Look an order up."""
        await asyncio.sleep(0.002)
        if not failed:
            failed.append(order)
            raise RetryableError("busy")
        return "on its way"

    retry = RetryPolicy(attempts=2, first_s=0.01, ceiling_s=0.01)
    return Agent(name="shop", model="m1", tools=(look,), policy=Policy(allow=("look",)), tool_retry=retry)


def model() -> ScriptedModel:
    return ScriptedModel([calls(("look", {"order": 1})), says("done")])


def request() -> Request:
    return Request(prompt="Where is order 1?", request_id="req_frozen")


def recorded_run(journal: Path) -> Any:
    with Recorder(journal) as recorder:
        return run_agent(agent(), request(), model=model(), wrap=recorder.wrap)


def lines_of(journal: Path) -> bytes:
    return journal.read_bytes()


def test_two_recorded_runs_are_equal_to_the_byte_with_every_duration(
    frozen_clock: Any, tmp_path: Path
) -> None:
    first = recorded_run(tmp_path / "a.jsonl")
    second = recorded_run(tmp_path / "b.jsonl")

    assert msgspec.to_builtins(first.trace) == msgspec.to_builtins(second.trace)
    assert lines_of(tmp_path / "a.jsonl") == lines_of(tmp_path / "b.jsonl")
    assert first.trace.totals.duration_s == 0
    assert first.trace.totals.retries == 1


def test_without_it_two_runs_take_their_own_time(tmp_path: Path) -> None:
    run = recorded_run(tmp_path / "a.jsonl")

    assert run.trace.totals.duration_s > 0


def test_a_replay_under_it_is_the_same_and_keeps_the_recorded_durations(tmp_path: Path) -> None:
    recorded = recorded_run(tmp_path / "a.jsonl")
    (recording,) = iter_recordings(tmp_path / "a.jsonl")

    with frozen("2030-05-06"):
        replay = replay_run(recording)

    assert replay.verdict == "same"
    assert replay.trace is not None
    assert replay.trace.totals.duration_s == recorded.trace.totals.duration_s


def test_a_run_of_an_event_loop_goes_on_while_the_clock_stands(frozen_clock: Any) -> None:
    async def main() -> list[Any]:
        return list(
            await asyncio.gather(
                *(run_agent_async(agent(), request(), model=model()) for _ in range(3)),
            )
        )

    results = asyncio.run(main())

    assert [str(r.stop_reason) for r in results] == ["finish"] * 3
    assert {r.trace.totals.duration_s for r in results} == {0}


def test_the_time_limit_of_a_tool_still_ends_what_hangs(frozen_clock: Any) -> None:
    @tool(timeout_s=0.02)
    async def hang(order: int) -> str:
        """Never answer."""
        await asyncio.Event().wait()
        return "never"

    hanging = Agent(name="shop", model="m1", tools=(hang,), policy=Policy(allow=("hang",)))

    result = run_agent(hanging, request(), model=ScriptedModel([calls(("hang", {"order": 1}))]))

    assert str(result.stop_reason) == "tool_timeout:hang"


@pytest.mark.frozen_clock("2026-11-28T09:00:00+01:00")
def test_the_mark_alone_freezes_the_clock_at_its_moment() -> None:
    before = time.monotonic(), time.time()

    assert SystemClock().now() == datetime.datetime(2026, 11, 28, 8, tzinfo=datetime.UTC)
    assert (time.monotonic(), time.time()) == before


def test_the_clock_is_moved_by_hand(frozen_clock: Any) -> None:
    clock = SystemClock()
    began = clock.monotonic_s()

    frozen_clock.tick(90)
    frozen_clock.move_to("2026-01-01T00:10:00")

    assert clock.monotonic_s() - began == 600
    assert clock.now() == datetime.datetime(2026, 1, 1, 0, 10, tzinfo=datetime.UTC)


def test_a_clock_made_before_is_not_moved_by_a_freeze_within() -> None:
    clock = SystemClock()
    began = clock.monotonic_s()

    with frozen("2099-01-01"):
        within = clock.monotonic_s() - began

    assert 0 <= within < 3600


@pytest.mark.parametrize("moment", ["yesterday or so", "2026-13-45"])
def test_a_moment_that_cannot_be_read_is_refused(moment: str) -> None:
    with pytest.raises(UsageError, match="is no moment"), frozen(moment):
        pass


TABLES = """
import datetime

def test_tables_are_first_imported_while_the_clock_stands(frozen_clock):
    import pandas, pyarrow
    today = pandas.to_datetime([datetime.date.today()])
    assert str(today[0].date()) == "2026-01-01"
    assert pyarrow.array([datetime.date.today()])[0].as_py() == datetime.date(2026, 1, 1)

def test_later_models_and_tables_work():
    import pandas
    from pydantic import BaseModel

    class Order(BaseModel):
        day: datetime.date

    assert Order(day="2026-01-02").day == datetime.date(2026, 1, 2)
    assert pandas.Timestamp(datetime.date(2026, 1, 2)).day == 2
"""


DURATIONS = ("--durations=0", "--durations-min=1000")


def test_tables_that_load_under_it_do_not_crash_and_the_test_keeps_its_own_duration(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TABLES, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *DURATIONS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert " setup " not in done.stdout  # none that took 1,000 s
