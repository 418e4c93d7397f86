"""What an exchange means beside its body: headers, methods, statuses, models whose form only the body tells."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from harness.lift.decoding import LiftedExchange, decode_exchange, exchange_json
from harness.lift.endpoints import identify
from harness.lift.exchanges import Exchange, Framing
from runtime.core.money import Usage
from runtime.dialects.aws_eventstream import encode_message

BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
OPENAI = "https://api.openai.com/v1"


def _decode(url: str, asked: Any, answered: Any, **more: Any) -> LiftedExchange:
    method = more.pop("method", "POST")
    return decode_exchange(
        Exchange(
            idx=0, method=method, url=url, request_json=asked, reply_json=answered, **{"status": 200, **more}
        )
    )


def test_tokens_that_bedrock_states_in_headers_stand_where_the_body_states_none() -> None:
    headers = {"x-amzn-bedrock-input-token-count": "6", "x-amzn-bedrock-output-token-count": "10"}

    lifted = _decode(
        f"{BEDROCK}/mistral.mistral-7b-instruct-v0%3A2/invoke",
        {"prompt": "x"},
        {"outputs": [{"text": "y", "stop_reason": "stop"}]},
        headers=headers,
    )

    assert lifted.provider_usage == Usage(input_tokens=6, output_tokens=10)
    assert exchange_json(lifted)["request_model"] == "mistral.mistral-7b-instruct-v0:2"


def test_a_guardrail_s_intervention_is_the_end_where_the_model_tells_none() -> None:
    url = f"{BEDROCK}/amazon.titan-text-express-v1/invoke"
    blocked = {"outputText": "Input blocked", "amazon-bedrock-guardrailAction": "INTERVENED"}
    chunk = {"bytes": base64.b64encode(json.dumps(blocked).encode()).decode()}
    message = encode_message({":event-type": "chunk", ":message-type": "event"}, json.dumps(chunk).encode())

    whole = _decode(url, {"inputText": "x"}, blocked)
    stream = _decode(
        f"{url}-with-response-stream",
        {"inputText": "x"},
        None,
        content=message,
        framing=Framing.EVENT_STREAM,
    )

    for lifted in (whole, stream):
        assert lifted.failure is None
        assert lifted.reply is not None
        assert (lifted.reply.text, lifted.reply.raw_finish_reason) == ("Input blocked", "INTERVENED")
        assert lifted.reply.finish_reason == "content_filter"


def test_a_model_whose_form_no_one_tells_is_named_and_its_errors_are_read() -> None:
    url = f"{BEDROCK}/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aimported-model%2Fx/invoke"

    unread = _decode(url, {"prompt": "x"}, {"answer": "y"})
    stated = _decode(url, {"prompt": "x"}, {"object": "text_completion", "choices": [{"text": "y"}]})
    refused = _decode(
        url,
        {"prompt": "x"},
        {"message": "no"},
        status=400,
        headers={"x-amzn-errortype": "ValidationException:http://a"},
    )

    assert unread.reply is None
    assert "imported-model/x' is not known" in (unread.error or "")
    assert stated.reply is not None
    assert stated.reply.text == "y"
    assert refused.failure is not None
    assert (refused.failure.error_type, refused.failure.message) == ("ValidationException", "no")


def test_an_embedding_model_on_bedrock_is_no_loss() -> None:
    lifted = _decode(
        f"{BEDROCK}/amazon.titan-embed-text-v2%3A0/invoke", {"inputText": "x"}, {"embedding": [1]}
    )

    assert (lifted.is_ignored, lifted.error) == (True, None)


def test_a_response_that_is_fetched_later_is_read_and_asks_nothing() -> None:
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "4"}]}]

    lifted = _decode(
        f"{OPENAI}/responses/resp_12",
        None,
        {"id": "resp_12", "status": "completed", "output": output},
        method="GET",
    )
    deleted = _decode(f"{OPENAI}/responses/resp_12", None, {"deleted": True}, method="DELETE")

    assert (lifted.request, lifted.error) == (None, None)
    assert lifted.reply is not None
    assert lifted.reply.text == "4"
    assert (deleted.is_ignored, deleted.reply) == (True, None)


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable"),
    [
        (429, {"error": {"message": "slow", "type": "rate_limit_error"}}, "rate_limited", True),
        (503, [{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}], "unavailable", True),
        (400, {"message": "bad", "__type": "com.amazon#ValidationException"}, "error", False),
        (404, {"error": "model 'x' not found"}, "error", False),
        (504, "<html>Gateway Timeout</html>", "timeout", True),
    ],
)
def test_errors_of_every_form_are_failures_by_their_status(
    status: int, body: Any, kind: str, retryable: bool
) -> None:
    content = body.encode() if isinstance(body, str) else b""
    reply = None if content else body

    lifted = _decode(f"{OPENAI}/chat/completions", {"messages": []}, reply, status=status, content=content)

    assert lifted.failure is not None
    assert (str(lifted.failure.kind), lifted.failure.retryable) == (kind, retryable)
    assert lifted.reply is None


def test_a_status_beats_a_stream_s_form() -> None:
    content = b'data: {"error": {"message": "slow down", "code": 429}}\n\n'

    lifted = _decode(
        f"{OPENAI}/chat/completions", {"messages": []}, None, status=429, content=content, framing=Framing.SSE
    )

    assert lifted.failure is not None
    assert lifted.failure.message == "slow down"


@pytest.mark.parametrize(
    ("url", "provider", "name", "dialect"),
    [
        ("https://x.openai.azure.com/openai/v1/responses", "azure", "responses", "openai-responses"),
        ("https://gw.test/openai/chat/completions", "gw.test", "chat/completions", "openai-chat"),
        ("http://127.0.0.1:11434/api/generate", "local", "api/generate", "ollama-generate"),
        ("https://api.cohere.com/v1/chat", "cohere", "v1/chat", "cohere-v1"),
        ("https://chat.test/v1/chat", "chat.test", "/v1/chat", None),
        (
            "https://api.mistral.ai/v1/conversations/conv_1",
            "mistral",
            "conversations",
            "mistral-conversations",
        ),
        (
            "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict",
            "vertex",
            "rawPredict",
            "anthropic-messages",
        ),
    ],
)
def test_host_and_path_tell_provider_and_dialect(
    url: str, provider: str, name: str, dialect: str | None
) -> None:
    found = identify(url)

    assert (found.provider, found.name, found.dialect) == (provider, name, dialect)
