"""Messages, tool calls and model replies in the shape of the OpenTelemetry GenAI conventions."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runtime.core.money import Usage

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "tool_call", "length", "content_filter", "error"]
"""Why a model stopped, in the conventions' words; what the provider said is kept beside it."""


class _Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of small frozen values."""


class TextPart(msgspec.Struct, frozen=True, tag="text", tag_field="type"):
    """Plain text."""

    content: str


class ReasoningPart(msgspec.Struct, frozen=True, omit_defaults=True, tag="reasoning", tag_field="type"):
    """What the model thought, where the provider tells; `signature` must be sent back unchanged."""

    content: str
    signature: str | None = None


class RefusalPart(msgspec.Struct, frozen=True, tag="refusal", tag_field="type"):
    """The model's own words of refusal."""

    content: str


class ToolCallPart(msgspec.Struct, frozen=True, tag="tool_call", tag_field="type"):
    """A call the model asks for; `arguments` is an object, or the raw text where it was no JSON object."""

    id: str
    name: str
    arguments: Any


class ToolResponsePart(msgspec.Struct, frozen=True, tag="tool_call_response", tag_field="type"):
    """What the model sees of a call's outcome."""

    id: str
    response: str


class FilePart(msgspec.Struct, frozen=True, omit_defaults=True, tag="file", tag_field="type"):
    """A multimodal part by reference: its bytes are never kept, their digest is."""

    modality: str
    mime_type: str | None = None
    uri: str | None = None
    digest: str | None = None
    size_bytes: int | None = None


Part = TextPart | ReasoningPart | RefusalPart | ToolCallPart | ToolResponsePart | FilePart


class Message(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: Role
    parts: tuple[Part, ...]


class ToolSchema(_Value, frozen=True):
    """A tool as the model sees it; `parameters` is a JSON Schema object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


class ModelRequest(_Value, frozen=True):
    """What a model is asked: the part of a call that the agent decided.

    Attributes:
        model: Model id as configured.
        messages: The whole conversation; equal prefixes share their message objects between steps.
        tools: Tool schemas in registration order.
        parameters: Configured parameters such as temperature, in the dialect's names.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...] = ()
    parameters: dict[str, Any] = {}


class ModelReply(_Value, frozen=True):
    """A model's whole answer.

    Attributes:
        parts: Text, reasoning, refusals and tool calls in order.
        finish_reason: Why it stopped, normalised; `None` if it was not reported.
        raw_finish_reason: What the provider said.
        response_model: Model id the provider names.
        response_id: The provider's id of the answer.
        provider: Provider name as in `gen_ai.provider.name`.
        usage: Tokens, `None` if not reported.
        cost_nanousd: Price of the call; `None` if unknown.
        chunk_offsets: For a streamed answer, seconds since the request of each chunk.
    """

    parts: tuple[Part, ...]
    finish_reason: FinishReason | None = None
    raw_finish_reason: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    provider: str | None = None
    usage: Usage | None = None
    cost_nanousd: int | None = None
    chunk_offsets: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(p.content for p in self.parts if isinstance(p, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The calls asked for, in order."""
        return tuple(p for p in self.parts if isinstance(p, ToolCallPart))

    @property
    def refusal(self) -> str | None:
        """The words of refusal, if the model refused."""
        words = [p.content for p in self.parts if isinstance(p, RefusalPart)]
        return "".join(words) if words else None


def user_message(text: str) -> Message:
    """Return a user's text message."""
    return Message(role="user", parts=(TextPart(text),))


def system_message(text: str) -> Message:
    """Return a system text message."""
    return Message(role="system", parts=(TextPart(text),))


def tool_message(call_id: str, response: str) -> Message:
    """Return the message that tells a model a call's outcome."""
    return Message(role="tool", parts=(ToolResponsePart(id=call_id, response=response),))
