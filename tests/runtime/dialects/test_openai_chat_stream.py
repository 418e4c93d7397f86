"""Streams as real servers send them: call fragments, error events, missing ends, split characters."""

from __future__ import annotations

import json
from typing import Any

from runtime.core.effects import FailureKind
from runtime.core.money import Usage
from runtime.dialects.openai_chat import StreamDecoder


def _stream(*deltas: dict[str, Any], finish: str | None = "tool_calls") -> StreamDecoder:
    decoder = StreamDecoder()
    for delta in deltas:
        decoder.feed(json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))
    if finish is not None:
        decoder.feed(json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    return decoder


def _fragment(arguments: str, **fields: Any) -> dict[str, Any]:
    name = fields.pop("name", None)
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"tool_calls": [{**fields, "function": function}]}


def test_interleaved_parallel_calls_are_put_together_by_index() -> None:
    decoder = _stream(
        _fragment("", index=1, id="b", name="second"),
        _fragment("", index=0, id="a", name="first"),
        _fragment('{"x"', index=0),
        _fragment('{"y":', index=1),
        _fragment(":1}", index=0),
        _fragment("2}", index=1),
    )

    calls = decoder.finish().tool_calls

    assert [(c.id, c.name, c.arguments) for c in calls] == [
        ("a", "first", {"x": 1}),
        ("b", "second", {"y": 2}),
    ]


def test_fragments_without_index_belong_to_their_id_or_the_last_call() -> None:
    decoder = _stream(
        _fragment('{"x":', id="a", name="first"),
        _fragment("1}"),
        _fragment('{"y":2}', id="b", name="second"),
    )

    assert [(c.id, c.arguments) for c in decoder.finish().tool_calls] == [("a", {"x": 1}), ("b", {"y": 2})]


def test_calls_that_share_an_index_are_told_apart_by_id() -> None:
    decoder = _stream(
        _fragment('{"x":1}', index=0, id="a", name="first"),
        _fragment('{"y":2}', index=0, id="b", name="second"),
    )

    assert [c.name for c in decoder.finish().tool_calls] == ["first", "second"]


def test_a_missing_done_after_a_finish_reason_is_no_error() -> None:
    decoder = _stream({"content": "hi"}, finish="stop")

    assert decoder.finish().text == "hi"
    assert decoder.error is None


def test_an_error_event_keeps_what_was_told_before() -> None:
    decoder = _stream({"content": "par"}, finish=None)

    decoder.feed('{"error": {"message": "Provider failed", "code": 502}}')

    assert decoder.finish().text == "par"
    assert decoder.error is not None
    assert (decoder.error.kind, decoder.error.retryable) == (FailureKind.UNAVAILABLE, True)
    assert decoder.error.message == "Provider failed"


def test_a_character_split_between_chunks_is_joined() -> None:
    decoder = StreamDecoder()
    for half in ("\\ud83d", "\\ude00"):
        decoder.feed('{"choices":[{"index":0,"delta":{"content":"' + half + '"},"finish_reason":"stop"}]}')

    assert decoder.finish().text == "😀"


def test_usage_and_stated_price_are_read_from_the_last_chunk() -> None:
    decoder = _stream({"content": "x"}, finish="stop")
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 3},
        "cost": 0.000123,
    }
    decoder.feed(json.dumps({"choices": [], "usage": usage}))

    reply = decoder.finish()

    assert reply.usage == Usage(input_tokens=10, output_tokens=4, cache_read_tokens=8, reasoning_tokens=3)
    assert reply.cost_nanousd == 123_000
