"""AWS event streams: checksums, header types and bytes in pieces."""

from __future__ import annotations

import struct
from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dialects.aws_eventstream import EventStreamParser, encode_message, parse_eventstream
from runtime.dialects.bedrock_converse import StreamDecoder, event_of
from runtime.dialects.bedrock_invoke import InvokeStream, Vendor, chunk_of, vendor_of

PROFILE = "arn:aws:bedrock:us-east-1:1:application-inference-profile/x"
MESSAGES = [
    encode_message({":event-type": "a"}, b'{"x": 1}'),
    encode_message({}, b""),
    encode_message({"b": "ä"}, b"y"),
]


def _message(headers: bytes, payload: bytes = b"") -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return whole + struct.pack(">I", crc32(whole))


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_messages_are_the_same_however_the_bytes_are_cut(sizes: list[int]) -> None:
    body = b"".join(MESSAGES)
    parser, found, place = EventStreamParser(), [], 0
    for size in sizes:
        found += parser.feed(body[place : place + size])
        place += size
    found += parser.feed(body[place:])
    parser.finish()

    assert parser.error is None
    assert [(m.headers, m.payload) for m in found] == [
        ({":event-type": "a"}, b'{"x": 1}'),
        ({}, b""),
        ({"b": "ä"}, b"y"),
    ]


def test_the_documented_empty_message_is_read() -> None:
    # The smallest message of the format's own test suite.
    body = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff".replace(" ", ""))

    (message,), error = parse_eventstream(body)

    assert (message.headers, message.payload, error) == ({}, b"", None)


def test_every_header_type_is_read() -> None:
    def header(name: bytes, kind: int, value: bytes) -> bytes:
        return bytes([len(name)]) + name + bytes([kind]) + value

    block = (
        header(b"t", 0, b"")
        + header(b"f", 1, b"")
        + header(b"byte", 2, b"\xff")
        + header(b"short", 3, b"\x01\x00")
        + header(b"int", 4, b"\xff\xff\xff\xfe")
        + header(b"long", 5, b"\0" * 7 + b"\x09")
        + header(b"bytes", 6, b"\0\x02ab")
        + header(b"text", 7, b"\0\x02cd")
        + header(b"time", 8, b"\0" * 6 + b"\x03\xe8")
        + header(b"uuid", 9, bytes(range(16)))
    )

    (message,), error = parse_eventstream(_message(block))

    assert error is None
    assert message.headers == {
        "t": True,
        "f": False,
        "byte": -1,
        "short": 256,
        "int": -2,
        "long": 9,
        "bytes": b"ab",
        "text": "cd",
        "time": 1000,
        "uuid": bytes(range(16)).hex(),
    }


@pytest.mark.parametrize("place", range(len(MESSAGES[0])))
def test_a_flipped_bit_anywhere_is_found_and_ends_the_stream(place: int) -> None:
    damaged = bytearray(MESSAGES[0])
    damaged[place] ^= 1

    found, error = parse_eventstream(MESSAGES[2] + bytes(damaged) + MESSAGES[1])

    assert [m.payload for m in found] == [b"y"]
    assert error is not None
    assert f"at byte {len(MESSAGES[2])}" in error.what


def test_a_cut_stream_and_impossible_lengths_are_told() -> None:
    _, cut = parse_eventstream(MESSAGES[0][:-1])
    prelude = struct.pack(">II", 12, 0)
    _, small = parse_eventstream(prelude + struct.pack(">I", crc32(prelude)))
    _, header = parse_eventstream(_message(b"\x01a\x63"))

    assert cut is not None
    assert "ends inside a message" in cut.what
    assert small is not None
    assert "a message of 12 bytes" in small.what
    assert header is not None
    assert "type 99" in header.what


def test_exceptions_inside_a_stream_are_failures_with_the_kind_they_have_elsewhere() -> None:
    headers = {":message-type": "exception", ":exception-type": "throttlingException"}
    (message,), _ = parse_eventstream(encode_message(headers, b'{"message": "slow down"}'))
    converse, invoke = StreamDecoder(), InvokeStream(StreamDecoder())

    converse.take(event_of(message))
    invoke.take(chunk_of(message))

    for failure in (converse.error, invoke.error):
        assert failure is not None
        assert (failure.error_type, failure.message, failure.retryable) == (
            "throttlingException",
            "slow down",
            True,
        )
        assert failure.kind == "rate_limited"


@pytest.mark.parametrize(
    ("model", "body", "vendor"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1%3A0", {}, Vendor.ANTHROPIC),
        ("anthropic.claude-v2:1", {"prompt": "x"}, Vendor.CLAUDE_TEXT),
        ("us.amazon.nova-lite-v1:0", {}, Vendor.NOVA),
        ("amazon.titan-text-lite-v1", {}, Vendor.TITAN),
        ("amazon.titan-embed-text-v2:0", {}, None),
        ("apac.meta.llama3-1-70b-instruct-v1:0", {}, Vendor.LLAMA),
        ("mistral.mistral-large-2407-v1:0", {"messages": []}, Vendor.OPENAI_CHAT),
        ("mistral.mistral-7b-instruct-v0:2", {"prompt": ""}, Vendor.MISTRAL_TEXT),
        ("cohere.command-r-plus-v1:0", {}, Vendor.COMMAND_R),
        ("cohere.command-light-text-v14", {}, Vendor.COMMAND),
        ("ai21.jamba-1-5-large-v1:0", {}, Vendor.OPENAI_CHAT),
        ("openai.gpt-oss-120b-1:0", {}, Vendor.OPENAI_CHAT),
        ("us.deepseek.r1-v1:0", {"prompt": "x"}, Vendor.OPENAI_TEXT),
        ("minimax.minimax-m2.1", {}, Vendor.OPENAI_CHAT),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0", {}, Vendor.ANTHROPIC),
        (PROFILE, {}, None),
        (PROFILE, {"anthropic_version": "bedrock-2023-05-31"}, Vendor.ANTHROPIC),
        ("stability.sd3-large-v1:0", {"prompt": "x"}, None),
    ],
)  # fmt: skip
def test_the_form_of_a_body_goes_by_the_model_or_by_its_own_word_and_is_never_guessed(
    model: str, body: dict[str, str], vendor: Vendor | None
) -> None:
    assert vendor_of(model, body) == vendor
