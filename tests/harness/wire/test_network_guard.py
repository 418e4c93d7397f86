"""A replay goes to no network, whatever client asks; every address here is refused before a packet is sent."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness import record_http
from harness.wire.misses import Miss, Unanswered, WireMiss
from harness.wire.network_guard import NetworkGuard, is_loopback

NOWHERE = "192.0.2.1"  # of the block that documentation uses; no host has it


def raw_socket() -> None:
    with socket.socket() as sock:
        sock.settimeout(0.1)
        sock.connect((NOWHERE, 9))


def udp() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", (NOWHERE, 9))


def name_server() -> None:
    socket.getaddrinfo("nowhere.invalid", 80)


def streams() -> None:
    asyncio.run(asyncio.wait_for(asyncio.open_connection(NOWHERE, 9), 0.1))


def ipv6() -> None:
    with socket.socket(socket.AF_INET6) as sock:
        sock.settimeout(0.1)
        sock.connect(("2001:db8::1", 9))


@pytest.fixture
def recording(server: Any, tmp_path: Path) -> Path:
    with record_http(tmp_path / "a.jsonl", mode="record"), httpx.Client(trust_env=False) as client:
        client.post(f"{server.url}/echo", json={"q": 1})
    return tmp_path / "a.jsonl"


def missed(recording: Path, act: Callable[[], object], **settings: Any) -> list[Miss]:
    """Return what a replay misses in which an act is stopped."""

    def replay() -> None:
        with record_http(recording, mode="replay", **settings), pytest.raises(Unanswered):
            act()

    with pytest.raises(WireMiss) as caught:
        replay()
    return list(caught.value.misses)


@pytest.mark.parametrize("reach", [raw_socket, udp, name_server, streams, ipv6])
def test_a_connection_past_the_recorded_clients_fails_the_replay(
    recording: Path, reach: Callable[[], None]
) -> None:
    (miss,) = missed(recording, reach)

    assert miss.verdict == "network"
    assert "goes to no network" in miss.line()


def test_a_thread_that_was_started_before_the_replay_is_refused_too(recording: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # the pool's thread is there before the replay
        begin = threading.Event()

        def work() -> None:
            begin.wait(30)
            raw_socket()

        early = pool.submit(work)

        def act() -> None:
            begin.set()
            early.result(30)

        (miss,) = missed(recording, act)

    assert miss.url == f"{NOWHERE}:9"


def test_servers_of_the_test_itself_are_reached_but_not_the_recorded_one(
    recording: Path, server: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as own, record_http(recording, mode="replay"):
        socket.create_connection(own.getsockname()).close()

    def reach_recorded() -> None:
        with socket.socket() as sock:
            sock.connect(("127.0.0.1", httpx.URL(server.url).port))

    (miss,) = missed(recording, reach_recorded)
    assert miss.url.startswith("127.0.0.1:")


def test_what_is_recorded_inside_a_replay_reaches_its_server(
    recording: Path, server: Any, tmp_path: Path
) -> None:
    with (
        record_http(recording, mode="replay"),
        record_http(tmp_path / "b", mode="record") as inner,
        httpx.Client(trust_env=False) as client,
    ):
        client.post(f"{server.url}/echo", json={"q": 2})

    assert inner.count == 1


def test_nothing_is_refused_after_the_replay(recording: Path) -> None:
    with record_http(recording, mode="replay"):
        pass

    with pytest.raises(OSError):
        name_server()


def test_python_children_of_a_replay_are_refused_too(recording: Path) -> None:
    code = f"import socket\nsocket.create_connection(({NOWHERE!r}, 9), timeout=1)"
    with record_http(recording, mode="replay"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert f"a replay goes to no network: refused {NOWHERE}:9" in done.stderr


def test_other_programs_are_named(recording: Path) -> None:
    with pytest.warns(RuntimeWarning, match="started .*true"), record_http(recording, mode="replay"):
        subprocess.run(["true"], check=True)


def test_processes_are_refused_where_that_was_asked_for(recording: Path) -> None:
    (miss,) = missed(recording, lambda: subprocess.run(["true"], check=True), block_processes=True)

    assert miss.url == "the process true"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.0.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", True),
        ("fe80::1%eth0", False),
        ("10.0.0.1", False),
        ("api.openai.com", False),
        ("localhost.evil.example", False),
    ],
)
def test_loopback_is_this_machine_alone(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("api.example.com", True),
        ("EXAMPLE.com", False),
        ("evilexample.com", False),
        ("a.b.example.com", True),
    ],
)
def test_a_star_passes_what_is_below_a_host(host: str, passes: bool) -> None:
    def refuse(what: str) -> Any:
        raise AssertionError(what)

    assert NetworkGuard(refuse, passed=["*.example.com"]).passes(host.lower()) is passes
