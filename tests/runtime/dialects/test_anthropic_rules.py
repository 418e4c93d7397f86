"""What the Anthropic messages dialect asks of a request, and how its replies and errors are read."""

from __future__ import annotations

import pytest

from runtime.core.effects import FailureKind
from runtime.core.messages import (
    FilePart,
    Message,
    ModelRequest,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    ToolSchema,
    system_message,
    tool_message,
    user_message,
)
from runtime.core.money import Usage
from runtime.dialects.anthropic_messages import (
    DialectError,
    decode_error,
    decode_reply,
    decode_request,
    encode_error,
    encode_request,
    provider_usage,
)

ASKED = ModelRequest(model="m", messages=(user_message("hi"),), parameters={"max_tokens": 64})


def test_system_stands_apart_and_the_results_of_a_turn_are_one_user_message() -> None:
    calls = [ToolCallPart(id=i, name="look", arguments={"q": i}) for i in ("a", "b")]
    request = ModelRequest(
        model="m",
        messages=(
            system_message("Be brief."),
            user_message("Look twice."),
            Message(role="assistant", parts=tuple(calls)),
            tool_message("a", "one"),
            tool_message("b", "two"),
            user_message("And?"),
        ),
        parameters={"max_tokens": 5},
    )

    body = encode_request(request)

    assert body["system"] == "Be brief."
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "one"},
        {"type": "tool_result", "tool_use_id": "b", "content": "two"},
        {"type": "text", "text": "And?"},
    ]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_output_limit_of_any_dialect_becomes_max_tokens(name: str) -> None:
    request = ModelRequest(model="m", messages=ASKED.messages, parameters={name: 64, "top_k": 3})

    assert encode_request(request) == {
        "model": "m",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "hi"}],
        "top_k": 3,
    }
    assert encode_request(request, max_output_tokens=7)["max_tokens"] == 7


def test_a_request_without_an_output_limit_is_refused_with_the_way_out() -> None:
    with pytest.raises(DialectError, match="needs max_tokens") as caught:
        encode_request(ModelRequest(model="m", messages=ASKED.messages))

    assert caught.value.next_step == "set Agent.max_output_tokens, or max_tokens in the parameters"


def test_thoughts_are_sent_back_unchanged_and_unsigned_ones_not_at_all() -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "thinking", "thinking": "", "signature": "b21pdHRlZA=="},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "text", "text": "Yes."},
    ]
    parts = decode_reply({"content": blocks}).parts
    foreign = ReasoningPart(content="from another provider")

    body = encode_request(
        ModelRequest(
            model="m",
            messages=(*ASKED.messages, Message(role="assistant", parts=(foreign, *parts))),
            parameters=ASKED.parameters,
        )
    )

    assert body["messages"][1]["content"] == blocks


def test_an_assistant_that_said_nothing_is_left_out_and_a_refusal_is_text() -> None:
    messages = (
        *ASKED.messages,
        Message(role="assistant", parts=(TextPart(""),)),
        Message(role="assistant", parts=(RefusalPart("No."),)),
    )

    body = encode_request(ModelRequest(model="m", messages=messages, parameters=ASKED.parameters))

    assert body["messages"] == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "No."}]


def test_tools_of_the_provider_pass_through_beside_the_agents_own() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    own = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}, "strict": True}
    body = {"model": "m", "max_tokens": 1, "messages": [], "tools": [search, own]}

    request = decode_request(body)

    assert request.tools == (ToolSchema(name="look", description="Looks.", parameters={"type": "object"}),)
    assert request.parameters == {"max_tokens": 1, "tools": [search]}
    assert encode_request(request)["tools"][1] == search


def test_files_are_kept_by_reference_and_sent_by_address_id_or_data() -> None:
    inline = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAEC"}}
    note = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "note"}}
    body = {
        "messages": [
            {"role": "user", "content": [inline, note]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [inline]}]},
        ]
    }

    first, second = decode_request(body).messages
    picture, text = first.parts

    assert isinstance(picture, FilePart)
    assert isinstance(text, FilePart)
    assert (picture.mime_type, picture.size_bytes, picture.uri) == ("image/png", 3, None)
    assert (text.modality, text.size_bytes) == ("document", 4)
    assert second.parts == (ToolResponsePart(id="a", response=""), picture)


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (FilePart(modality="image", uri="https://a.test/i"), {"type": "url", "url": "https://a.test/i"}),
        (FilePart(modality="document", uri="file_011"), {"type": "file", "file_id": "file_011"}),
        (
            FilePart(modality="file", uri="data:application/pdf;base64,JVBE"),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
        ),
    ],
)
def test_a_file_is_sent_by_its_uri(part: FilePart, source: dict[str, str]) -> None:
    asked = ModelRequest(
        model="m", messages=(Message(role="user", parts=(part,)),), parameters=ASKED.parameters
    )

    (block,) = encode_request(asked)["messages"][0]["content"]

    assert block["source"] == source


@pytest.mark.parametrize("part", [FilePart(modality="image"), FilePart(modality="audio", uri="https://a")])
def test_a_file_that_cannot_be_sent_is_refused(part: FilePart) -> None:
    asked = ModelRequest(
        model="m", messages=(Message(role="user", parts=(part,)),), parameters=ASKED.parameters
    )

    with pytest.raises(DialectError, match="cannot be sent"):
        encode_request(asked)


def test_cached_tokens_count_as_input_and_are_told_in_the_providers_own_counting() -> None:
    wire = {
        "input_tokens": 12,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "output_tokens": 30,
        "output_tokens_details": {"thinking_tokens": 8},
    }

    usage = decode_reply({"content": [], "usage": wire}).usage

    assert usage == Usage(
        input_tokens=1212,
        output_tokens=30,
        cache_read_tokens=1000,
        cache_write_tokens=200,
        reasoning_tokens=8,
    )
    assert provider_usage(usage).input_tokens == 12


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("tool_use", "tool_call"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something_new", None),
        (None, None),
    ],
)
def test_stop_reasons_are_normalised_and_kept_as_said(said: str | None, meant: str | None) -> None:
    reply = decode_reply({"content": [], "stop_reason": said})

    assert (reply.finish_reason, reply.raw_finish_reason) == (meant, said)


def test_tools_the_provider_ran_itself_are_no_calls() -> None:
    content = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "text", "text": "Found."},
        {"type": "tool_use", "id": "a", "name": "look", "input": {}},
    ]

    reply = decode_reply({"content": content})

    assert reply.parts == (TextPart("Found."), ToolCallPart(id="a", name="look", arguments={}))


@pytest.mark.parametrize(
    ("status", "error_type", "kind", "retryable"),
    [
        (529, "overloaded_error", FailureKind.UNAVAILABLE, True),
        (429, "rate_limit_error", FailureKind.RATE_LIMITED, True),
        (500, "api_error", FailureKind.ERROR, True),
        (504, "timeout_error", FailureKind.TIMEOUT, True),
        (400, "invalid_request_error", FailureKind.ERROR, False),
        (401, "authentication_error", FailureKind.ERROR, False),
        (402, "billing_error", FailureKind.ERROR, False),
        (403, "permission_error", FailureKind.ERROR, False),
        (404, "not_found_error", FailureKind.ERROR, False),
        (413, "request_too_large", FailureKind.ERROR, False),
    ],
)
def test_an_error_means_the_same_as_a_status_and_as_an_event_of_a_stream(
    status: int, error_type: str, kind: FailureKind, retryable: bool
) -> None:
    body = encode_error(status, "so it is")

    answered, streamed = decode_error(status, body, retry_after_s=2.0), decode_error(None, body)

    assert body == {"type": "error", "error": {"type": error_type, "message": "so it is"}}
    assert (answered.kind, answered.retryable, answered.error_type) == (kind, retryable, error_type)
    rejected = status < 500 and not retryable
    assert (answered.phase, answered.after_s) == ("rejected" if rejected else "response", 2.0)
    assert (streamed.kind, streamed.retryable, streamed.phase) == (kind, retryable, "stream")
