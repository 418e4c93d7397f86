"""requests, urllib3, aiohttp, botocore, urllib and http.client through vcrpy's patches; absent ones are skipped."""

from __future__ import annotations

import asyncio
import http.client
import importlib
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.wire.http_recording import read_http
from harness.wire.misses import WireMiss
from harness.wire.session import record_http


def installed(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed")


def call_urllib(url: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url + "/echo", data=b'{"q": 1}')) as answer:
        return answer.status, answer.read()


def call_http_client(url: str) -> Any:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("POST", "/echo", body=b'{"q": 2}')
    answer = connection.getresponse()
    told = answer.status, answer.read()
    connection.close()
    return told


def call_requests(url: str) -> Any:
    requests = installed("requests")
    with requests.Session() as session:
        first = session.post(url + "/echo", json={"q": 3}).json()
        packed = session.post(url + "/gzip", json={"q": 4}).json()
        return first, packed, [r.status_code for r in session.get(url + "/redirect").history]


def call_urllib3(url: str) -> Any:
    urllib3 = installed("urllib3")
    with urllib3.PoolManager() as pool:
        return pool.request("POST", url + "/echo", body=b'{"q": 5}').data


def call_aiohttp(url: str) -> Any:
    aiohttp = installed("aiohttp")

    async def main() -> Any:
        async with aiohttp.ClientSession() as session:
            async with session.post(url + "/echo", json={"q": 6}) as answer:
                first = await answer.json()
            async with session.get(url + "/redirect") as answer:
                return first, answer.status, len(answer.history), await answer.text()

    return asyncio.run(main())


def call_httplib2(url: str) -> Any:
    httplib2 = installed("httplib2")
    client = httplib2.Http()
    try:
        answer, content = client.request(url + "/echo", "POST", body=b'{"q": 7}')
    finally:
        client.close()
    return answer.status, content


CALLS: dict[str, Callable[[str], Any]] = {
    "urllib": call_urllib,
    "http.client": call_http_client,
    "requests": call_requests,
    "urllib3": call_urllib3,
    "aiohttp": call_aiohttp,
    "httplib2": call_httplib2,
}


@pytest.mark.parametrize("stack", CALLS)
def test_a_stack_is_recorded_and_replayed_with_the_server_down(
    server: Any, tmp_path: Path, stack: str
) -> None:
    plain = CALLS[stack](server.url)
    with record_http(tmp_path / "a", redact=False):
        live = CALLS[stack](server.url)
    server.shutdown()
    server.server_close()

    with record_http(tmp_path / "a", mode="replay", require_all=True):
        replayed = CALLS[stack](server.url)

    assert live == plain
    assert replayed == live
    assert len(read_http(tmp_path / "a.jsonl").exchanges) * 2 == len(server.seen)


@pytest.mark.parametrize("stack", CALLS)
def test_outside_a_recording_a_stack_is_untouched(server: Any, tmp_path: Path, stack: str) -> None:
    CALLS[stack](server.url)  # skips where the stack is absent
    results: list[Any] = []
    go = threading.Event()

    def outside() -> None:
        go.wait()
        results.append(CALLS[stack](server.url))

    thread = threading.Thread(target=outside)
    thread.start()
    with record_http(tmp_path / "a") as session:
        call_http_client(server.url)
        go.set()
        thread.join()

    assert len(results) == 1
    assert session.count == 1


@pytest.mark.parametrize("stack", CALLS)
def test_a_changed_request_is_a_miss_for_a_stack(server: Any, tmp_path: Path, stack: str) -> None:
    CALLS[stack](server.url)
    calls = len(server.seen)
    with record_http(tmp_path / "a"):
        urllib.request.urlopen(server.url + "/gzip").close()

    with pytest.raises(WireMiss), record_http(tmp_path / "a", mode="replay"):
        CALLS[stack](server.url)

    assert len(server.seen) == calls + 1


def test_a_refused_connection_keeps_its_class(tmp_path: Path, closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}/"

    def run() -> list[str]:
        kinds: list[str] = []
        with pytest.raises(urllib.error.URLError) as plain:
            urllib.request.urlopen(url)
        kinds.append(type(plain.value.reason).__name__)
        if importlib.util.find_spec("requests") is not None:
            requests = installed("requests")
            with pytest.raises(requests.ConnectionError) as refused:
                requests.get(url)
            kinds.append(type(refused.value).__name__)
        if importlib.util.find_spec("aiohttp") is not None:
            aiohttp = installed("aiohttp")

            async def main() -> str:
                async with aiohttp.ClientSession() as session:
                    with pytest.raises(aiohttp.ClientConnectorError) as raised:
                        await session.get(url)
                return type(raised.value).__name__

            kinds.append(asyncio.run(main()))
        return kinds

    with record_http(tmp_path / "a"):
        live = run()
    with record_http(tmp_path / "a", mode="replay", require_all=True):
        replayed = run()

    assert replayed == live


def test_a_pool_shared_by_bound_and_free_contexts_serves_both(server: Any, tmp_path: Path) -> None:
    requests = installed("requests")
    session = requests.Session()

    def ask(value: int) -> Any:
        return session.post(server.url + "/echo", json={"q": value}).json()["echo"]["q"]

    results = [ask(1)]
    with record_http(tmp_path / "a") as recording:
        results.append(ask(2))
        free = threading.Thread(target=results.append, args=(0,))
        free.start()
        free.join()
    results.append(ask(3))
    session.close()

    assert results == [1, 2, 0, 3]
    assert recording.count == 1


def test_threads_of_two_recordings_through_one_stack_stay_apart(server: Any, tmp_path: Path) -> None:
    requests = installed("requests")

    def work(name: str) -> None:
        with record_http(tmp_path / name), requests.Session() as session:
            for i in range(40):
                assert session.post(server.url + "/echo", json={"q": f"{name}{i}"}).ok

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for name in "abcd":
        bodies = [str(e.request.body) for e in read_http(tmp_path / f"{name}.jsonl").exchanges]
        assert bodies == [f'{{"q": "{name}{i}"}}' for i in range(40)]


def test_botocore_calls_are_recorded_and_replayed(server: Any, tmp_path: Path) -> None:
    session = installed("botocore.session").get_session()
    config = installed("botocore.config").Config(retries={"max_attempts": 1})

    def run() -> Any:
        client = session.create_client(
            "lambda",
            region_name="eu-west-1",
            endpoint_url=server.url + "/echo",
            aws_access_key_id="AKIAABCDEFGHIJKLMNOP",
            aws_secret_access_key="very-secret-key",
            config=config,
        )
        return client.invoke(FunctionName="f", Payload=b'{"q": 1}')["Payload"].read()

    with record_http(tmp_path / "a"):
        live = run()
    with record_http(tmp_path / "a", mode="replay", require_all=True):
        replayed = run()

    assert b'"q"' in live
    assert replayed == live
    assert b"AKIAABCDEFGHIJKLMNOP" not in (tmp_path / "a.jsonl").read_bytes()
