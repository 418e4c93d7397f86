"""Answers are decompressed under a limit, whatever their encoding and however they are cut into chunks."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import OpenAIChat
from runtime.core.effects import NO_LIMITS, Failure
from runtime.core.messages import ModelReply, ModelRequest, user_message
from runtime.dialects.errors import DialectError
from runtime.models.answer_bytes import MAX_ANSWER_BYTES, AnswerTooLarge, bounded

REQUEST = ModelRequest(model="demo-large", messages=(user_message("hi"),))


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "members": lambda data: gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]),
    "deflate": zlib.compress,
    "raw": raw_deflate,
}
NAME = {"members": "gzip", "raw": "deflate"}


async def chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def read(data: bytes, encoding: str | None, *, size: int = 1000, limit: int = MAX_ANSWER_BYTES) -> bytes:
    async def joined() -> bytes:
        return b"".join([piece async for piece in bounded(chunks(data, size), encoding, limit=limit)])

    return asyncio.run(joined())


@pytest.mark.parametrize("form", PACK)
@given(data=st.binary(max_size=2000), repeat=st.integers(1, 400), size=st.integers(1, 70_000))
def test_what_was_packed_is_read_whatever_the_chunks(form: str, data: bytes, repeat: int, size: int) -> None:
    whole = data * repeat

    assert read(PACK[form](whole), NAME.get(form, form), size=size) == whole


@pytest.mark.parametrize("form", PACK)
def test_the_first_byte_past_the_limit_ends_the_answer(form: str) -> None:
    packed, name = PACK[form](b"a" * 5000), NAME.get(form, form)

    assert read(packed, name, limit=5000) == b"a" * 5000
    with pytest.raises(AnswerTooLarge):
        read(packed, name, limit=4999)


@pytest.mark.parametrize("form", ["gzip", "deflate", "raw"])
def test_a_damaged_or_cut_body_is_an_error(form: str) -> None:
    packed, name = PACK[form](bytes(range(256)) * 40), NAME.get(form, form)

    with pytest.raises(DialectError, match="cut off"):
        read(packed[:-9], name)
    with pytest.raises(DialectError, match=r"damaged|cut off"):
        read(b"\xff\xfe" + packed, name)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
def test_an_encoding_that_cannot_be_bounded_is_refused(encoding: str) -> None:
    with pytest.raises(DialectError, match="content encoding"):
        read(b"anything", encoding)


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_small_body_that_unpacks_to_four_times_the_limit_fails_the_call(
    content_type: str, status: int
) -> None:
    bomb = gzip.compress(b"data: " + b"a" * (4 * MAX_ANSWER_BYTES))

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "gzip, deflate"
        headers = {"content-type": content_type, "content-encoding": "gzip"}
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(bomb))

    async def call() -> ModelReply | Failure:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            model = OpenAIChat(base_url="https://models.test/v1", api_key="key", client=client)
            return await model.call(REQUEST, NO_LIMITS)

    tracemalloc.start()
    failure = asyncio.run(call())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert isinstance(failure, Failure)
    assert (failure.error_type, failure.retryable) == ("AnswerTooLarge", False)
    assert peak < 3 * MAX_ANSWER_BYTES
