"""The codecs of all dialects in the form that lift needs, by the name that a user can state.

To add a dialect, add its codec to `runtime.dialects`, an entry to `DIALECTS`, and its endpoints to
`harness.lift.endpoints`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from runtime.core.effects import Failure
from runtime.core.messages import ModelReply, ModelRequest
from runtime.core.money import Usage
from runtime.dialects import (
    anthropic_messages,
    bedrock_converse,
    cohere_v1,
    cohere_v2,
    gemini,
    mistral_conversations,
    ollama_chat,
    openai_chat,
    openai_completions,
    openai_responses,
    text_models,
)
from runtime.dialects.bedrock_invoke import Vendor
from runtime.dialects.failures import decode_error
from runtime.dialects.fields import mapping


class Stream(Protocol):
    """The stream decoder of a dialect."""

    error: Failure | None
    done: bool

    def feed(self, data: str) -> list[str]:
        """Take one payload."""
        ...

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take one event that is already parsed."""
        ...

    def fail(self, failure: Failure) -> None:
        """Record the first failure."""
        ...

    def finish(self) -> ModelReply:
        """Return the reply, as far as it arrived."""
        ...


class Codec(msgspec.Struct, frozen=True, kw_only=True):
    """The codec of one dialect.

    Attributes:
        request: Reads a request's body.
        reply: Reads the body of a reply that was not streamed.
        stream: Makes a decoder for one streamed reply.
        failure: Reads the status and body of an error.
        to_provider: Converts usage from our counting to the provider's, if they differ.
        usage_of_body: Reads usage in the provider's counting from a reply's body, if it cannot be converted back.
    """

    request: Callable[[Any], ModelRequest]
    reply: Callable[[Any], ModelReply]
    stream: Callable[[], Stream]
    failure: Callable[..., Failure] = decode_error
    to_provider: Callable[[Usage], Usage] | None = None
    usage_of_body: Callable[[dict[str, Any]], Usage | None] | None = None


def _text_model(model: text_models.TextModel) -> Codec:
    return Codec(request=model.decode_request, reply=model.decode_reply, stream=model.stream_decoder)


def _gemini_usage(body: dict[str, Any]) -> Usage | None:
    return gemini.provider_usage(body.get("usageMetadata") or body.get("usage_metadata"))


_ANTHROPIC = Codec(
    request=anthropic_messages.decode_request,
    reply=anthropic_messages.decode_reply,
    stream=anthropic_messages.StreamDecoder,
    failure=anthropic_messages.decode_error,
    to_provider=anthropic_messages.provider_usage,
)
_CONVERSE = Codec(
    request=bedrock_converse.decode_request,
    reply=bedrock_converse.decode_reply,
    stream=bedrock_converse.StreamDecoder,
    to_provider=bedrock_converse.provider_usage,
)
_CHAT = Codec(
    request=openai_chat.decode_request, reply=openai_chat.decode_reply, stream=openai_chat.StreamDecoder
)
_COMPLETIONS = Codec(
    request=openai_completions.decode_request,
    reply=openai_completions.decode_reply,
    stream=openai_completions.StreamDecoder,
)
_COHERE_V1 = Codec(
    request=cohere_v1.decode_request, reply=cohere_v1.decode_reply, stream=cohere_v1.StreamDecoder
)

BEDROCK_INVOKE = "bedrock-invoke"
"""The dialect whose codec depends on the model: see `OF_VENDOR`."""

DIALECTS: dict[str, Codec] = {
    "openai-chat": _CHAT,
    "openai-responses": Codec(
        request=openai_responses.decode_request,
        reply=openai_responses.decode_reply,
        stream=openai_responses.StreamDecoder,
    ),
    "openai-completions": _COMPLETIONS,
    "anthropic-messages": _ANTHROPIC,
    "anthropic-complete": _text_model(text_models.CLAUDE),
    "gemini": Codec(
        request=gemini.decode_request,
        reply=gemini.decode_reply,
        stream=gemini.StreamDecoder,
        usage_of_body=_gemini_usage,
    ),
    "bedrock-converse": _CONVERSE,
    "cohere-v1": _COHERE_V1,
    "cohere-v2": Codec(
        request=cohere_v2.decode_request, reply=cohere_v2.decode_reply, stream=cohere_v2.StreamDecoder
    ),
    "cohere-generate": _text_model(text_models.COMMAND),
    "ollama-generate": _text_model(text_models.OLLAMA),
    "ollama-chat": Codec(
        request=ollama_chat.decode_request, reply=ollama_chat.decode_reply, stream=ollama_chat.StreamDecoder
    ),
    "mistral-conversations": Codec(
        request=mistral_conversations.decode_request,
        reply=mistral_conversations.decode_reply,
        stream=mistral_conversations.StreamDecoder,
    ),
}
"""Codecs by the names that `goldrun lift --dialect` accepts."""

OF_VENDOR: dict[Vendor, Codec] = {
    Vendor.ANTHROPIC: _ANTHROPIC,
    Vendor.CLAUDE_TEXT: _text_model(text_models.CLAUDE),
    Vendor.NOVA: _CONVERSE,
    Vendor.TITAN: _text_model(text_models.TITAN),
    Vendor.LLAMA: _text_model(text_models.LLAMA),
    Vendor.MISTRAL_TEXT: _text_model(text_models.MISTRAL),
    Vendor.COMMAND_R: _COHERE_V1,
    Vendor.COMMAND: _text_model(text_models.COMMAND),
    Vendor.JURASSIC: _text_model(text_models.JURASSIC),
    Vendor.OPENAI_CHAT: _CHAT,
    Vendor.OPENAI_TEXT: _COMPLETIONS,
}


def provider_usage(codec: Codec, usage: Usage | None, body: Any, stream: Any) -> Usage | None:
    """Return usage in the provider's own counting.

    Args:
        codec: The dialect's codec.
        usage: Usage in our counting.
        body: The reply's body, if it was not streamed.
        stream: The decoder of the stream, if it was streamed.
    """
    if codec.usage_of_body is not None:
        return stream.provider_usage if stream is not None else codec.usage_of_body(mapping(body))
    return usage if usage is None or codec.to_provider is None else codec.to_provider(usage)
