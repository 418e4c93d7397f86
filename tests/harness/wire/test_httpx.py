"""Recording and replaying httpx and httpx2: the same bytes, chunks, errors and early ends."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest

from harness.wire.http_recording import read_http
from harness.wire.misses import WireMiss
from harness.wire.session import record_http

CHUNKS = 41
MODULES = ("httpx", "httpx2")


@pytest.fixture(params=MODULES)
def client_module(request: pytest.FixtureRequest) -> Any:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return importlib.import_module(request.param)


def stop(server: Any) -> None:
    server.shutdown()
    server.server_close()


def read_stream(module: Any, url: str, *, most: int | None = None) -> list[bytes]:
    got: list[bytes] = []
    with module.Client() as client, client.stream("POST", url, json={"q": 1}) as response:
        for piece in response.iter_raw():
            got.append(piece)
            if len(got) == most:
                break
    return got


async def read_stream_async(module: Any, url: str, *, most: int | None = None) -> list[bytes]:
    got: list[bytes] = []
    async with module.AsyncClient() as client, client.stream("POST", url, json={"q": 1}) as response:
        async for piece in response.aiter_raw():
            got.append(piece)
            if len(got) == most:
                break
    return got


def test_a_stream_of_41_chunks_is_recorded_and_replayed_as_41_chunks(
    server: Any, tmp_path: Path, client_module: Any
) -> None:
    with record_http(tmp_path / "a"):
        live = read_stream(client_module, server.url + "/stream")
    with record_http(tmp_path / "a", mode="replay", require_all=True):
        replayed = read_stream(client_module, server.url + "/stream")

    (exchange,) = read_http(tmp_path / "a.jsonl").exchanges
    answer = exchange.answer
    assert answer is not None
    assert len(live) == len(answer.chunks) == CHUNKS
    assert replayed == live
    assert len(server.seen) == 1
    offsets = [at for at, _ in answer.chunks]
    assert offsets == sorted(offsets)
    assert offsets[-1] - offsets[0] >= 0.03


def test_an_async_stream_keeps_its_chunks(server: Any, tmp_path: Path, client_module: Any) -> None:
    with record_http(tmp_path / "a"):
        live = asyncio.run(read_stream_async(client_module, server.url + "/stream"))
    with record_http(tmp_path / "a", mode="replay"):
        replayed = asyncio.run(read_stream_async(client_module, server.url + "/stream"))

    assert len(live) == CHUNKS
    assert replayed == live


def test_chunks_reach_the_client_while_the_server_still_writes(server: Any, tmp_path: Path) -> None:
    import httpx

    with record_http(tmp_path / "a"), httpx.stream("POST", server.url + "/stream") as response:
        next(response.iter_raw())
        written_at_first = server.written

    assert written_at_first < CHUNKS / 2


def test_a_client_that_stops_early_stops_early_on_replay(
    server: Any, tmp_path: Path, client_module: Any
) -> None:
    with record_http(tmp_path / "a"):
        live = read_stream(client_module, server.url + "/stream", most=5)
    with record_http(tmp_path / "a", mode="replay"):
        replayed = read_stream(client_module, server.url + "/stream", most=5)

    answer = read_http(tmp_path / "a.jsonl").exchanges[0].answer
    assert answer is not None
    assert (answer.end, len(answer.chunks)) == ("client_closed", 5)
    assert replayed == live


def test_reading_on_where_the_recorded_client_stopped_is_a_miss(server: Any, tmp_path: Path) -> None:
    import httpx

    with record_http(tmp_path / "a"):
        read_stream(httpx, server.url + "/stream", most=5)

    with pytest.raises(WireMiss, match="stopped reading after 5 pieces"), record_http(tmp_path / "a"):
        read_stream(httpx, server.url + "/stream")


def test_a_break_in_mid_stream_is_replayed_after_the_same_chunks(
    server: Any, tmp_path: Path, client_module: Any
) -> None:
    def run() -> tuple[list[bytes], str, str]:
        got: list[bytes] = []
        try:
            with client_module.stream("POST", server.url + "/break") as response:
                for piece in response.iter_raw():
                    got.append(piece)  # noqa: PERF402 - kept although the loop raises
        except client_module.RemoteProtocolError as error:
            return got, type(error).__name__, str(error)
        raise AssertionError("the stream did not break")

    with record_http(tmp_path / "a"):
        live = run()
    stop(server)
    with record_http(tmp_path / "a", mode="replay"):
        replayed = run()

    assert len(live[0]) == 10
    assert replayed == live


def test_a_refused_connection_is_recorded_and_replayed(
    tmp_path: Path, closed_port: int, client_module: Any
) -> None:
    def run() -> str:
        with pytest.raises(client_module.ConnectError) as caught:
            client_module.get(f"http://127.0.0.1:{closed_port}/", trust_env=False)
        assert caught.value.request.url.port == closed_port
        return str(caught.value)

    with record_http(tmp_path / "a"):
        live = run()
    with record_http(tmp_path / "a", mode="replay"):
        replayed = run()

    assert replayed == live
    answer = read_http(tmp_path / "a.jsonl").exchanges[0].answer
    assert answer is not None
    assert answer.error is not None
    assert (answer.status, answer.end, answer.error.phase) == (None, "reset", "connect")


def test_a_timeout_is_recorded_and_replayed_without_waiting(
    server: Any, tmp_path: Path, client_module: Any
) -> None:
    def run() -> None:
        with pytest.raises(client_module.ReadTimeout):
            client_module.post(server.url + "/slow", timeout=0.05)

    with record_http(tmp_path / "a"):
        run()
    with record_http(tmp_path / "a", mode="replay"):
        run()

    answer = read_http(tmp_path / "a.jsonl").exchanges[0].answer
    assert answer is not None
    assert answer.end == "timeout"
    assert server.seen == ["/slow"]


def test_a_cancelled_call_is_recorded_as_left_by_its_client_and_waits_on_replay(
    server: Any, tmp_path: Path
) -> None:
    import httpx

    async def run() -> None:
        async with httpx.AsyncClient() as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.post(server.url + "/slow"), 0.05)

    with record_http(tmp_path / "a"):
        asyncio.run(run())
    with record_http(tmp_path / "a", mode="replay"):
        asyncio.run(run())

    answer = read_http(tmp_path / "a.jsonl").exchanges[0].answer
    assert answer is not None
    assert answer.end == "client_closed"


def test_equal_requests_get_the_recorded_answers_in_order(server: Any, tmp_path: Path) -> None:
    import httpx

    with record_http(tmp_path / "a"), httpx.Client() as client:
        for _ in range(3):
            client.post(server.url + "/echo", json={"q": 1})

    def ask(times: int) -> None:
        with record_http(tmp_path / "a"), httpx.Client() as client:
            for _ in range(times):
                client.post(server.url + "/echo", json={"q": 1})

    ask(3)
    with pytest.raises(WireMiss, match="more often than it was recorded: recorded 3 times"):
        ask(4)


def test_the_order_of_json_fields_does_not_matter(server: Any, tmp_path: Path) -> None:
    import httpx

    with record_http(tmp_path / "a"):
        live = httpx.post(server.url + "/echo", content=b'{"a":1,"b":2}')
    with record_http(tmp_path / "a", mode="replay"):
        replayed = httpx.post(server.url + "/echo", content=b'{ "b": 2, "a": 1 }')

    assert replayed.content == live.content


def test_a_compressed_answer_keeps_its_bytes(server: Any, tmp_path: Path) -> None:
    import httpx

    def run() -> tuple[bytes, Any]:
        with httpx.Client() as client, client.stream("POST", server.url + "/gzip", json={"q": 1}) as response:
            raw = b"".join(response.iter_raw())
        return raw, response.headers["content-encoding"]

    with record_http(tmp_path / "a"):
        live = run()
    with record_http(tmp_path / "a", mode="replay"):
        replayed = run()

    assert replayed == live


def test_pace_waits_as_was_waited(server: Any, tmp_path: Path) -> None:
    import time

    import httpx

    with record_http(tmp_path / "a"):
        read_stream(httpx, server.url + "/stream")
    with record_http(tmp_path / "a", mode="replay"):
        began = time.monotonic()
        read_stream(httpx, server.url + "/stream")
        fast = time.monotonic() - began
    with record_http(tmp_path / "a", mode="replay", pace=True):
        began = time.monotonic()
        read_stream(httpx, server.url + "/stream")
        paced = time.monotonic() - began

    assert paced >= 0.04
    assert fast < paced
