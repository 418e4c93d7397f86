"""The live adapter's life: cancellation, event loops, clients handed in, addresses, and waits it is told."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from runtime import OpenAIChat
from runtime.core.effects import NO_LIMITS, Failure
from runtime.core.messages import ModelReply, ModelRequest, user_message
from runtime.errors import UsageError
from runtime.models.openai_chat import retry_after_s
from runtime.testing import LoopbackProvider, says

REQUEST = ModelRequest(model="demo-large", messages=(user_message("hi"),))


def test_cancelled_call_leaves_the_adapter_usable() -> None:
    release, started = threading.Event(), threading.Event()

    def policy(request: ModelRequest) -> ModelReply:
        if request.model == "slow":
            started.set()
            release.wait(10)
        return says("ok")

    async def scenario(base_url: str) -> ModelReply | Failure:
        model = OpenAIChat(base_url=base_url)
        slow = ModelRequest(model="slow", messages=REQUEST.messages)
        task = asyncio.create_task(model.call(slow, NO_LIMITS))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        reply = await model.call(REQUEST, NO_LIMITS)
        await model.aclose()
        await model.aclose()
        return reply

    with LoopbackProvider(policy) as provider:
        reply = asyncio.run(scenario(provider.base_url))

    assert isinstance(reply, ModelReply)


def test_one_adapter_serves_several_event_loops() -> None:
    with LoopbackProvider(lambda _: says("ok")) as provider:
        model = OpenAIChat(base_url=provider.base_url)

        async def once() -> ModelReply | Failure:
            try:
                return await model.call(REQUEST, NO_LIMITS)
            finally:
                await model.aclose()

        replies = [asyncio.run(once()) for _ in range(3)]

        assert all(isinstance(reply, ModelReply) for reply in replies)
        assert provider.requests == 3


def test_client_that_was_handed_in_is_used_and_left_open() -> None:
    async def scenario(base_url: str) -> bool:
        async with httpx.AsyncClient() as client:
            model = OpenAIChat(base_url=base_url, client=client)
            await model.call(REQUEST, NO_LIMITS)
            await model.aclose()
            return client.is_closed

    with LoopbackProvider(lambda _: says("ok")) as provider:
        assert asyncio.run(scenario(provider.base_url)) is False
        assert provider.requests == 1


@pytest.mark.parametrize("base_url", ["", "api.test/v1", "ftp://api.test", "http://"])
def test_base_url_that_is_none_is_refused_at_once(base_url: str) -> None:
    with pytest.raises(UsageError, match="no base URL"):
        OpenAIChat(base_url=base_url)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "7", "retry-after-ms": "120"}, 0.12),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT"}, None),
    ],
)
def test_retry_after_is_read_as_seconds_milliseconds_or_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_s(headers) == (None if seconds is None else pytest.approx(seconds))
