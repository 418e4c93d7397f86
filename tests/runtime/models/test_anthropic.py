"""The Anthropic adapter against real servers on loopback: whole and streamed, failures, and what a run costs."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest

from runtime import AnthropicMessages, PriceTable
from runtime.core.effects import NO_LIMITS, Failure, FailureKind, Limits
from runtime.core.messages import (
    Message,
    ModelReply,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolSchema,
    tool_message,
    user_message,
)
from runtime.core.money import Usage
from runtime.core.policy import Budget
from runtime.entry.run import run_agent
from runtime.testing import LoopbackProvider, ReplyFunction, calls, fails, says
from tests.support.agents import Shop, shop_agent

MODEL = "claude-sonnet-4-5"
REQUEST = ModelRequest(
    model=MODEL,
    messages=(user_message("Where is parcel 8812?"),),
    tools=(ToolSchema(name="kb_search", parameters={"type": "object", "properties": {}}),),
    parameters={"max_tokens": 500, "temperature": 0.2},
)
LONG = "Your parcel is on its way and will reach you on Thursday, says the carrier. "


class Screen:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.deltas: list[str] = []

    def on_text(self, delta: str) -> None:
        self.deltas.append(delta)

    def on_restart(self) -> None:
        self.deltas.clear()


def ask(
    base_url: str,
    *,
    limits: Limits = NO_LIMITS,
    observer: Screen | None = None,
    request: ModelRequest = REQUEST,
    **options: Any,
) -> ModelReply | Failure:
    async def once() -> ModelReply | Failure:
        ticks = itertools.count()
        model = AnthropicMessages(base_url=base_url, clock=lambda: next(ticks) * 0.5, **options)
        try:
            return await model.call(request, limits, observer)
        finally:
            await model.aclose()

    return asyncio.run(once())


def answer_of(policy: ReplyFunction, *, stream: bool = False) -> ModelReply | Failure:
    with LoopbackProvider(policy) as provider:
        return ask(provider.base_url, stream=stream)


@contextmanager
def raw_server(answer: bytes, heads: list[str]) -> Iterator[str]:
    """Serve fixed bytes to one connection, keep the head of its request, and close."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65536)
            head, _, body = received.partition(b"\r\n\r\n")
            heads.append(head.decode().lower())
            size = int(head.lower().partition(b"content-length:")[2].split()[0])
            while len(body) < size:
                body += connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with closing(listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    thread.join(5)


def http_answer(body: bytes, *, kind: str = "application/json", status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("stream", [False, True])
def test_text_arrives_with_usage_names_and_finish_reason(stream: bool) -> None:
    reply = answer_of(lambda _: says(LONG), stream=stream)

    assert isinstance(reply, ModelReply)
    assert reply.text == LONG
    assert (reply.finish_reason, reply.raw_finish_reason) == ("stop", "end_turn")
    assert (reply.provider, reply.response_model) == ("anthropic", MODEL)
    assert reply.response_id is not None
    assert reply.response_id.startswith("msg_")
    assert reply.usage is not None
    assert reply.usage.output_tokens == round((len(LONG) + 2) / 4)
    assert reply.cost_nanousd is None


@pytest.mark.parametrize("stream", [False, True])
def test_parallel_tool_calls_keep_order_ids_and_arguments(stream: bool) -> None:
    turn = calls(
        ("kb_search", {"q": "ü" * 40, "n": 3}),
        ("ticket_read", {}),
        ("kb_search", "{broken"),
        text="Wait.",
    )

    reply = answer_of(lambda _: turn, stream=stream)

    assert isinstance(reply, ModelReply)
    assert (reply.finish_reason, reply.raw_finish_reason) == ("tool_call", "tool_use")
    assert reply.text == "Wait."
    assert reply.tool_calls == (
        ToolCallPart(id="call_1", name="kb_search", arguments={"q": "ü" * 40, "n": 3}),
        ToolCallPart(id="call_2", name="ticket_read", arguments={}),
        ToolCallPart(id="call_3", name="kb_search", arguments="{broken"),
    )


def test_streamed_and_whole_answers_are_equal_but_for_chunk_offsets() -> None:
    thought = ReasoningPart(content=LONG, signature="c2lnbmF0dXJl")
    call = ToolCallPart(id="a", name="kb_search", arguments={"q": "refund"})
    usage = Usage(input_tokens=900, output_tokens=40, cache_read_tokens=700, cache_write_tokens=100)
    turn = ModelReply(parts=(thought, TextPart(LONG), call), usage=usage)
    screen = Screen()
    with LoopbackProvider(lambda _: turn) as provider:
        whole = ask(provider.base_url)
        streamed = ask(provider.base_url, stream=True, observer=screen)

    assert isinstance(whole, ModelReply)
    assert isinstance(streamed, ModelReply)
    assert whole.parts == streamed.parts == turn.parts
    assert whole.usage == streamed.usage == usage
    assert whole.chunk_offsets == ()
    assert streamed.chunk_offsets[:3] == (0.5, 1.0, 1.5)
    assert "".join(screen.deltas) == LONG
    assert len(screen.deltas) > 3


def test_request_reaches_the_provider_as_it_was_made() -> None:
    seen: list[ModelRequest] = []
    thought = ReasoningPart(content="Look it up.", signature="c2ln")
    call = ToolCallPart(id="a", name="kb_search", arguments={"q": 1})
    request = ModelRequest(
        model=MODEL,
        messages=(
            user_message("hi"),
            Message(role="assistant", parts=(thought, call)),
            tool_message("a", "found"),
        ),
        tools=REQUEST.tools,
        parameters={"max_tokens": 900, "tool_choice": {"type": "auto"}},
    )

    def policy(asked: ModelRequest) -> ModelReply:
        seen.append(asked)
        return says("ok")

    with LoopbackProvider(policy) as provider:
        ask(provider.base_url, request=request, limits=Limits(max_output_tokens=17))

    assert seen[0].messages == request.messages
    assert seen[0].tools == request.tools
    assert seen[0].parameters == {"max_tokens": 17, "tool_choice": {"type": "auto"}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("sent", "kind", "retryable"),
    [
        (fails("rate_limited", retryable=True, after_s=1.5), FailureKind.RATE_LIMITED, True),
        (fails("unavailable", retryable=True), FailureKind.UNAVAILABLE, True),
        (fails("timeout", retryable=True), FailureKind.TIMEOUT, True),
        (fails("error", retryable=True), FailureKind.ERROR, True),
        (fails("error", retryable=False), FailureKind.ERROR, False),
    ],
)
def test_failures_of_the_policy_come_back_as_failures(
    sent: Failure, kind: FailureKind, retryable: bool, stream: bool
) -> None:
    failure = answer_of(lambda _: sent, stream=stream)

    assert isinstance(failure, Failure)
    phase = "response" if retryable else "rejected"
    assert (failure.kind, failure.retryable, failure.phase) == (kind, retryable, phase)
    assert (failure.message, failure.after_s) == ("scripted failure", sent.after_s)


def test_overload_is_answered_with_status_529_and_its_own_error_type() -> None:
    failure = Failure(kind=FailureKind.UNAVAILABLE, message="Overloaded", retryable=True)
    body = {"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    with LoopbackProvider(lambda _: failure) as provider, httpx.Client(trust_env=False) as client:
        overloaded = client.post(f"{provider.base_url}/messages", json=body)
        refused = client.post(f"{provider.base_url}/messages", json={"messages": 3})

    assert overloaded.status_code == 529
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_request_error"


def test_stream_names_its_events_as_the_provider_does() -> None:
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with LoopbackProvider(lambda _: says("hello")) as provider, httpx.Client(trust_env=False) as client:
        lines = client.post(f"{provider.base_url}/messages", json=body).text.splitlines()

    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    types = [json.loads(line.removeprefix("data: "))["type"] for line in lines if line.startswith("data: ")]
    assert names == types
    assert (names[0], names[-1]) == ("message_start", "message_stop")


def test_stream_that_breaks_is_a_failure_of_phase_stream_after_the_text_so_far() -> None:
    screen = Screen()
    with LoopbackProvider(lambda _: fails("unavailable", phase="stream", message=LONG)) as provider:
        failure = ask(provider.base_url, stream=True, observer=screen)

    assert isinstance(failure, Failure)
    assert (failure.kind, failure.phase, failure.retryable) == (FailureKind.UNAVAILABLE, "stream", True)
    assert LONG.startswith("".join(screen.deltas))
    assert screen.deltas


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (b"", "the stream ended before the answer did"),
        (
            b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"full"}}',
            "full",
        ),
    ],
)
def test_stream_that_ends_early_or_tells_of_an_error_is_a_retryable_failure(
    last: bytes, message: str
) -> None:
    half = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"half"}}\n\n'
    with raw_server(http_answer(half + last, kind="text/event-stream"), []) as base_url:
        failure = ask(base_url, stream=True)

    assert isinstance(failure, Failure)
    assert (failure.message, failure.phase, failure.retryable) == (message, "stream", True)


@pytest.mark.parametrize("body", [b"<html>gateway</html>", b"", b"[]", b"{}", b'{"content": 3}', b"\xff"])
def test_answer_that_is_no_reply_is_a_failure_and_never_an_exception(body: bytes) -> None:
    with raw_server(http_answer(body), []) as base_url:
        failure = ask(base_url)

    assert isinstance(failure, Failure)
    assert (failure.kind, failure.phase) == (FailureKind.ERROR, "response")


def test_key_and_version_are_sent_and_the_key_is_never_told() -> None:
    body = b'{"type":"error","error":{"type":"authentication_error","message":"bad key sk-very-secret"}}'
    heads: list[str] = []
    with raw_server(http_answer(body, status="401 Unauthorized"), heads) as base_url:
        failure = ask(base_url, api_key="sk-very-secret", headers={"Anthropic-Beta": "files"})

    assert isinstance(failure, Failure)
    assert (failure.message, failure.error_type) == ("bad key <secret>", "authentication_error")
    assert not failure.retryable
    assert "post /v1/messages http/1.1" in heads[0]
    for line in ("x-api-key: sk-very-secret", "anthropic-version: 2023-06-01", "anthropic-beta: files"):
        assert line in heads[0].splitlines()


def test_a_version_among_the_headers_replaces_ours() -> None:
    heads: list[str] = []
    with raw_server(http_answer(b"{}"), heads) as base_url:
        ask(base_url, headers={"Anthropic-Version": "2099-01-01"})

    assert [line for line in heads[0].splitlines() if line.startswith("anthropic-version")] == [
        "anthropic-version: 2099-01-01"
    ]


def test_request_without_an_output_limit_is_a_failure_of_phase_request() -> None:
    failure = ask("http://127.0.0.1:9/v1", request=ModelRequest(model=MODEL, messages=REQUEST.messages))

    assert isinstance(failure, Failure)
    assert (failure.phase, failure.retryable) == ("request", False)
    assert "max_tokens" in failure.message


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_costs_what_the_price_table_says_with_cached_tokens_at_their_own_rates(stream: bool) -> None:
    usage = Usage(input_tokens=1212, output_tokens=30, cache_read_tokens=1000, cache_write_tokens=200)
    thought = ReasoningPart(content="Count them.", signature="c2ln")
    asked: list[ModelRequest] = []

    def policy(request: ModelRequest) -> ModelReply:
        asked.append(request)
        if request.messages[-1].role == "tool":
            return ModelReply(parts=(TextPart("three"),), usage=usage)
        look = ToolCallPart(id="a", name="stock", arguments={"item": "apple"})
        return ModelReply(parts=(thought, look), usage=usage)

    prices = PriceTable.default()
    rate = prices.rate(MODEL, "anthropic")
    agent = shop_agent(
        Shop(),
        model=MODEL,
        provider="anthropic",
        budget=Budget(max_usd=1),
        max_output_tokens=500,
    )
    with LoopbackProvider(policy) as provider:
        model = AnthropicMessages(base_url=provider.base_url, stream=stream)
        result = run_agent(agent, "how many apples?", model=model, prices=prices)

    assert rate is not None
    assert (result.stop_reason, result.output) == ("finish", "three")
    expected = rate.cost(usage)
    assert expected == -(-(12 * 3_000 + 1000 * 300 + 200 * 3_750 + 30 * 15_000) // 1)
    assert result.totals.cost_nanousd == 2 * expected
    assert (result.totals.input_tokens, result.totals.cache_read_tokens) == (2424, 2000)
    assert thought in asked[1].messages[-2].parts
    assert asked[0].parameters["max_tokens"] == 500
