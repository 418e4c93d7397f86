"""The Anthropic messages codec: round trips, cut streams and damaged traffic."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.messages import (
    FilePart,
    Message,
    ModelReply,
    ModelRequest,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolSchema,
    system_message,
    tool_message,
    user_message,
)
from runtime.core.money import Usage
from runtime.dialects.anthropic_messages import (
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
CALLS = st.builds(ToolCallPart, id=NAMES, name=NAMES, arguments=ARGUMENTS)
THOUGHTS = st.builds(ReasoningPart, content=st.just("") | TEXT, signature=NAMES) | st.builds(
    ReasoningPart, content=st.just(""), signature=NAMES.map("redacted:{}".format)
)
SAID = st.lists(THOUGHTS | TEXT.map(TextPart) | CALLS, max_size=5)
COUNTS = st.none() | st.integers(0, 10**9)
USAGE = st.none() | st.builds(
    lambda fresh, out, read, written, thought: Usage(
        input_tokens=fresh + (read or 0) + (written or 0),
        output_tokens=out,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=thought,
    ),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    COUNTS,
    COUNTS,
    COUNTS,
)
REPLIES = st.builds(
    lambda parts, finish, usage: ModelReply(
        parts=tuple(parts),
        finish_reason=finish[1],
        raw_finish_reason=finish[0],
        response_model="m-1",
        response_id="r-1",
        usage=usage,
    ),
    SAID,
    st.sampled_from([("end_turn", "stop"), ("tool_use", "tool_call"), ("max_tokens", "length")]),
    USAGE,
)
SCHEMAS = st.builds(
    ToolSchema,
    name=NAMES,
    description=st.just("") | TEXT,
    parameters=st.just({"type": "object", "properties": {"q": {"type": "string"}}}),
)


@st.composite
def _requests(draw: st.DrawFn) -> ModelRequest:
    messages: list[Message] = [system_message(draw(TEXT)), user_message(draw(TEXT))]
    for _ in range(draw(st.integers(0, 3))):
        calls = draw(st.lists(CALLS, max_size=3))
        said: list[Part] = [*draw(st.lists(THOUGHTS, max_size=1)), TextPart(draw(TEXT))]
        messages.append(Message(role="assistant", parts=(*said, *calls)))
        messages += [tool_message(call.id, draw(TEXT)) for call in calls]
        pieces: list[Part] = [TextPart(draw(TEXT)), FilePart(modality="image", uri="https://a.test/i.png")]
        messages.append(Message(role="user", parts=tuple(pieces)))
    return ModelRequest(
        model=draw(NAMES),
        messages=tuple(messages),
        tools=tuple(draw(st.lists(SCHEMAS, max_size=3))),
        parameters={"max_tokens": 9, **draw(st.sampled_from([{}, {"tool_choice": {"type": "any"}}]))},
    )


@given(_requests())
def test_a_request_survives_the_wire(request: ModelRequest) -> None:
    wire = json.loads(json.dumps(encode_request(request, stream=True)))

    assert decode_request(wire) == request


@given(REPLIES)
def test_a_reply_survives_the_wire(reply: ModelReply) -> None:
    wire = json.loads(json.dumps(encode_reply(reply, model="m-1", response_id="r-1")))

    assert decode_reply(wire) == reply


@given(REPLIES, st.integers(1, 40))
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
    assert decoder.done


@given(REPLIES, st.data())
def test_a_cut_stream_tells_what_came_and_that_it_was_cut(reply: ModelReply, data: st.DataObject) -> None:
    payloads = encode_stream(reply, model="m-1")
    kept = data.draw(st.integers(0, len(payloads) - 2))
    decoder = StreamDecoder()

    for payload in payloads[:kept]:
        decoder.feed(payload)
    found = decoder.finish()

    assert decoder.error is not None
    assert decoder.error.error_type == "stream_cut"
    assert reply.text.startswith(found.text)
    assert found.finish_reason is None


FIELDS = st.sampled_from(
    ["type", "content", "usage", "error", "messages", "tools", "system"]
) | st.sampled_from(["model", "index", "delta", "content_block", "message"])
KINDS = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"]
)


@given(JSON | st.dictionaries(FIELDS, JSON | KINDS | st.lists(st.dictionaries(FIELDS, JSON))))
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


@given(REPLIES, _requests(), st.data())
def test_damaged_traffic_gives_what_is_left_or_the_documented_error(
    reply: ModelReply, request: ModelRequest, data: st.DataObject
) -> None:
    decoder = StreamDecoder()
    for payload in encode_stream(reply, model="m"):
        decoder.feed(json.dumps(_damaged(json.loads(payload), data)))

    assert decoder.finish() is not None
    with contextlib.suppress(DialectError):
        assert decode_reply(_damaged(encode_reply(reply, model="m"), data)) is not None
    with contextlib.suppress(DialectError):
        assert decode_request(_damaged(encode_request(request), data)) is not None
