"""Anthropic streams as the provider sends them: blocks, signatures, cumulative usage, error events, odd ends."""

from __future__ import annotations

import json
from typing import Any

from runtime.core.effects import FailureKind
from runtime.core.messages import ReasoningPart, TextPart, ToolCallPart
from runtime.core.money import Usage
from runtime.dialects.anthropic_messages import StreamDecoder

START = {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 5}}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}
STOP = {"type": "message_stop"}


def _fed(*events: dict[str, Any]) -> StreamDecoder:
    decoder = StreamDecoder()
    for event in events:
        decoder.feed(json.dumps(event))
    return decoder


def _block(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", **fields}}


def _closed(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def test_blocks_become_parts_in_order_with_signature_and_parallel_calls() -> None:
    decoder = _fed(
        START,
        {"type": "ping"},
        _block(0, type="thinking", thinking="", signature=""),
        _delta(0, "thinking", thinking="Two "),
        _delta(0, "thinking", thinking="looks."),
        _delta(0, "signature", signature="c2ln"),
        _closed(0),
        _block(1, type="text", text=""),
        _delta(1, "text", text="I look."),
        _closed(1),
        _block(2, type="tool_use", id="a", name="look", input={}),
        _delta(2, "input_json", partial_json=""),
        _delta(2, "input_json", partial_json='{"q": '),
        _delta(2, "input_json", partial_json='"x"}'),
        _closed(2),
        _block(3, type="tool_use", id="b", name="count", input={}),
        _closed(3),
        {**END, "delta": {"stop_reason": "tool_use"}},
        STOP,
    )

    reply = decoder.finish()

    assert reply.parts == (
        ReasoningPart(content="Two looks.", signature="c2ln"),
        TextPart("I look."),
        ToolCallPart(id="a", name="look", arguments={"q": "x"}),
        ToolCallPart(id="b", name="count", arguments={}),
    )
    assert (reply.finish_reason, reply.response_id, reply.response_model) == ("tool_call", "msg_1", "m")
    assert decoder.error is None


def test_what_the_last_event_says_of_usage_replaces_what_the_first_said() -> None:
    usage = {"input_tokens": 700, "cache_read_input_tokens": 40, "output_tokens": 9}

    reply = _fed(START, {**END, "usage": usage}, STOP).finish()

    assert reply.usage == Usage(input_tokens=740, output_tokens=9, cache_read_tokens=40)
    assert _fed(START, END, STOP).finish().usage == Usage(input_tokens=5, output_tokens=9)


def test_an_error_event_keeps_what_was_told_before() -> None:
    decoder = _fed(START, _block(0, type="text", text=""), _delta(0, "text", text="par"))

    decoder.feed('{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}')

    assert decoder.finish().text == "par"
    assert decoder.error is not None
    assert (decoder.error.kind, decoder.error.retryable) == (FailureKind.UNAVAILABLE, True)
    assert (decoder.error.message, decoder.error.phase) == ("Overloaded", "stream")


def test_a_missing_message_stop_after_a_stop_reason_is_no_error() -> None:
    decoder = _fed(START, _block(0, type="text", text="hi"), END)

    assert decoder.finish().text == "hi"
    assert decoder.error is None


def test_a_call_cut_before_its_input_is_not_taken_for_one_without_arguments() -> None:
    decoder = _fed(START, _block(0, type="tool_use", id="a", name="look", input={}))

    (call,) = decoder.finish().tool_calls

    assert call.arguments == ""
    assert decoder.error is not None


def test_a_character_split_between_deltas_is_joined() -> None:
    decoder = _fed(START, _block(0, type="text", text=""))
    for half in ("\\ud83d", "\\ude00"):
        decoder.feed(
            '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"' + half + '"}}'
        )

    assert decoder.finish().text == "😀"


def test_input_that_comes_with_its_block_is_read_and_unknown_events_are_passed_over() -> None:
    decoder = _fed(
        START,
        {"type": "event_of_tomorrow", "index": 0},
        _block(0, type="tool_use", id="a", name="look", input={"q": 1}),
        _delta(0, "citations", citation={}),
        _closed(0),
        END,
        STOP,
    )

    assert decoder.finish().tool_calls == (ToolCallPart(id="a", name="look", arguments={"q": 1}),)
    assert decoder.error is None


def test_a_payload_that_is_no_object_is_the_failure() -> None:
    for payload in ("[]", "{", "3"):
        decoder = StreamDecoder()

        decoder.feed(payload)

        assert decoder.error is not None
        assert decoder.error.error_type == "invalid_chunk"
