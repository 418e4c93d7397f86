"""The service's own wiring: one event key for all its processes, breakers in its metrics, memory in its audit."""

from __future__ import annotations

import asyncio
import json
import warnings
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from runtime.control.breaker import BreakerRule
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult
from runtime.entry.service import KEY_VARIABLE, Principal, Service
from runtime.entry.state import State
from runtime.execution.control_rules import ControlRules
from runtime.execution.governor import Governor
from runtime.observability.metrics import MetricsSink
from runtime.observability.run_events import Event
from runtime.observability.summary import summary
from runtime.ports.control_values import Run
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing import ScriptedModel, calls
from runtime.testing.ram_store import RamControlStore
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import until
from tests.support.agents import Prices


class Kept:
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        self.events.append(event)


async def knows(credentials: str) -> Principal:
    return Principal(name=credentials, tenant="acme", environment="prod")


@tool
async def remember(fact: str, ctx: ToolContext) -> str:
    """Remember a fact."""
    structlog.get_logger().info("noting", fact_chars=len(fact))
    ctx.memory.put("customer 7", "fact", fact, ttl_s=60.0)
    return "noted"


AGENT = Agent(name="clerk", model="m1", tools=(remember,))


def ask(service: Service, request_id: str = "req_1") -> RunResult:
    service.model = ScriptedModel([calls(("remember", {"fact": "likes tea"})), "done"])
    return asyncio.run(service.run(AGENT, Request(prompt="go", request_id=request_id), credentials="key"))


def service_of(store: Any, **fields: Any) -> Service:
    governor = Governor(
        store.store if isinstance(store, BlockingControlStore) else store, ControlRules(poll_s=0.01)
    )
    return Service(governor=governor, authenticate=knows, prices=Prices(), **fields)


def test_two_processes_of_a_service_give_equal_arguments_one_hash(tmp_path: Path) -> None:
    hashes: list[set[str | None]] = []
    for number in range(2):
        store = BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))
        kept = Kept()
        ask(service_of(store, sinks=[kept], state=State()), f"req_{number}")
        store.close()
        hashes.append({e.args_hash for e in kept.events if e.kind == "intent" and e.name == "remember"})

    (key,) = tmp_path.glob("*.event-key")
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 1
    assert key.stat().st_mode & 0o077 == 0


def test_the_key_in_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "k" * 32)
    store = BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))

    service = service_of(store)
    store.close()

    assert service.event_key == b"k" * 32
    assert not list(tmp_path.glob("*.event-key"))


def test_a_key_file_that_is_a_folder_warns_and_the_service_goes_on(tmp_path: Path) -> None:
    store = BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))
    (tmp_path / "control.db.event-key").mkdir(mode=0o700)

    with pytest.warns(RuntimeWarning, match=KEY_VARIABLE):
        service = service_of(store)
    store.close()

    assert len(service.event_key) == 32


def test_a_store_in_memory_has_a_key_of_its_own_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        service = service_of(RamControlStore())

    assert len(service.event_key) == 32


def test_changes_of_memory_are_in_the_events_of_the_run() -> None:
    kept = Kept()

    ask(service_of(RamControlStore(), sinks=[kept], state=State()))

    (change,) = [e for e in kept.events if e.kind == "memory"]
    assert (change.status, change.name, change.request_id, change.tenant) == (
        "put",
        "customer 7",
        "req_1",
        "acme",
    )


def test_a_sink_that_cannot_keep_a_change_of_memory_undoes_it() -> None:
    class Full(Kept):
        def take(self, event: Event) -> None:
            if event.kind == "memory":
                raise OSError("the disk is full")
            super().take(event)

    state = State()
    result = ask(service_of(RamControlStore(), sinks=[Full()], state=state))

    assert result.stop_reason == "tool_error_exhausted:remember"
    assert "the disk is full" in str(result.trace.tool_calls[0].error)


def test_the_metrics_of_a_service_show_the_breakers_of_its_store_when_they_are_read() -> None:
    store, metrics = BlockingControlStore(RamControlStore()), MetricsSink()
    service_of(store, sinks=[metrics])
    rule = BreakerRule(min_calls=1)
    assert summary(metrics.registry).breakers == {}

    verdict = store.ask_breaker("acme/prod/tool/pay", rule, now=1.0, token="t")
    store.report_breaker(
        "acme/prod/tool/pay", rule, now=1.0, generation=verdict.generation, sample="failed", token="t"
    )

    assert summary(metrics.registry).breakers == {"acme/prod/tool/pay": "open"}
    assert b'goldrun_breaker_state{name="acme/prod/tool/pay"} 2.0' in metrics.exposition()


def test_lines_that_tools_log_carry_the_names_of_their_run(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(),
    )
    try:
        ask(service_of(RamControlStore(), state=State()))
    finally:
        structlog.reset_defaults()

    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert (line["runtime.request_id"], line["runtime.tenant"], line["event"]) == ("req_1", "acme", "noting")


class Elsewhere(RamControlStore):
    """A store that shows a run as another process has it, and counts how often the index was asked."""

    def __init__(self, *, alive_s: float) -> None:
        super().__init__()
        self.asked = 0
        ask(service_of(self))
        (self.key,) = self._runs
        alive_until = Governor(self).now() + alive_s
        self._runs[self.key] = msgspec.structs.replace(
            self._runs[self.key], stop_reason=None, ended_at=None, alive_until=alive_until
        )

    async def find_runs(self, request_id: str) -> tuple[Run, ...]:
        self.asked += 1
        return await super().find_runs(request_id)

    async def was_asked(self, times: int) -> None:
        await until(lambda: self.asked >= times)


def deliver_twice(service: Service) -> tuple[asyncio.Task[RunResult], asyncio.Task[RunResult]]:
    service.model = ScriptedModel([])
    request = Request(prompt="go", request_id="req_1")
    first, second = (asyncio.create_task(service.run(AGENT, request, credentials="key")) for _ in range(2))
    return first, second


def test_a_second_delivery_of_a_run_whose_process_died_is_told_that_it_crashed() -> None:
    store = Elsewhere(alive_s=-1.0)

    again = ask(service_of(store))

    assert again.stop_reason == "crashed"
    assert store._runs[store.key].stop_reason == "crashed"


def test_a_second_delivery_waits_for_a_run_that_another_process_has() -> None:
    store = Elsewhere(alive_s=600.0)

    async def main() -> tuple[bool, set[str]]:
        both = deliver_twice(service_of(store))
        await store.was_asked(3)
        early = any(each.done() for each in both)
        await store.stop_run(store.key, fencing=1, stop_reason="max_usd", now=1.0)
        return early, {each.stop_reason for each in await asyncio.gather(*both)}

    assert asyncio.run(main()) == (False, {"max_usd"})


def test_the_others_still_get_the_run_when_the_first_caller_goes_away_before_it_ends() -> None:
    store = Elsewhere(alive_s=600.0)

    async def main() -> str:
        first, second = deliver_twice(service_of(store))
        await store.was_asked(2)
        first.cancel()
        await asyncio.wait([first])
        await store.stop_run(store.key, fencing=1, stop_reason="finish", now=1.0)
        return (await second).stop_reason

    assert asyncio.run(main()) == "finish"
