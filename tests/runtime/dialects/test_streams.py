"""Each dialect's stream: whole, cut at every byte, and damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.core.effects import Failure
from runtime.core.messages import ModelReply, ReasoningPart, ToolCallPart
from tests.runtime.dialects.streams_by_dialect import (
    ARGUMENTS,
    CASES,
    REPLY,
    TEXT,
    Case,
    decoded,
)
from tests.support.counts import examples

TEXT_ONLY = {"openai completions", "titan"}
NO_THOUGHT = TEXT_ONLY | {"cohere v1"}
NO_IDS = {"cohere v1"}
by_dialect = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@by_dialect
def test_a_whole_stream_tells_all_that_was_said(case: Case) -> None:
    reply, error = decoded(case, case.body)

    assert error is None
    assert reply.text == TEXT
    calls = [] if case.name in TEXT_ONLY else [(c.name, c.arguments) for c in REPLY.tool_calls]
    assert [(c.name, c.arguments) for c in reply.tool_calls] == calls
    if case.name not in TEXT_ONLY | NO_IDS:
        assert [c.id for c in reply.tool_calls] == ["a", "b"]
    thought = "" if case.name in NO_THOUGHT else "Think: ü."
    assert "".join(p.content for p in reply.parts if isinstance(p, ReasoningPart)) == thought
    assert reply.finish_reason == ("stop" if case.name in TEXT_ONLY else "tool_call")
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (10, 5)


@by_dialect
def test_a_stream_cut_at_any_byte_tells_a_prefix_and_never_takes_it_back(case: Case) -> None:
    whole, _ = decoded(case, case.body)
    before, _ = decoded(case, b"")

    for end in range(1, len(case.body) + 1):
        reply, error = decoded(case, case.body[:end])
        assert _grows(before, reply), end
        assert reply.raw_finish_reason in (None, whole.raw_finish_reason)
        assert error is not None or reply.text == whole.text
        before = reply
    assert before == whole


@by_dialect
def test_a_cut_stream_says_that_it_was_cut(case: Case) -> None:
    _, error = decoded(case, case.body[: len(case.body) // 2])

    assert isinstance(error, Failure)
    assert (error.phase, error.retryable) == ("stream", True)


@by_dialect
@settings(max_examples=examples(15, 100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_stream_is_decoded_in_part_and_raises_nothing(case: Case, data: st.DataObject) -> None:
    body = bytearray(case.body)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["flip", "drop", "insert", "swap"])):
            case "flip":
                body[place] ^= data.draw(st.integers(1, 255))
            case "drop":
                del body[place : place + data.draw(st.integers(1, 20))]
            case "insert":
                body[place:place] = data.draw(st.binary(min_size=1, max_size=9))
            case _:
                body[place:] = bytes(body[place:])[::-1]
        if not body:
            break

    reply, error = decoded(case, bytes(body))

    assert isinstance(reply, ModelReply)
    assert error is None or isinstance(error, Failure)
    json.dumps([[c.name, c.arguments] for c in reply.tool_calls], allow_nan=False)
    reply.text.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@by_dialect
@settings(max_examples=examples(15, 100))
@given(data=st.data())
def test_events_with_any_value_in_any_field_raise_nothing(case: Case, data: st.DataObject) -> None:
    events: list[Any] = []

    class Spy:
        def feed(self, payload: str) -> None:
            if payload.strip() != "[DONE]":
                events.append(json.loads(payload))

        def take(self, event: dict[str, Any]) -> None:
            events.append(event)

        def fail(self, failure: Failure) -> None:
            raise AssertionError(failure)

    case.feed(Spy(), case.body)
    decoder = case.decoder()
    for event in events:
        decoder.take(_mutated(event, data) if data.draw(st.integers(0, 3)) == 0 else event)

    reply = decoder.finish()

    assert isinstance(reply, ModelReply)
    reply.text.encode()


def _mutated(value: Any, data: st.DataObject) -> Any:
    """Return an event with a random value in one random place."""
    if isinstance(value, dict) and value:
        name = data.draw(st.sampled_from(sorted(value)))
        fresh = data.draw(JSON) if data.draw(st.booleans()) else _mutated(value[name], data)
        return {**value, name: fresh}
    if isinstance(value, list) and value:
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], _mutated(value[place], data), *value[place + 1 :]]
    return data.draw(JSON)


def _grows(before: ModelReply, after: ModelReply) -> bool:
    """Tell whether a reply says at least what a shorter stream said."""
    thoughts = ["".join(p.content for p in r.parts if isinstance(p, ReasoningPart)) for r in (before, after)]
    calls, more = before.tool_calls, after.tool_calls
    return (
        after.text.startswith(before.text)
        and thoughts[1].startswith(thoughts[0])
        and len(more) >= len(calls)
        and all(map(_call_grows, calls, more))
    )


def _call_grows(before: ToolCallPart, after: ToolCallPart) -> bool:
    if not after.name.startswith(before.name):
        return False
    if isinstance(before.arguments, str):
        # Text of arguments that are not whole yet: a part of what they become.
        later = after.arguments if isinstance(after.arguments, str) else ""
        whole = ARGUMENTS if after.name == "look" else "{}"
        return later.startswith(before.arguments) or whole.startswith(before.arguments)
    return bool(before.arguments == after.arguments)
