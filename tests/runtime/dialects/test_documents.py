"""Whole replies and requests of every dialect: as documented, damaged, and there and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.messages import (
    Message,
    ModelReply,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    ToolSchema,
    system_message,
    user_message,
)
from runtime.core.money import Rate, Usage
from runtime.dialects import anthropic_messages, bedrock_converse, gemini, openai_chat
from runtime.dialects.errors import DialectError
from tests.runtime.dialects.forms_by_dialect import ASKED, FORMS, TEXT_FORMS, Form

by_form = pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])
by_any_form = pytest.mark.parametrize(
    "form", FORMS + TEXT_FORMS, ids=[form.name for form in FORMS + TEXT_FORMS]
)


@by_form
def test_a_reply_says_text_calls_finish_and_usage(form: Form) -> None:
    reply: ModelReply = form.codec.decode_reply(form.reply)

    assert reply.text == "hi"
    assert [(c.name, c.arguments) for c in reply.tool_calls] == [("look", ASKED)]
    assert reply.tool_calls[0].id == ("look#0" if form.name == "cohere v1" else "a")
    assert reply.finish_reason == "tool_call"
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (10, 5)
    if form.name not in {"ollama", "mistral conversations", "cohere v1"}:
        assert reply.usage.cache_read_tokens == 4


@by_form
def test_a_request_says_the_whole_conversation_and_the_tools(form: Form) -> None:
    request: ModelRequest = form.codec.decode_request(form.request)

    assert [m.role for m in request.messages] == ["system", "user", "assistant", "tool"]
    assert request.messages[0].parts == (TextPart("be kind"),)
    assert request.messages[1].parts == (TextPart("find it"),)
    (call,) = [p for p in request.messages[2].parts if isinstance(p, ToolCallPart)]
    (answer,) = [p for p in request.messages[3].parts if isinstance(p, ToolResponsePart)]
    assert (call.name, call.arguments, call.id) == ("look", ASKED, answer.id)
    assert "found" in answer.response
    assert [tool.name for tool in request.tools] == ["look"]
    assert request.tools[0].parameters["type"] == "object"


@pytest.mark.parametrize("form", TEXT_FORMS, ids=[form.name for form in TEXT_FORMS])
def test_a_text_model_says_text_finish_and_what_it_counts(form: Form) -> None:
    reply: ModelReply = form.codec.decode_reply(form.reply)
    request: ModelRequest = form.codec.decode_request(form.request)

    assert request.messages == (user_message("find it"),)
    assert (reply.text, reply.finish_reason) == ("hi", "stop")
    assert reply.usage in (None, Usage(input_tokens=10, output_tokens=5))


def _encodable() -> st.SearchStrategy[tuple[Message, ...]]:
    text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
    arguments = st.dictionaries(text, st.integers() | text | st.booleans() | st.none(), max_size=2)

    def turn(number: int, said: str, asked: dict[str, Any], told: str) -> tuple[Message, ...]:
        call = ToolCallPart(id=f"c{number}", name="look", arguments=asked)
        answer = ToolResponsePart(id=f"c{number}", response=told)
        return (
            Message(role="assistant", parts=(TextPart(said), call)),
            Message(role="tool", parts=(answer,)),
        )

    turns = st.lists(st.tuples(text, arguments, text), min_size=1, max_size=3)
    return st.tuples(text, text, turns).map(
        lambda drawn: (
            system_message(drawn[0]),
            user_message(drawn[1]),
            *(m for number, each in enumerate(drawn[2]) for m in turn(number, *each)),
        )
    )


@pytest.mark.parametrize("form", FORMS[:7], ids=[form.name for form in FORMS[:7]])
@given(messages=_encodable())
def test_a_request_is_the_same_after_it_was_written_and_read(
    form: Form, messages: tuple[Message, ...]
) -> None:
    tool = ToolSchema(name="look", description="Look.", parameters={"type": "object", "properties": {}})
    request = ModelRequest(model="m", messages=messages, tools=(tool,), parameters={"temperature": 0})

    wire = json.loads(json.dumps(form.codec.encode_request(request, max_output_tokens=7)))
    back: ModelRequest = form.codec.decode_request(wire)

    assert [_known(m) for m in back.messages] == [_known(m) for m in messages]
    assert back.tools == request.tools
    assert back.parameters["temperature"] == 0
    assert "7" in json.dumps(
        {name: back.parameters[name] for name in back.parameters if name != "temperature"}
    )


def _known(message: Message) -> list[Any]:
    """Return what a dialect keeps of a message: all but the ids of Ollama's calls."""
    return [
        message.role,
        [
            (part.name, part.arguments) if isinstance(part, ToolCallPart)
            else part.response if isinstance(part, ToolResponsePart)
            else part
            for part in message.parts
        ],
    ]  # fmt: skip


@pytest.mark.parametrize("form", [f for f in FORMS[:5] if f.name != "openai chat"], ids=lambda f: f.name)
def test_a_signed_thought_goes_back_as_it_came(form: Form) -> None:
    signature = "rs_1:c2ln" if form.name == "openai responses" else "c2ln"
    call = ToolCallPart(id="a", name="look", arguments={})
    parts = (ReasoningPart(content="hm", signature=signature), call)
    request = ModelRequest(
        model="m", messages=(user_message("x"), Message(role="assistant", parts=parts)), parameters={}
    )

    wire = form.codec.encode_request(request, max_output_tokens=7)

    assert form.codec.decode_request(wire).messages[1].parts == parts


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@by_any_form
@given(data=st.data())
def test_damaged_bodies_are_read_in_part_or_refused_with_the_documented_error(
    form: Form, data: st.DataObject
) -> None:
    which = data.draw(st.sampled_from(["request", "reply"]))
    body = form.request if which == "request" else form.reply
    for _ in range(data.draw(st.integers(1, 3))):
        body = _damaged(body, data)

    decode = form.codec.decode_request if which == "request" else form.codec.decode_reply
    try:
        found = decode(body)
    except DialectError as error:
        found = error
    assert isinstance(found, (ModelRequest if which == "request" else ModelReply, DialectError))


def _damaged(value: Any, data: st.DataObject) -> Any:
    """Return a value with something else, or nothing, in one random place."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 9)):
        name = data.draw(st.sampled_from(sorted(value, key=str)))
        if not data.draw(st.integers(0, 5)):
            return {key: each for key, each in value.items() if key != name}
        return {**value, name: _damaged(value[name], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 9)):
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], _damaged(value[place], data), *value[place + 1 :]]
    return data.draw(VALUES)


def test_arguments_that_gemini_streams_piece_by_piece_are_put_together() -> None:
    def chunk(call: dict[str, Any]) -> dict[str, Any]:
        return {"candidates": [{"content": {"parts": [{"functionCall": call}]}}]}

    def piece(path: str, **value: Any) -> dict[str, Any]:
        return {"partialArgs": [{"jsonPath": path, **value}], "willContinue": True}

    decoder = gemini.StreamDecoder()
    for call in (
        {"name": "look", "willContinue": True},
        piece("$.city", stringValue="New ", willContinue=True),
        piece("$.city", stringValue="Delhi"),
        piece("$.days[0].hour", numberValue=7),
        piece("$.days[5].hour", numberValue=8),
        {},
        {"name": "stop", "args": {}},
    ):
        decoder.take(chunk(call))

    calls = [(c.name, c.arguments) for c in decoder.finish().tool_calls]
    assert calls == [("look", {"city": "New Delhi", "days": [{"hour": 7}]}), ("stop", {})]


def test_gemini_s_own_counting_leaves_thoughts_and_results_of_its_tools_apart() -> None:
    wire = {
        "promptTokenCount": 13,
        "toolUsePromptTokenCount": 289,
        "candidatesTokenCount": 194,
        "thoughtsTokenCount": 20,
    }

    reply = gemini.decode_reply({"candidates": [], "usageMetadata": wire})

    assert reply.usage == Usage(input_tokens=302, output_tokens=214, reasoning_tokens=20)
    assert gemini.provider_usage(wire) == Usage(input_tokens=13, output_tokens=194, reasoning_tokens=20)


@pytest.mark.parametrize(
    ("raw", "finish"),
    [("STOP", "stop"), (1, "stop"), (2, "length"), ("MODEL_ARMOR", "content_filter"), ("NEW", None)],
)
def test_gemini_names_and_numbers_of_finish_reasons_are_kept_and_normalised(raw: Any, finish: str) -> None:
    body = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": raw}]}

    reply = gemini.decode_reply(body)

    assert (reply.raw_finish_reason, reply.finish_reason) == (str(raw), finish)


@pytest.mark.parametrize(
    ("usage", "nanos"),
    [
        ({"cost": 0.25}, 250_000_000),
        ({"cost": {"total_cost": 0.5}}, 500_000_000),
        ({"cost_in_usd_ticks": 37_756_000}, 3_775_600),
        ({"cost": "much"}, None),
        ({}, None),
    ],
)
def test_prices_are_read_where_providers_state_them(usage: dict[str, Any], nanos: int | None) -> None:
    body = {"choices": [{"message": {"content": "x"}}], "usage": usage}

    assert openai_chat.decode_reply(body).cost_nanousd == nanos


def test_cache_writes_are_told_by_lifetime_and_an_hour_costs_more() -> None:
    anthropic = anthropic_messages.decode_reply(
        {
            "content": [],
            "usage": {
                "input_tokens": 1,
                "output_tokens": 1,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            },
        }
    )
    details = [{"ttl": "5m", "inputTokens": 10}, {"ttl": "1h", "inputTokens": 20}]
    counts = {"inputTokens": 1, "outputTokens": 1, "cacheWriteInputTokens": 30, "cacheDetails": details}
    bedrock = bedrock_converse.decode_reply({"output": {"message": {"content": []}}, "usage": counts})

    assert anthropic.usage is not None
    assert anthropic.usage == bedrock.usage
    assert (anthropic.usage.cache_write_tokens, anthropic.usage.cache_write_1h_tokens) == (30, 20)
    rate = Rate(input=1_000_000, output=0, cache_write=1_250_000, cache_write_1h=2_000_000)
    assert rate.cost(anthropic.usage) == 54  # 1 + 12.5 + 40, rounded up
