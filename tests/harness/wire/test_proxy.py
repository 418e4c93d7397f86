"""The recording proxy: streams relayed as they come, breaks kept, foreign hosts refused, replay without upstream."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.wire.http_recording import read_http
from harness.wire.misses import WireMiss
from harness.wire.proxy import RecordingProxy
from harness.wire.session import HttpSession
from runtime.errors import UsageError

CHUNKS = 41


def proxy(path: Path, upstream: str, *, mode: Any = "record", **settings: Any) -> RecordingProxy:
    return RecordingProxy(HttpSession(path, mode=mode), {"": upstream, "named": upstream}, **settings)


def read_stream(url: str, *, most: int | None = None) -> list[bytes]:
    got: list[bytes] = []
    with httpx.Client(trust_env=False) as client, client.stream("POST", url, json={"q": 1}) as response:
        for piece in response.iter_raw():
            got.append(piece)
            if len(got) == most:
                break
    return got


def test_streams_go_through_piece_by_piece_and_replay_without_the_upstream(
    server: Any, tmp_path: Path
) -> None:
    with proxy(tmp_path / "a", server.url) as recording:
        live = read_stream(recording.base_url() + "/stream")
        named = httpx.post(recording.base_url("named") + "/echo", json={"q": 2}, trust_env=False).json()
    server.shutdown()
    server.server_close()
    with proxy(tmp_path / "a", server.url, mode="replay") as replay:
        replayed = read_stream(replay.base_url() + "/stream")
        again = httpx.post(replay.base_url("named") + "/echo", json={"q": 2}, trust_env=False).json()

    exchanges = read_http(tmp_path / "a.jsonl").exchanges
    answer = exchanges[0].answer
    assert answer is not None
    assert len(live) == len(answer.chunks) == CHUNKS
    assert b"".join(replayed) == b"".join(live)
    assert again == named
    assert [e.request.url for e in exchanges] == [server.url + "/stream", server.url + "/echo"]


def test_the_first_piece_arrives_while_the_upstream_still_writes(server: Any, tmp_path: Path) -> None:
    with (
        proxy(tmp_path / "a", server.url) as recording,
        httpx.stream("POST", recording.base_url() + "/stream", trust_env=False) as response,
    ):
        next(response.iter_raw())
        written_at_first = server.written

    assert written_at_first < CHUNKS / 2


def test_a_break_of_the_upstream_is_a_break_for_the_client(server: Any, tmp_path: Path) -> None:
    for mode in ("record", "replay"):
        with (
            proxy(tmp_path / "a", server.url, mode=mode) as running,
            pytest.raises(httpx.RemoteProtocolError),
        ):
            read_stream(running.base_url() + "/break")

    answer = read_http(tmp_path / "a.jsonl").exchanges[0].answer
    assert answer is not None
    assert (answer.end, len(answer.chunks)) == ("reset", 10)
    assert server.seen == ["/break"]


def test_an_upstream_that_is_down_is_502_live_and_on_replay(tmp_path: Path, closed_port: int) -> None:
    codes = []
    for mode in ("record", "replay"):
        with proxy(tmp_path / "a", f"http://127.0.0.1:{closed_port}", mode=mode) as running:
            codes.append(httpx.get(running.base_url() + "/x", trust_env=False).status_code)

    assert codes == [502, 502]


def test_what_was_not_recorded_is_599_and_a_miss(server: Any, tmp_path: Path) -> None:
    with proxy(tmp_path / "a", server.url):
        pass

    running = proxy(tmp_path / "a", server.url, mode="replay").__enter__()
    answer = httpx.post(running.base_url() + "/echo", trust_env=False)
    with pytest.raises(WireMiss):
        running.__exit__(None, None, None)

    assert answer.status_code == 599
    assert server.seen == []


def test_foreign_hosts_are_refused(server: Any, tmp_path: Path) -> None:
    with proxy(tmp_path / "a", server.url) as running:
        url = running.base_url() + "/echo"
        foreign = httpx.post(url, headers={"Host": "evil.test"}, trust_env=False)
        named = httpx.post(url, headers={"Host": f"localhost:{running.port}"}, trust_env=False)

    assert (foreign.status_code, named.status_code) == (403, 200)
    assert server.seen == ["/echo"]


def test_with_a_token_only_those_who_know_it_get_through(server: Any, tmp_path: Path) -> None:
    with proxy(tmp_path / "a", server.url, token=True) as running:
        without = httpx.post(f"http://127.0.0.1:{running.port}/echo", trust_env=False)
        known = httpx.post(running.base_url() + "/echo", trust_env=False)

    assert (without.status_code, known.status_code) == (404, 200)


def test_a_chunked_request_body_is_relayed_whole(server: Any, tmp_path: Path) -> None:
    def pieces() -> Any:
        yield b'{"q":'
        yield b" 1}"

    with proxy(tmp_path / "a", server.url) as running:
        answer = httpx.post(running.base_url() + "/echo", content=pieces(), trust_env=False)

    assert answer.json() == {"echo": {"q": 1}}


def test_proxy_requests_and_upgrades_are_refused(server: Any, tmp_path: Path) -> None:
    with proxy(tmp_path / "a", server.url) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port)
        connection.request("GET", "http://other.test/", headers={"Host": f"127.0.0.1:{running.port}"})
        absolute = connection.getresponse().status
        connection.close()
        connection.request("GET", "/echo", headers={"Upgrade": "websocket"})
        upgrade = connection.getresponse().status
        connection.close()

    assert (absolute, upgrade) == (400, 501)
    assert server.seen == []


def test_keys_that_pass_the_proxy_are_not_on_disk(server: Any, tmp_path: Path) -> None:
    with proxy(tmp_path / "a", server.url) as running:
        httpx.post(
            running.base_url() + "/echo?key=url-key-5678",
            headers={"authorization": "Bearer very-secret-9182"},
            trust_env=False,
        )

    data = (tmp_path / "a.jsonl").read_bytes()
    assert b"very-secret-9182" not in data
    assert b"url-key-5678" not in data
    assert server.seen == ["/echo?key=url-key-5678"]


@pytest.mark.parametrize("upstreams", [{}, {"": "ftp://a.test"}, {"a": "nonsense"}])
def test_wrong_upstreams_are_refused(tmp_path: Path, upstreams: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        RecordingProxy(HttpSession(tmp_path / "a"), upstreams)
