"""Identity of messages: equal for a message and its copy in a later request, chained over a history."""

from __future__ import annotations

import re
from typing import Any

from runtime.core.canonical import digest, fingerprint
from runtime.core.messages import (
    FilePart,
    Message,
    ModelReply,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
)

_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


def joined(messages: tuple[Message, ...]) -> list[Message]:
    """Return the messages with adjacent assistant messages merged into one."""
    joined: list[Message] = []
    for message in messages:
        if joined and message.role == "assistant" == joined[-1].role:
            joined[-1] = Message(role="assistant", parts=joined[-1].parts + message.parts)
        else:
            joined.append(message)
    return joined


def links(messages: list[Message], *, seed: str = "") -> list[str]:
    """Return the chained identity before the first message and after each one.

    Args:
        messages: The history.
        seed: Server-side state that the request continues; it is part of the history.
    """
    chain = [seed]
    for message in messages:
        chain.append(digest(f"{chain[-1]}{fingerprint(identity(message))}".encode()))
    return chain


def identity(message: Message) -> list[Any]:
    """Return the parts of a message that a client keeps when it sends the message again."""
    said: list[Any] = []
    text: list[str] = []
    for part in message.parts:
        match part:
            case TextPart(content=content) | RefusalPart(content=content):
                text.append(content)
            case ToolCallPart(name=name, arguments=arguments):
                said.append([name, arguments])
            case ToolResponsePart(response=response):
                said.append(response)
            case FilePart():
                said.append(part)
            case _:
                pass
    return [message.role, _spoken("".join(text)), said]


def echoes(message: Message, reply: ModelReply) -> bool:
    """Return whether an assistant message is a client's echo of a reply.

    If there are calls, they decide: frameworks drop or add text beside calls, and some send only part of the calls.
    Without calls, the text must be equal.
    """
    calls = [p for p in message.parts if isinstance(p, ToolCallPart)]
    if reply.tool_calls or calls:
        recorded = [call_identity(c) for c in reply.tool_calls]
        return bool(calls) and all(call_identity(c) in recorded for c in calls)
    echoed = identity(message)[1]
    return bool(echoed == _spoken(reply.text or reply.refusal or ""))


def _spoken(text: str) -> str:
    """Return a text without the reasoning that some models put before it; clients may drop or add that."""
    return _THOUGHT.sub("", text, count=1).strip()


def call_identity(call: ToolCallPart) -> str:
    """Return the identity of a call: tool name and arguments, without the id."""
    return fingerprint([call.name, call.arguments])
