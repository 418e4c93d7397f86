"""The live adapter against real servers on loopback: whole and streamed answers, and every kind of failure."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from runtime import OpenAIChat
from runtime.core.effects import NO_LIMITS, Failure, FailureKind, Limits
from runtime.core.messages import (
    Message,
    ModelReply,
    ModelRequest,
    TextPart,
    ToolCallPart,
    ToolSchema,
    tool_message,
    user_message,
)
from runtime.core.money import Usage
from runtime.ports.models import StreamObserver
from runtime.testing import LoopbackProvider, ReplyFunction, calls, fails, says

REQUEST = ModelRequest(
    model="demo-large",
    messages=(user_message("Where is parcel 8812?"),),
    tools=(ToolSchema(name="kb.search", parameters={"type": "object", "properties": {}}),),
    parameters={"temperature": 0.2},
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
    stream: bool = False,
    limits: Limits = NO_LIMITS,
    observer: StreamObserver | None = None,
    request: ModelRequest = REQUEST,
    api_key: str | None = None,
) -> ModelReply | Failure:
    async def once() -> ModelReply | Failure:
        ticks = itertools.count()
        model = OpenAIChat(
            base_url=base_url,
            stream=stream,
            provider="loop",
            api_key=api_key,
            clock=lambda: next(ticks) * 0.5,
        )
        try:
            return await model.call(request, limits, observer)
        finally:
            await model.aclose()

    return asyncio.run(once())


def answer_of(
    policy: ReplyFunction, *, stream: bool = False, limits: Limits = NO_LIMITS
) -> ModelReply | Failure:
    with LoopbackProvider(policy) as provider:
        return ask(provider.base_url, stream=stream, limits=limits)


@contextmanager
def raw_server(*answers: bytes) -> Iterator[str]:
    """Serve fixed bytes, one connection each, and close; for answers no proper server gives."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                head, _, body = received.partition(b"\r\n\r\n")
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
    assert (reply.finish_reason, reply.raw_finish_reason) == ("stop", "stop")
    assert (reply.provider, reply.response_model) == ("loop", "demo-large")
    assert reply.usage is not None
    assert reply.usage.input_tokens
    assert reply.usage.output_tokens == round((len(LONG) + 2) / 4)
    assert reply.cost_nanousd is None


@pytest.mark.parametrize("stream", [False, True])
def test_parallel_tool_calls_keep_order_ids_and_arguments(stream: bool) -> None:
    turn = calls(
        ("kb.search", {"q": "ü" * 40, "n": 3}),
        ("ticket.read", {"id": 7}),
        ("kb.search", "{broken"),
        text="Wait.",
    )

    reply = answer_of(lambda _: turn, stream=stream)

    assert isinstance(reply, ModelReply)
    assert reply.finish_reason == "tool_call"
    assert reply.text == "Wait."
    assert reply.tool_calls == (
        ToolCallPart(id="call_1", name="kb.search", arguments={"q": "ü" * 40, "n": 3}),
        ToolCallPart(id="call_2", name="ticket.read", arguments={"id": 7}),
        ToolCallPart(id="call_3", name="kb.search", arguments="{broken"),
    )


def test_streamed_and_whole_answers_are_equal_but_for_chunk_offsets() -> None:
    turn = calls(("kb.search", {"q": "refund"}), text=LONG)
    with LoopbackProvider(lambda _: turn) as provider:
        whole = ask(provider.base_url)
        streamed = ask(provider.base_url, stream=True)

    assert isinstance(whole, ModelReply)
    assert isinstance(streamed, ModelReply)
    assert whole.chunk_offsets == ()
    assert (whole.parts, whole.usage, whole.finish_reason) == (
        streamed.parts,
        streamed.usage,
        streamed.finish_reason,
    )


def test_stream_tells_its_observer_each_delta_and_records_an_offset_a_chunk() -> None:
    screen = Screen()
    with LoopbackProvider(lambda _: says(LONG)) as provider:
        reply = ask(provider.base_url, stream=True, observer=screen)

    assert isinstance(reply, ModelReply)
    assert "".join(screen.deltas) == LONG
    assert len(screen.deltas) > 3
    assert len(reply.chunk_offsets) >= len(screen.deltas)
    assert reply.chunk_offsets[:3] == (0.5, 1.0, 1.5)


def test_request_reaches_the_provider_as_it_was_made() -> None:
    seen: list[ModelRequest] = []
    request = ModelRequest(
        model="demo-large",
        messages=(
            user_message("hi"),
            Message(role="assistant", parts=(ToolCallPart(id="a", name="kb.search", arguments={"q": 1}),)),
            tool_message("a", "found"),
        ),
        tools=REQUEST.tools,
        parameters={"temperature": 0.2, "max_tokens": 900},
    )

    def policy(asked: ModelRequest) -> ModelReply:
        seen.append(asked)
        return says("ok")

    with LoopbackProvider(policy) as provider:
        ask(provider.base_url, request=request, limits=Limits(max_output_tokens=17))

    assert seen[0].messages == request.messages
    assert seen[0].tools == request.tools
    assert seen[0].parameters == {"temperature": 0.2, "max_tokens": 17}


def test_usage_of_the_policy_is_kept() -> None:
    usage = Usage(input_tokens=812, output_tokens=33, cache_read_tokens=100, reasoning_tokens=5)

    reply = answer_of(lambda _: ModelReply(parts=(TextPart("x"),), usage=usage))

    assert isinstance(reply, ModelReply)
    assert reply.usage == usage


@pytest.mark.parametrize("stream", [False, True])
def test_rate_limit_tells_how_long_to_wait(stream: bool) -> None:
    failure = answer_of(
        lambda _: fails("rate_limited", retryable=True, after_s=1.5, message="slow down"), stream=stream
    )

    assert failure == Failure(
        kind=FailureKind.RATE_LIMITED,
        message="slow down",
        retryable=True,
        phase="response",
        error_type="scripted",
        after_s=1.5,
    )


@pytest.mark.parametrize(
    ("sent", "kind", "retryable"),
    [
        (fails("error", retryable=True), FailureKind.ERROR, True),
        (fails("error", retryable=False), FailureKind.ERROR, False),
        (fails("unavailable", retryable=True), FailureKind.UNAVAILABLE, True),
        (fails("timeout", retryable=True), FailureKind.TIMEOUT, True),
    ],
)
def test_failures_of_the_policy_come_back_as_failures(
    sent: Failure, kind: FailureKind, retryable: bool
) -> None:
    failure = answer_of(lambda _: sent)

    assert isinstance(failure, Failure)
    assert (failure.kind, failure.retryable, failure.phase) == (
        kind,
        retryable,
        "response" if retryable else "rejected",
    )
    assert failure.message == "scripted failure"


def test_refused_connection_is_a_retryable_failure_of_phase_connect() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]

    failure = ask(f"http://127.0.0.1:{port}/v1")

    assert isinstance(failure, Failure)
    assert (failure.kind, failure.phase, failure.retryable) == (FailureKind.UNAVAILABLE, "connect", True)
    assert failure.error_type == "ConnectError"


def test_connection_dropped_before_the_answer_is_a_failure_of_phase_lost() -> None:
    failure = answer_of(lambda _: fails("unavailable", retryable=True, phase="connect"))

    assert isinstance(failure, Failure)
    assert (failure.kind, failure.phase, failure.retryable) == (FailureKind.UNAVAILABLE, "lost", True)


def test_stream_that_breaks_is_a_failure_of_phase_stream_after_the_text_so_far() -> None:
    screen = Screen()
    with LoopbackProvider(lambda _: fails("unavailable", phase="stream", message=LONG)) as provider:
        failure = ask(provider.base_url, stream=True, observer=screen)

    assert isinstance(failure, Failure)
    assert (failure.kind, failure.phase, failure.retryable) == (FailureKind.UNAVAILABLE, "stream", True)
    assert LONG.startswith("".join(screen.deltas))
    assert screen.deltas


def test_stream_that_ends_early_without_an_error_of_the_connection_is_a_failure() -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n'
    with raw_server(http_answer(event, kind="text/event-stream")) as base_url:
        failure = ask(base_url, stream=True)

    assert isinstance(failure, Failure)
    assert failure.phase == "stream"


def test_error_event_inside_a_stream_is_a_failure() -> None:
    events = (
        b'data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n'
        b'data: {"error":{"message":"overloaded","type":"server_error","code":503}}\n\n'
    )
    with raw_server(http_answer(events, kind="text/event-stream")) as base_url:
        failure = ask(base_url, stream=True)

    assert isinstance(failure, Failure)
    assert (failure.message, failure.phase, failure.retryable) == ("overloaded", "stream", True)


@pytest.mark.parametrize(
    "body",
    [b"<html>gateway</html>", b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [3]}', b"null", b"\xff"],
)
def test_answer_that_is_no_reply_is_a_failure_and_never_an_exception(body: bytes) -> None:
    with raw_server(http_answer(body)) as base_url:
        failure = ask(base_url)

    assert isinstance(failure, Failure)
    assert (failure.kind, failure.phase) == (FailureKind.ERROR, "response")


def test_error_body_under_status_200_is_a_failure() -> None:
    body = b'{"error": {"message": "no provider left", "code": 502}}'
    with raw_server(http_answer(body)) as base_url:
        failure = ask(base_url)

    assert isinstance(failure, Failure)
    assert (failure.message, failure.kind) == ("no provider left", FailureKind.UNAVAILABLE)


def test_whole_answer_to_a_streamed_request_is_read() -> None:
    body = b'{"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}'
    with raw_server(http_answer(body)) as base_url:
        reply = ask(base_url, stream=True)

    assert isinstance(reply, ModelReply)
    assert reply.text == "hi"


def test_api_key_is_sent_and_never_told() -> None:
    body = b'{"error": {"message": "Incorrect API key provided: sk-very-secret"}}'
    with raw_server(http_answer(body, status="401 Unauthorized")) as base_url:
        failure = ask(base_url, api_key="sk-very-secret")

    assert isinstance(failure, Failure)
    assert failure.message == "Incorrect API key provided: <secret>"
    assert not failure.retryable


def test_silent_provider_is_a_timeout() -> None:
    release = threading.Event()

    def policy(_: ModelRequest) -> ModelReply:
        release.wait(10)
        return says("late")

    with LoopbackProvider(policy) as provider:
        failure = ask(provider.base_url, limits=Limits(timeout_s=0.05))
        release.set()

    assert isinstance(failure, Failure)
    assert (failure.kind, failure.phase, failure.retryable) == (FailureKind.TIMEOUT, "lost", True)


def test_request_the_dialect_cannot_say_is_a_failure_of_phase_request() -> None:
    request = ModelRequest(model="m", messages=REQUEST.messages, parameters={"stop": object()})

    failure = ask("http://127.0.0.1:9/v1", request=request)

    assert isinstance(failure, Failure)
    assert (failure.phase, failure.retryable) == ("request", False)
