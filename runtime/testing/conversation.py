"""A request as a scripted model reads it: the user's text, and the calls so far with their results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from runtime.core.messages import ModelRequest, TextPart, ToolCallPart, ToolResponsePart

_REFUSED = ("is not allowed by the policy of this run", "was not approved", "was not given in time")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """One call of the conversation.

    Attributes:
        name: The tool.
        arguments: As the model gave them.
        result: The result that the model received.
        turn: Number of the reply that requested it, from 0.
    """

    name: str
    arguments: dict[str, Any]
    result: str
    turn: int

    @property
    def data(self) -> Any:
        """The result as JSON; `None` if it is plain text, as errors are."""
        try:
            return json.loads(self.result)
        except json.JSONDecodeError:
            return None

    @property
    def is_refused(self) -> bool:
        """Whether a guard denied the call, or its approval was denied or timed out."""
        return any(words in self.result for words in _REFUSED)

    @property
    def is_invalid(self) -> bool:
        """Whether the arguments did not fit the tool's schema."""
        return self.result.startswith("Invalid arguments for tool")

    @property
    def has_failed(self) -> bool:
        """Whether the tool itself failed after its last attempt."""
        return self.result.startswith(f"Tool '{self.name}' failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A request as a scripted model sees it.

    Attributes:
        prompt: The user's text.
        calls: Every answered call, in order.
        turns: Replies of the model so far.
    """

    prompt: str
    calls: tuple[PastCall, ...]
    turns: int

    def of(self, tool: str) -> list[PastCall]:
        """Return the calls of one tool."""
        return [call for call in self.calls if call.name == tool]

    @property
    def latest(self) -> tuple[PastCall, ...]:
        """The calls of the last turn."""
        return tuple(call for call in self.calls if call.turn == self.turns - 1)


def read_request(request: ModelRequest) -> Conversation:
    """Return the conversation of a request; equal requests give equal conversations."""
    prompt: list[str] = []
    calls_by_id: dict[str, tuple[ToolCallPart, int]] = {}
    calls: list[PastCall] = []
    turns = 0
    for message in request.messages:
        for part in message.parts:
            match part:
                case TextPart() if message.role == "user":
                    prompt.append(part.content)
                case ToolCallPart():
                    calls_by_id[part.id] = (part, turns)
                case ToolResponsePart() if part.id in calls_by_id:
                    call, turn = calls_by_id[part.id]
                    known = call.arguments if isinstance(call.arguments, dict) else {}
                    calls.append(PastCall(name=call.name, arguments=known, result=part.response, turn=turn))
                case _:
                    pass
        turns += message.role == "assistant"
    return Conversation(prompt="\n".join(prompt), calls=tuple(calls), turns=turns)
