"""The OpenAI chat codec: round trips, and what real servers write beside the documentation."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.effects import FailureKind
from runtime.core.messages import (
    FilePart,
    Message,
    ModelReply,
    ModelRequest,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolSchema,
    system_message,
    tool_message,
    user_message,
)
from runtime.core.money import Usage
from runtime.dialects.openai_chat import (
    DialectError,
    StreamDecoder,
    decode_error,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    encode_stream,
)

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(TEXT, JSON, max_size=3) | st.sampled_from(["{not json", "[1]", '{"a": 1', "nul"])
CALLS = st.lists(st.builds(ToolCallPart, id=NAMES, name=NAMES, arguments=ARGUMENTS), max_size=3).map(
    lambda calls: [
        ToolCallPart(id=f"{n}{c.id}", name=c.name, arguments=c.arguments) for n, c in enumerate(calls)
    ]
)
COUNTS = st.none() | st.integers(0, 10**9)
USAGE = st.none() | st.builds(
    Usage,
    input_tokens=st.integers(0, 10**9),
    output_tokens=st.integers(0, 10**9),
    cache_read_tokens=COUNTS,
    cache_write_tokens=COUNTS,
    reasoning_tokens=COUNTS,
)
SCHEMAS = st.builds(
    ToolSchema,
    name=NAMES,
    description=st.just("") | TEXT,
    parameters=st.just({"type": "object", "properties": {"q": {"type": "string"}}}),
)


@st.composite
def _replies(draw: st.DrawFn) -> ModelReply:
    parts: list[Part] = []
    if draw(st.booleans()):
        parts.append(ReasoningPart(content=draw(TEXT)))
    if draw(st.booleans()):
        parts.append(TextPart(draw(TEXT)))
    if draw(st.booleans()):
        parts.append(RefusalPart(content=draw(TEXT)))
    parts += draw(CALLS)
    raw, finish = draw(
        st.sampled_from(
            [("stop", "stop"), ("tool_calls", "tool_call"), ("length", "length"), ("content_filter",) * 2]
        )
    )
    return ModelReply(
        parts=tuple(parts),
        finish_reason=finish,  # type: ignore[arg-type]  # drawn from pairs of literals
        raw_finish_reason=raw,
        response_model="m-1",
        response_id="r-1",
        usage=draw(USAGE),
        cost_nanousd=draw(st.none() | st.integers(0, 10**12)),
    )


@st.composite
def _requests(draw: st.DrawFn) -> ModelRequest:
    messages: list[Message] = [system_message(draw(TEXT)), user_message(draw(TEXT))]
    for _ in range(draw(st.integers(0, 3))):
        calls = draw(CALLS)
        said: list[Part] = [TextPart(draw(TEXT))] if draw(st.booleans()) or not calls else []
        messages.append(Message(role="assistant", parts=(*said, *calls)))
        messages += [tool_message(call.id, draw(TEXT)) for call in calls]
        pieces: list[Part] = [TextPart(draw(TEXT)), FilePart(modality="image", uri="https://a.test/i.png")]
        messages.append(Message(role="user", parts=tuple(pieces)))
    return ModelRequest(
        model=draw(NAMES),
        messages=tuple(messages),
        tools=tuple(draw(st.lists(SCHEMAS, max_size=3))),
        parameters=draw(st.sampled_from([{}, {"temperature": 0.5}, {"tool_choice": "auto", "n": 1}])),
    )


@given(_requests())
def test_a_request_survives_the_wire(request: ModelRequest) -> None:
    wire = json.loads(json.dumps(encode_request(request, stream=True)))

    assert decode_request(wire) == request


@given(_replies())
def test_a_reply_survives_the_wire(reply: ModelReply) -> None:
    wire = json.loads(json.dumps(encode_reply(reply, model="m-1", response_id="r-1")))

    assert decode_reply(wire) == reply


@given(_replies(), st.integers(1, 40))
def test_a_streamed_reply_is_the_whole_reply(reply: ModelReply, piece_chars: int) -> None:
    decoder = StreamDecoder()

    deltas = [
        delta
        for payload in encode_stream(reply, model="m-1", response_id="r-1", piece_chars=piece_chars)
        for delta in decoder.feed(payload)
    ]

    assert decoder.finish() == reply
    assert "".join(deltas) == reply.text
    assert decoder.error is None


@given(_replies(), st.data())
def test_a_cut_stream_tells_what_came_and_that_it_was_cut(reply: ModelReply, data: st.DataObject) -> None:
    payloads = encode_stream(reply, model="m-1")
    told = next(i for i, p in enumerate(payloads) if '"finish_reason":null' not in p)
    kept = data.draw(st.integers(0, told))
    decoder = StreamDecoder()

    for payload in payloads[:kept]:
        decoder.feed(payload)
    found = decoder.finish()

    assert decoder.error is not None
    assert decoder.error.error_type == "stream_cut"
    assert reply.text.startswith(found.text)
    assert found.finish_reason is None


@given(
    JSON | st.dictionaries(st.sampled_from(["choices", "usage", "error", "messages", "tools", "model"]), JSON)
)
def test_foreign_bodies_give_a_value_or_the_documented_error(body: Any) -> None:
    decoder = StreamDecoder()
    decoder.feed(json.dumps(body))

    for decode in (decode_request, decode_reply):
        with contextlib.suppress(DialectError):
            assert decode(body) is not None
    assert decode_error(500, body).message
    assert decoder.finish() is not None


def _damaged(value: Any, data: st.DataObject) -> Any:
    """Return the value with a part of it replaced by something else."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: _damaged(value[name], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        return [_damaged(value[0], data), *value[1:]]
    return data.draw(
        st.sampled_from([None, 1, -1, 1.5, "x", True, [], {}, [None], [[]], {"type": {}}, [{"type": []}]])
    )


@given(_replies(), st.data())
def test_a_damaged_stream_or_reply_gives_what_is_left_or_the_documented_error(
    reply: ModelReply, data: st.DataObject
) -> None:
    decoder = StreamDecoder()
    for payload in encode_stream(reply, model="m"):
        decoder.feed(json.dumps(_damaged(json.loads(payload), data)) if payload.startswith("{") else payload)

    assert isinstance(decoder.finish(), ModelReply)
    with contextlib.suppress(DialectError):
        assert isinstance(decode_reply(_damaged(encode_reply(reply, model="m"), data)), ModelReply)


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (429, FailureKind.RATE_LIMITED, True),
        (408, FailureKind.TIMEOUT, True),
        (409, FailureKind.ERROR, True),
        (500, FailureKind.ERROR, True),
        (503, FailureKind.UNAVAILABLE, True),
        (400, FailureKind.ERROR, False),
        (401, FailureKind.ERROR, False),
        (404, FailureKind.ERROR, False),
    ],
)
def test_status_decides_what_may_be_retried(status: int, kind: FailureKind, retryable: bool) -> None:
    failure = decode_error(status, {"error": {"message": "no", "type": "t", "code": None}}, retry_after_s=2.5)

    assert (failure.kind, failure.retryable) == (kind, retryable)
    assert (failure.message, failure.error_type, failure.after_s) == ("no", "t", 2.5)


def test_a_spent_quota_is_not_retried() -> None:
    assert not decode_error(429, {"error": {"message": "pay", "code": "insufficient_quota"}}).retryable


@pytest.mark.parametrize(
    "body", ["<html>bad gateway</html>", b"upstream", None, [], 7, {"detail": [{"x": 1}]}]
)
def test_an_error_body_of_any_form_has_a_message(body: Any) -> None:
    assert decode_error(502, body).message


def test_an_error_body_is_no_reply() -> None:
    with pytest.raises(DialectError, match="error"):
        decode_reply({"error": {"message": "x"}})


@pytest.mark.parametrize("body", [None, "x", [], {}, {"choices": []}, {"choices": [1]}, {"choices": [{}]}])
def test_a_body_without_a_message_is_no_reply(body: Any) -> None:
    with pytest.raises(DialectError, match="no chat reply"):
        decode_reply(body)


def test_malformed_arguments_stay_text() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1'}}

    reply = decode_reply({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]})

    assert reply.tool_calls[0].arguments == '{"x": 1'


def test_integers_of_any_size_are_exact() -> None:
    call = {"id": "a", "function": {"name": "f", "arguments": '{"x": 123456789012345678901234567890}'}}

    reply = decode_reply({"choices": [{"message": {"tool_calls": [call]}}]})

    assert reply.tool_calls[0].arguments == {"x": 123456789012345678901234567890}


def test_a_list_content_gives_text_and_thought() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    message = {"content": [thinking, {"type": "text", "text": "4"}]}

    reply = decode_reply({"choices": [{"message": message, "finish_reason": "stop"}]})

    assert reply.parts == (ReasoningPart(content="hm"), TextPart("4"))


def test_the_output_limit_takes_the_name_the_parameters_use() -> None:
    request = ModelRequest(model="m", messages=(user_message("x"),))
    named = ModelRequest(model="m", messages=(user_message("x"),), parameters={"max_tokens": 50})

    assert encode_request(request, max_output_tokens=9)["max_completion_tokens"] == 9
    assert encode_request(named, max_output_tokens=9)["max_tokens"] == 9
    assert "max_completion_tokens" not in encode_request(named, max_output_tokens=9)


def test_legacy_functions_are_tools() -> None:
    body = {
        "model": "m",
        "functions": [{"name": "f", "parameters": {"type": "object"}}],
        "function_call": {"name": "f"},
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "42"},
        ],
    }

    request = decode_request(body)

    assert request.tools == (ToolSchema(name="f", parameters={"type": "object"}),)
    assert request.parameters == {"tool_choice": {"type": "function", "function": {"name": "f"}}}
    assert request.messages[1].parts == (ToolCallPart(id="function_call:f", name="f", arguments={}),)
    assert request.messages[2] == tool_message("function_call:f", "42")


def test_inline_data_is_kept_as_a_digest_alone() -> None:
    url = "data:image/png;base64,aGVsbG8="
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}

    part = decode_request(body).messages[0].parts[0]

    assert isinstance(part, FilePart)
    assert (part.modality, part.mime_type, part.size_bytes, part.uri) == ("image", "image/png", 5, None)


def test_a_file_without_a_uri_cannot_be_sent() -> None:
    message = Message(role="user", parts=(FilePart(modality="image", digest="0"),))

    with pytest.raises(DialectError, match="uri"):
        encode_request(ModelRequest(model="m", messages=(message,)))
