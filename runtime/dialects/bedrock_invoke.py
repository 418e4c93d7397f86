"""The Bedrock invoke dialect (`invoke`, `invoke-with-response-stream`): find the vendor of a body, and read streams.

Format: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html. The body has the vendor's
own form, which depends on the model's id. Ids of deployed, imported and profiled models (ARNs) do not name the vendor.
For these, only a body that names its form is read (`anthropic_version`, `schemaVersion`, `object`); nothing is guessed.

A chunk of a stream is a message of an AWS event stream, and its payload holds the vendor's event in base64. The last
chunk has Bedrock's own token count (`amazon-bedrock-invocationMetrics`), which is used if the vendor states none.
"""

from __future__ import annotations

import base64
import binascii
import re
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec

from runtime.core.effects import Failure
from runtime.core.messages import ModelReply
from runtime.core.money import Usage
from runtime.dialects.aws_eventstream import EventMessage
from runtime.dialects.bedrock_converse_reply import event_of, exception_failure
from runtime.dialects.errors import DialectError
from runtime.dialects.fields import first_count, mapping
from runtime.dialects.jsontext import parse_json

METRICS = "amazon-bedrock-invocationMetrics"
"""Field of the last chunk that holds Bedrock's own count."""

GUARDRAIL = "amazon-bedrock-guardrailAction"
"""Field of a reply or chunk that says whether a guardrail intervened: `INTERVENED` or `NONE`."""


class Vendor(StrEnum):
    """The vendors' forms of bodies."""

    ANTHROPIC = "anthropic messages"
    CLAUDE_TEXT = "anthropic text"
    NOVA = "nova"
    TITAN = "titan"
    LLAMA = "llama"
    MISTRAL_TEXT = "mistral text"
    COMMAND_R = "cohere chat"
    COMMAND = "cohere text"
    JURASSIC = "jurassic"
    OPENAI_CHAT = "openai chat"
    OPENAI_TEXT = "openai text"


_MODEL = re.compile(
    r"(?:^|/)(?:(?:us|us-gov|eu|uk|ap|apac|jp|au|ca|sa|me|af|amer|global)\.)?"
    r"(?P<vendor>[a-z0-9]+)\.(?P<model>[a-z0-9][a-z0-9.:_-]*)$"
)
"""A model's id, alone or at the end of an ARN, optionally after the region of an inference profile."""
_NO_TEXT = ("embed", "rerank", "canvas", "reel", "image", "sonic")
_CHAT_VENDORS = frozenset(
    {"openai", "qwen", "moonshot", "moonshotai", "minimax", "google", "nvidia", "zai", "writer"}
)


def vendor_of(model_id: str, request: Any, response: Any = None) -> Vendor | None:
    """Return the vendor's form of a call's bodies; `None` if neither the id nor the bodies reveal it.

    Args:
        model_id: The model in the URL, an id or an ARN.
        request: The request's body.
        response: The reply's body, if it is one JSON object.
    """
    body, reply = mapping(request), mapping(response)
    found = _MODEL.search(unquote(model_id).lower())
    vendor = found["vendor"] if found else ""
    model = found["model"] if found else ""
    if not answers_in_text(model_id):
        return None
    match vendor:
        case "anthropic":
            return Vendor.CLAUDE_TEXT if "prompt" in body or "completion" in reply else Vendor.ANTHROPIC
        case "amazon":
            return Vendor.NOVA if model.startswith("nova") else Vendor.TITAN if "titan" in model else None
        case "meta":
            return Vendor.LLAMA
        case "mistral" | "deepseek":
            if "messages" in body or "choices" in reply:
                return Vendor.OPENAI_CHAT if "messages" in body else Vendor.OPENAI_TEXT
            return Vendor.MISTRAL_TEXT if vendor == "mistral" else Vendor.OPENAI_TEXT
        case "cohere":
            return Vendor.COMMAND_R if model.startswith("command-r") else Vendor.COMMAND
        case "ai21":
            return Vendor.OPENAI_CHAT if model.startswith("jamba") else Vendor.JURASSIC
        case _ if vendor in _CHAT_VENDORS:
            return Vendor.OPENAI_CHAT
        case _:
            return _stated(body, reply)


def answers_in_text(model_id: str) -> bool:
    """Return whether a model may answer in text; embedding, ranking, image and speech models do not."""
    return not any(word in unquote(model_id).lower() for word in _NO_TEXT)


def _stated(body: dict[str, Any], reply: dict[str, Any]) -> Vendor | None:
    """Return the form that the bodies themselves name."""
    if str(body.get("anthropic_version", "")).startswith("bedrock-"):
        return Vendor.ANTHROPIC
    if body.get("schemaVersion") == "messages-v1":
        return Vendor.NOVA
    match reply.get("object"):
        case "chat.completion":
            return Vendor.OPENAI_CHAT
        case "text_completion":
            return Vendor.OPENAI_TEXT
        case _:
            return None


def chunk_of(message: EventMessage) -> dict[str, Any]:
    """Return the vendor's event in a message of an event stream; an exception is `{type: payload}`.

    Raises:
        DialectError: If the message holds no event.
    """
    event = event_of(message)
    encoded = mapping(event.get("chunk")).get("bytes")
    if encoded is None:
        return event
    try:
        found = parse_json(base64.b64decode(encoded))
    except (binascii.Error, ValueError, TypeError) as error:
        raise DialectError(f"no event in a chunk: {error}") from error
    if not isinstance(found, dict):
        raise DialectError(f"no event in a chunk: it is {type(found).__name__}")
    return found


def guarded(reply: ModelReply, body: dict[str, Any]) -> ModelReply:
    """Return a reply with the guardrail's intervention as finish reason, if the vendor states none."""
    action = body.get(GUARDRAIL)
    if reply.raw_finish_reason is not None or action != "INTERVENED":
        return reply
    return msgspec.structs.replace(reply, finish_reason="content_filter", raw_finish_reason=action)


class Inner(Protocol):
    """The stream decoder of the vendor's dialect."""

    error: Failure | None
    done: bool

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one event."""
        ...

    def fail(self, failure: Failure) -> None:
        """Record a failure."""
        ...

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived."""
        ...


class InvokeStream:
    """Collects one streamed reply of any vendor, and reads Bedrock's exceptions and token count itself."""

    def __init__(self, inner: Inner) -> None:
        self._inner = inner
        self._counted: dict[str, Any] = {}
        self._guardrail: dict[str, Any] = {}

    @property
    def error(self) -> Failure | None:
        """The first failure; `None` if there is none."""
        return self._inner.error

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one event and return its text deltas; never raises."""
        if METRICS in event:
            self._counted |= mapping(event[METRICS])
            self._inner.done = True
        if event.get(GUARDRAIL) == "INTERVENED":
            self._guardrail = event
            self._inner.done = True
        for kind, payload in event.items():
            if kind.endswith("Exception"):
                self.fail(exception_failure(kind, mapping(payload)))
        return self._inner.take({name: value for name, value in event.items() if name != METRICS})

    def fail(self, failure: Failure) -> None:
        """Record a failure; only the first one counts."""
        self._inner.fail(failure)

    def finish(self) -> ModelReply:
        """Return the reply as far as it arrived. Call it when the stream is over, however it ended."""
        reply = guarded(self._inner.finish(), self._guardrail)
        usage = Usage(
            input_tokens=first_count(self._counted.get("inputTokenCount")),
            output_tokens=first_count(self._counted.get("outputTokenCount")),
        )
        if reply.usage is not None or usage == Usage():
            return reply
        return msgspec.structs.replace(reply, usage=usage)
