"""No secret reaches the file: headers, cookies, URLs, bodies, streams in pieces, compressed bodies, errors."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.redaction.redactor import Redactor
from harness.wire.exchange import HttpAnswer, HttpError, SentRequest, pack, unpack
from harness.wire.http_recording import read_http
from harness.wire.misses import WireMiss
from harness.wire.request_key import request_key
from harness.wire.scrub import Scrubber
from harness.wire.session import record_http

KEY = "sk-proj-Zk3vQ9xT7mB2nL5wR8yH4cD6"
BEARER = "Bearer tok3n-9f8e7d6c5b4a39281706"
SECRETS = (
    KEY,
    "tok3n-9f8e7d6c5b4a39281706",
    "cookie-value-1234",
    "url-key-5678",
    "passw0rd-in-url",
    "hunter2hunter2",
)


def scrubbed(answer: HttpAnswer) -> HttpAnswer:
    return Scrubber(Redactor()).answer(answer)


def secret_call(server: Any) -> httpx.Response:
    url = server.url.replace("http://", "http://user:passw0rd-in-url@") + "/echo?key=url-key-5678&q=1"
    body = {"prompt": f"my key is {KEY}", "password": "hunter2hunter2", "max_tokens": 5}
    headers = {"Authorization": BEARER, "Cookie": "session=cookie-value-1234", "X-Api-Key": KEY}
    return httpx.post(url, json=body, headers=headers)


def test_no_planted_secret_is_on_disk_and_the_replay_matches(server: Any, tmp_path: Path) -> None:
    with record_http(tmp_path / "a"):
        live = secret_call(server)
    with record_http(tmp_path / "a", mode="replay"):
        replayed = secret_call(server)

    data = (tmp_path / "a.jsonl").read_bytes()
    assert [s for s in SECRETS if s.encode() in data] == []
    assert KEY in live.text
    assert replayed.status_code == 200
    assert "<secret#" in replayed.text
    assert len(replayed.content) == int(replayed.headers["content-length"])


def test_a_request_with_another_secret_is_the_same_request(server: Any, tmp_path: Path) -> None:
    def run(key: str) -> Any:
        return httpx.post(server.url + "/echo", json={"prompt": f"use {key}"}, headers={"x-api-key": key})

    with record_http(tmp_path / "a"):
        run(KEY)
    with record_http(tmp_path / "a", mode="replay"):
        run(KEY.replace("Zk3v", "Wp5s"))

    assert len(server.seen) == 1


def test_a_conversation_goes_on_with_the_pseudonym_of_its_recording(server: Any, tmp_path: Path) -> None:
    def run() -> Any:
        first = httpx.post(server.url + "/echo", json={"keys": [KEY.replace("Zk3v", "Wp5s"), KEY]}).json()
        return httpx.post(server.url + "/echo", json={"history": first["echo"]["keys"][1]}).json()

    with record_http(tmp_path / "a"):
        run()
    with record_http(tmp_path / "a", mode="replay", require_all=True):
        assert run()["echo"]["history"].startswith("<secret#")


def test_a_secret_split_over_streamed_pieces_is_taken_out_and_the_chunks_stay(
    server: Any, tmp_path: Path
) -> None:
    with record_http(tmp_path / "a"), httpx.stream("POST", server.url + "/split") as response:
        live = list(response.iter_raw())

    answer = read_http(tmp_path / "a.jsonl").exchanges[0].answer
    assert answer is not None
    said = "".join(
        json.loads(line[5:])["choices"][0]["delta"]["content"]
        for line in answer.content.decode().splitlines()
        if line.startswith("data:")
    )
    assert len(answer.chunks) == len(live)
    assert said == "your key is <secret#1> keep it"
    assert b"Zk3vQ9xT" not in (tmp_path / "a.jsonl").read_bytes()


def test_a_secret_in_a_compressed_answer_is_found() -> None:
    body = json.dumps({"key": KEY}).encode()
    packed = gzip.compress(body)
    answer = scrubbed(
        HttpAnswer(
            status=200,
            headers=(("Content-Encoding", "gzip"), ("Content-Length", str(len(packed)))),
            chunks=((0.1, pack(packed[:10])), (0.2, pack(packed[10:]))),
            end="done",
        )
    )

    assert json.loads(answer.content) == {"key": "<secret#1>"}
    assert answer.headers == (("Content-Length", str(len(answer.content))),)


def test_a_body_that_cannot_be_read_is_dropped_and_said_so(server: Any, tmp_path: Path) -> None:
    answer = scrubbed(
        HttpAnswer(status=200, headers=(("content-encoding", "br"),), chunks=((0.1, "abc"),), end="done")
    )

    assert answer.chunks == ()
    assert answer.dropped is not None
    assert "'br'" in answer.dropped


def test_what_was_dropped_is_a_miss_on_replay(tmp_path: Path) -> None:
    from harness.wire.session import HttpSession
    from harness.wire.transports import RecordedTransport

    def respond(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "br"}, stream=httpx.ByteStream(b"abc"))

    session = HttpSession(tmp_path / "a", mode="record").open()
    transport: Any = RecordedTransport(httpx.MockTransport(respond), session)
    with httpx.Client(transport=transport) as client, client.stream("GET", "http://a.test/") as response:
        list(response.iter_raw())
    session.close()

    with pytest.raises(WireMiss, match="its answer was not kept"), record_http(tmp_path / "a"):
        httpx.get("http://a.test/", trust_env=False)
    assert session.dropped == 1


def test_binary_bodies_are_searched_too() -> None:
    answer = scrubbed(HttpAnswer(status=200, chunks=((0.1, pack(b"\xff\xfe " + KEY.encode())),), end="done"))

    assert answer.content == b"\xff\xfe <secret#1>"


def test_error_texts_are_cleaned() -> None:
    error = HttpError(type="ConnectError", phase="connect", message=f"refused for {KEY}")

    assert scrubbed(HttpAnswer(end="reset", error=error)).error == HttpError(
        type="ConnectError", phase="connect", message="refused for <secret#1>"
    )


def test_unredacted_recordings_say_so_and_replay(server: Any, tmp_path: Path) -> None:
    with record_http(tmp_path / "a", redact=False):
        live = secret_call(server)
    with record_http(tmp_path / "a", mode="replay"):
        replayed = secret_call(server)

    assert replayed.content == live.content
    assert read_http(tmp_path / "a.jsonl").head.redaction == "none"


def test_a_clean_body_keeps_its_bytes() -> None:
    for body in (b'{ "max_tokens" : 5, "u" : "\\u00e9" }', b"\x00\xff\x80", "grüß".encode()):
        request = Scrubber(Redactor()).request(
            SentRequest(stack="t", method="POST", url="http://a.test/", body=body)
        )

        assert unpack(request.body) == body


@given(st.text(alphabet="ab \n<#>é", max_size=30), st.lists(st.integers(0, 60), max_size=5))
def test_however_a_text_is_cut_it_is_cleaned_as_a_whole(around: str, cuts: list[int]) -> None:
    text = f"{around} {KEY} {around}"
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in pairwise(places)]

    told = Redactor().redact_chunks(pieces)

    assert "".join(told) == Redactor().text(text)
    assert len(told) == len(pieces)


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5)), max_size=5))
def test_keys_do_not_depend_on_the_order_of_fields(value: dict[str, Any]) -> None:
    def key(fields: Any) -> str:
        body = json.dumps(dict(fields)).encode()
        return request_key(
            Scrubber(Redactor()).request(SentRequest(stack="t", method="POST", url="u", body=body))
        )

    assert key(value.items()) == key(reversed(list(value.items())))


@given(st.binary(max_size=40))
def test_stored_bytes_come_back(data: bytes) -> None:
    assert unpack(pack(data)) == data
