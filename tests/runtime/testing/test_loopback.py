"""The loopback provider as any HTTP client sees it: bytes, kept connections, bad bodies, bugs of the policy."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.core.effects import Failure
from runtime.core.messages import ModelReply, ModelRequest
from runtime.errors import UsageError
from runtime.testing import LoopbackProvider, calls, fails, says
from tests.support.counts import examples

BODY = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}


def post(base_url: str, body: Any = None, *, content: bytes | None = None) -> httpx.Response:
    with httpx.Client(trust_env=False) as client:
        data = content if content is not None else orjson.dumps(BODY if body is None else body)
        return client.post(f"{base_url}/chat/completions", content=data)


def test_equal_requests_get_equal_bytes_and_headers() -> None:
    with LoopbackProvider(lambda _: calls(("a", {"x": 1}))) as provider:
        first, second = post(provider.base_url), post(provider.base_url)

    assert first.content == second.content
    assert first.headers.raw == second.headers.raw
    assert "date" not in first.headers
    assert provider.requests == 2


def test_stream_is_chunked_events_that_end_with_done() -> None:
    with LoopbackProvider(lambda _: says("hello")) as provider:
        answer = post(provider.base_url, {**BODY, "stream": True})

    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert json.loads(events[0].removeprefix("data: "))["object"] == "chat.completion.chunk"


def test_connection_is_kept_over_answers_errors_and_streams() -> None:
    def policy(request: ModelRequest) -> ModelReply | Failure:
        return fails() if request.model == "bad" else says("ok")

    with LoopbackProvider(policy) as provider:
        port = int(provider.base_url.rpartition(":")[2].removesuffix("/v1"))
        connection = http.client.HTTPConnection("127.0.0.1", port)
        statuses, sockets = [], set()
        for extra in ({}, {"model": "bad"}, {"stream": True}, {"messages": 3}, {}):
            connection.request("POST", "/v1/chat/completions", orjson.dumps({**BODY, **extra}))
            assert connection.sock is not None
            sockets.add(connection.sock.getsockname())
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()

    assert statuses == [200, 400, 200, 400, 200]
    assert len(sockets) == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"{}", b'{"messages": 1}', b"\xff\xfe", b"[" * 5000]
)
def test_bad_body_is_answered_400_with_an_error_object(content: bytes) -> None:
    with LoopbackProvider(lambda _: says("ok")) as provider:
        answer = post(provider.base_url, content=content)

        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert post(provider.base_url).status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_any_json_is_answered_and_none_breaks_the_server() -> None:
    with (
        LoopbackProvider(lambda _: says("ok")) as provider,
        httpx.Client(trust_env=False, base_url=provider.base_url) as client,
    ):

        @settings(max_examples=examples(25, 300))
        @given(
            st.fixed_dictionaries(
                {},
                optional={
                    "model": JSON,
                    "messages": JSON
                    | st.lists(
                        st.fixed_dictionaries(
                            {"role": st.sampled_from(["user", "assistant", "tool", "x"])},
                            optional={"content": JSON, "tool_calls": JSON, "tool_call_id": JSON},
                        ),
                        max_size=3,
                    ),
                    "tools": JSON,
                    "functions": JSON,
                    "function_call": JSON,
                    "stream": JSON,
                },
            )
        )
        def answered(body: Any) -> None:
            status = client.post("/chat/completions", content=json.dumps(body)).status_code
            assert status in {200, 400}

        answered()


def test_other_paths_methods_and_bodies_without_length_are_refused() -> None:
    with LoopbackProvider(lambda _: says("ok")) as provider, httpx.Client(trust_env=False) as client:
        assert client.post(f"{provider.base_url}/embeddings", content=b"{}").status_code == 404
        assert client.get(f"{provider.base_url}/models").status_code == 404
        assert client.post(f"{provider.base_url}/chat/completions", content=iter([b"{}"])).status_code == 411


def test_rate_limit_carries_whole_and_fine_waits() -> None:
    with LoopbackProvider(lambda _: fails("rate_limited", after_s=0.05)) as provider:
        answer = post(provider.base_url)

    assert answer.status_code == 429
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("1", "50")


def test_exception_of_the_policy_is_raised_when_the_provider_closes() -> None:
    def policy(_: ModelRequest) -> ModelReply:
        raise KeyError("bug of the policy")

    provider = LoopbackProvider(policy).start()
    with pytest.raises(httpx.RemoteProtocolError):
        post(provider.base_url)

    with pytest.raises(KeyError, match="bug of the policy"):
        provider.close()


def test_many_clients_are_served_at_once() -> None:
    together = threading.Barrier(8, timeout=10)

    def policy(_: ModelRequest) -> ModelReply:
        together.wait()
        return says("ok")

    statuses: list[int] = []
    with LoopbackProvider(policy) as provider:
        threads = [
            threading.Thread(target=lambda: statuses.append(post(provider.base_url).status_code))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert statuses == [200] * 8
    assert provider.requests == 8


def test_closing_does_not_wait_for_idle_clients_and_may_be_repeated() -> None:
    provider = LoopbackProvider(lambda _: says("ok")).start()
    with httpx.Client(trust_env=False) as client:
        client.post(f"{provider.base_url}/chat/completions", content=orjson.dumps(BODY))

        provider.close()
        provider.close()

    with pytest.raises(UsageError, match="not running"):
        _ = provider.base_url


def test_taken_port_is_refused() -> None:
    with LoopbackProvider(lambda _: says("ok")) as provider:
        port = int(provider.base_url.rpartition(":")[2].removesuffix("/v1"))

        with pytest.raises(UsageError, match="cannot be used"):
            LoopbackProvider(lambda _: says("ok"), port=port).start()
