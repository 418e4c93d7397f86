"""The libraries as context managers, so that each can be put around and inside each other."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

MOCKED = "http://mock.test/"
DAY = datetime.date(2026, 1, 2)


@contextmanager
def freezegun(request: pytest.FixtureRequest, folder: Path) -> Iterator[None]:
    """Stand still."""
    with pytest.importorskip("freezegun").freeze_time(DAY.isoformat(), real_asyncio=True):
        yield


@contextmanager
def time_machine(request: pytest.FixtureRequest, folder: Path) -> Iterator[None]:
    """Stand still, by other means."""
    moment = datetime.datetime(DAY.year, DAY.month, DAY.day, tzinfo=datetime.UTC)
    with pytest.importorskip("time_machine").travel(moment, tick=False):
        yield


@contextmanager
def vcrpy(request: pytest.FixtureRequest, folder: Path) -> Iterator[None]:
    """Record to a cassette of vcrpy."""
    with pytest.importorskip("vcr").use_cassette(str(folder / "theirs.yaml")):
        yield


@contextmanager
def respx(request: pytest.FixtureRequest, folder: Path) -> Iterator[None]:
    """Answer one host for httpx, below its transport."""
    module = pytest.importorskip("respx")
    with module.mock(assert_all_called=False, assert_all_mocked=False) as router:
        router.get(MOCKED).respond(text="from respx")
        router.route(host="127.0.0.1").pass_through()
        yield


@contextmanager
def pytest_httpx(request: pytest.FixtureRequest, folder: Path) -> Iterator[None]:
    """Answer one host for httpx, at its transport; a fixture, so it ends with the test."""
    pytest.importorskip("pytest_httpx")
    options = {"assert_all_responses_were_requested": False, "should_mock": _is_mocked}
    request.node.add_marker(pytest.mark.httpx_mock(**options))
    mock = request.getfixturevalue("httpx_mock")
    mock.add_response(url=MOCKED, text="from pytest_httpx", is_reusable=True)
    yield


def _is_mocked(request: Any) -> bool:
    return bool(request.url.host == "mock.test")


@contextmanager
def responses(request: pytest.FixtureRequest, folder: Path) -> Iterator[None]:
    """Answer one host for requests."""
    module = pytest.importorskip("responses")
    with module.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(MOCKED, body="from responses")
        mock.add_passthru("http://127.0.0.1")
        yield


@contextmanager
def pytest_socket(request: pytest.FixtureRequest, folder: Path) -> Iterator[None]:
    """Let nothing open a socket."""
    module = pytest.importorskip("pytest_socket")
    module.disable_socket(allow_unix_socket=True)
    try:
        yield
    finally:
        module.enable_socket()


Tool = Callable[[pytest.FixtureRequest, Path], AbstractContextManager[None]]
TOOLS: dict[str, Tool] = {
    tool.__name__: tool
    for tool in (freezegun, time_machine, vcrpy, respx, pytest_httpx, responses, pytest_socket)
}


def get_httpx(url: str) -> str:
    """Ask with httpx."""
    httpx = pytest.importorskip("httpx")
    return str(httpx.get(url, trust_env=False, timeout=5).text)


def get_requests(url: str) -> str:
    """Ask with requests, on a connection of its own."""
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        session.trust_env = False
        return str(session.get(url, timeout=5).text)


CLIENTS: dict[str, Callable[[str], str]] = {"httpx": get_httpx, "requests": get_requests}


def answer(client: str, url: str) -> str:
    """Return what a client is answered, or the class of what it raises."""
    try:
        return CLIENTS[client](url)
    except Exception as error:  # noqa: BLE001 - whatever a library raises is the outcome
        return type(error).__name__
