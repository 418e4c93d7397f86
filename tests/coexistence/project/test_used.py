"""goldrun used with each library: around it, inside it, and beside it."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import harness
import runtime
from runtime.errors import UsageError
from runtime.testing import ScriptedModel, calls, says

tools = import_module("tools")

SERVED = "from the server"
NOTHING = "nothing was recorded, no request reached the network"
BOTH = "a cassette of vcrpy and a recording of goldrun are open for the same calls"
ORDERS = ("tool around", "tool inside")


def within(order: str, tool: str, session: Any, request: pytest.FixtureRequest, folder: Path) -> ExitStack:
    """Open a library and a session of ours in an order."""
    stack = ExitStack()
    try:
        if order == "tool around":
            stack.enter_context(tools.TOOLS[tool](request, folder))
            stack.enter_context(session)
        else:
            stack.enter_context(session)
            stack.enter_context(tools.TOOLS[tool](request, folder))
    except BaseException as error:
        stack.__exit__(type(error), error, error.__traceback__)
        raise
    return stack


@pytest.mark.parametrize("client", tools.CLIENTS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tool", ["freezegun", "time_machine"])
def test_http_is_recorded_and_replayed_on_a_clock_that_stands_still(
    tool: str, order: str, client: str, server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with within(order, tool, harness.record_http(tmp_path / "a", mode="record"), request, tmp_path):
        recorded = tools.answer(client, server)
    with within(order, tool, replay := harness.record_http(tmp_path / "a", mode="replay"), request, tmp_path):
        replayed = tools.answer(client, server)

    assert (recorded, replayed, replay.unused) == (SERVED, SERVED, ())


@pytest.mark.parametrize("client", tools.CLIENTS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_replay_opens_no_socket(
    order: str, client: str, server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with harness.record_http(tmp_path / "a", mode="record"):
        tools.answer(client, server)

    with within(
        order, "pytest_socket", harness.record_http(tmp_path / "a", mode="replay"), request, tmp_path
    ):
        replayed = tools.answer(client, server)

    assert replayed == SERVED


MOCKS = {
    ("respx", "httpx", "tool around"): "answers of respx were recorded",
    ("respx", "httpx", "tool inside"): "answers of respx were recorded",
    ("pytest_httpx", "httpx", "tool around"): "answers of pytest_httpx were recorded",
    ("pytest_httpx", "httpx", "tool inside"): f"{NOTHING}; a mock may have answered first",
    ("responses", "requests", "tool around"): f"{NOTHING}; a mock may have answered first",
    ("responses", "requests", "tool inside"): f"{NOTHING}; a mock may have answered first",
}


@pytest.mark.parametrize(("tool", "client", "order"), MOCKS)
def test_a_mock_answers_and_the_recording_says_so(
    tool: str, client: str, order: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def call() -> str:
        session = harness.record_http(tmp_path / "a", mode="record")
        with within(order, tool, session, request, tmp_path):
            return str(tools.answer(client, tools.MOCKED))

    with pytest.warns(RuntimeWarning, match=MOCKS[tool, client, order]):
        recorded = call()

    assert recorded == f"from {tool}"


PAST_MOCKS = [
    ("pytest_httpx", "httpx", "tool inside"),
    ("responses", "requests", "tool around"),
    ("responses", "requests", "tool inside"),
]
"""Where the mock stands above the recording; one below decides for itself what it passes on."""


@pytest.mark.parametrize(("tool", "client", "order"), PAST_MOCKS)
def test_a_call_past_a_mock_is_recorded_without_a_word(
    tool: str, client: str, order: str, server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with within(order, tool, harness.record_http(tmp_path / "a", mode="record"), request, tmp_path):
        recorded = tools.answer(client, server)

    with harness.record_http(tmp_path / "a", mode="replay"):
        replayed = tools.answer(client, server)

    assert (recorded, replayed) == (SERVED, SERVED)


@pytest.mark.parametrize("mode", ["record", "replay"])
@pytest.mark.parametrize("client", tools.CLIENTS)
@pytest.mark.parametrize("order", ORDERS)
def test_vcrpy_and_a_recording_are_refused_together(
    order: str, client: str, mode: Any, server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with harness.record_http(tmp_path / "a", mode="record"):
        tools.answer(client, server)

    session = harness.record_http(tmp_path / "a", mode=mode)
    with pytest.raises(UsageError, match=BOTH):
        within(order, "vcrpy", session, request, tmp_path)

    assert tools.answer(client, server) == SERVED
    with tools.TOOLS["vcrpy"](request, tmp_path):
        assert tools.answer(client, server) == SERVED


def test_a_cassette_opened_by_another_thread_ends_no_loop(
    server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    requests = pytest.importorskip("requests")
    opened, done = threading.Event(), threading.Event()

    def elsewhere() -> None:
        with tools.TOOLS["vcrpy"](request, tmp_path):
            opened.set()
            done.wait()

    thread = threading.Thread(target=elsewhere)
    thread.start()  # outside the recording, so it is not bound
    session = harness.record_http(tmp_path / "a", mode="record")
    opened.wait()
    try:
        with pytest.raises(UsageError, match=BOTH), session:
            requests.get(server)
    finally:
        done.set()
        thread.join()


def agent_of(look_up: Callable[[], str]) -> runtime.Agent:
    """Return an agent with one tool."""

    @runtime.tool
    async def look(order: int) -> str:
        """Look an order up."""
        return look_up()

    return runtime.Agent(name="shop", model="m1", tools=(look,), policy=runtime.Policy(allow=("look",)))


def run(agent: runtime.Agent, journal: Path) -> tuple[runtime.RunResult, str]:
    """Run an agent recorded, and return the result and the verdict of its replay."""
    model = ScriptedModel([calls(("look", {"order": 1})), says("done")])
    with harness.Recorder(journal) as recorder:
        result = runtime.run_agent(agent, "Where is order 1?", model=model, wrap=recorder.wrap)
    (recording,) = harness.iter_recordings(journal)
    return result, harness.replay_run(recording).verdict


@pytest.mark.parametrize("tool", tools.TOOLS)
def test_an_agent_runs_records_and_replays_inside_each_library(
    tool: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with tools.TOOLS[tool](request, tmp_path):
        result, verdict = run(agent_of(lambda: "on its way"), tmp_path / "a.jsonl")

    assert (str(result.stop_reason), result.output, verdict) == ("finish", "done", "same")
    assert result.trace.tool_calls[0].result == "on its way"


@pytest.mark.parametrize("tool", tools.TOOLS)
def test_each_library_works_inside_a_tool_of_an_agent(
    tool: str, server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def look_up(folder: str = "inside") -> str:
        with tools.TOOLS[tool](request, tmp_path / folder):
            return f"{tools.answer('httpx', tools.MOCKED)}, {tools.answer('httpx', server)}"

    alone = look_up("alone")
    result, verdict = run(agent_of(look_up), tmp_path / "a.jsonl")

    assert (str(result.stop_reason), verdict) == ("finish", "same")
    assert result.trace.tool_calls[0].result == alone
    assert 0 <= (result.trace.totals.duration_s or 0) < 60


@pytest.mark.cassette("marked/sync")
@pytest.mark.parametrize("client", ["httpx"])
def test_a_marked_test(client: str, server: str, snapshot: object) -> None:
    assert tools.answer(client, server) == snapshot


@pytest.mark.cassette("marked/asyncio")
@pytest.mark.asyncio
async def test_a_marked_test_of_pytest_asyncio(server: str, cassette: Any) -> None:
    httpx = pytest.importorskip("httpx")
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(server)).text == SERVED
    assert cassette.count == 1


@pytest.mark.cassette
@pytest.mark.anyio
async def test_a_marked_test_of_anyio(server: str, cassette: Any) -> None:
    httpx = pytest.importorskip("httpx")
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(server)).text == SERVED
    assert cassette.count == 1


@pytest.mark.cassette
@pytest.mark.filterwarnings("ignore:.*(nothing was recorded|answers of respx):RuntimeWarning")
@pytest.mark.parametrize("tool", ["respx", "pytest_httpx"])
def test_a_marked_test_with_a_mock(
    tool: str, server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with tools.TOOLS[tool](request, tmp_path):
        assert tools.answer("httpx", tools.MOCKED) == f"from {tool}"


@pytest.mark.cassette("marked/frozen")
def test_a_marked_test_that_freezes_the_clock(server: str) -> None:
    freezegun = pytest.importorskip("freezegun")
    with freezegun.freeze_time("2026-01-02"):
        assert tools.answer("httpx", server) == SERVED
        assert datetime.date.today().isoformat() == "2026-01-02"  # noqa: DTZ011 - what is frozen


@pytest.mark.cassette("marked/frozen_clock")
@pytest.mark.frozen_clock("2026-03-04")
def test_a_marked_test_on_a_clock_that_stands_still(server: str) -> None:
    assert tools.answer("httpx", server) == SERVED
    assert datetime.date.today().isoformat() == "2026-03-04"  # noqa: DTZ011 - what is frozen


def test_a_run_on_a_clock_that_stands_still(frozen_clock: Any, trace_snapshot: Any, tmp_path: Path) -> None:
    result, verdict = run(agent_of(lambda: "on its way"), tmp_path / "a.jsonl")

    assert (verdict, result.trace.totals.duration_s) == ("same", 0)
    assert result == trace_snapshot
