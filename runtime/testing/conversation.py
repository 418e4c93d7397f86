"""What a scripted model reads of a request: the user's text, and the calls so far with what came of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from runtime.core.messages import ModelRequest, TextPart, ToolCallPart, ToolResponsePart
from runtime.core.signatures import checks_arguments

_REFUSED = ("is not allowed by the policy of this run", "was not approved", "was not given in time")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """One call of the conversation.

    Attributes:
        name: The tool.
        arguments: As the model gave them.
        result: What the model was told.
        turn: Number of the reply that asked for it, from 0.
    """

    name: str
    arguments: dict[str, Any]
    result: str
    turn: int

    @property
    def data(self) -> Any:
        """The result as JSON; `None` where it is plain text, as errors are."""
        try:
            return json.loads(self.result)
        except json.JSONDecodeError:
            return None

    @property
    def is_refused(self) -> bool:
        """Whether a guard refused the call, or nobody approved it."""
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


@checks_arguments
def read_request(request: ModelRequest) -> Conversation:
    """Return what a request tells; it follows from the request alone, so equal requests get equal answers."""
    prompt: list[str] = []
    asked: dict[str, tuple[ToolCallPart, int]] = {}
    calls: list[PastCall] = []
    turns = 0
    for message in request.messages:
        for part in message.parts:
            match part:
                case TextPart() if message.role == "user":
                    prompt.append(part.content)
                case ToolCallPart():
                    asked[part.id] = (part, turns)
                case ToolResponsePart() if part.id in asked:
                    call, turn = asked[part.id]
                    known = call.arguments if isinstance(call.arguments, dict) else {}
                    calls.append(PastCall(name=call.name, arguments=known, result=part.response, turn=turn))
                case _:
                    pass
        turns += message.role == "assistant"
    return Conversation(prompt="\n".join(prompt), calls=tuple(calls), turns=turns)
