"""What makes a message the same message when a client sends it again: chained, content-addressed identity."""

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
    """Return the messages with neighbouring assistant messages made one."""
    joined: list[Message] = []
    for message in messages:
        if joined and message.role == "assistant" == joined[-1].role:
            joined[-1] = Message(role="assistant", parts=joined[-1].parts + message.parts)
        else:
            joined.append(message)
    return joined


def links(messages: list[Message], *, seed: str = "") -> list[str]:
    """Return the chained identity before the first message and after each; `seed` names what a server adds."""
    chain = [seed]
    for message in messages:
        chain.append(digest(f"{chain[-1]}{fingerprint(identity(message))}".encode()))
    return chain


def identity(message: Message) -> list[Any]:
    """Return what makes a message the same message when a client sends it again."""
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
    """Tell whether an assistant message is a client's echo of a reply.

    Calls decide where there are any: frameworks drop or add text beside them, and some send only part of the
    calls. Without calls the text must be the same.
    """
    calls = [p for p in message.parts if isinstance(p, ToolCallPart)]
    if reply.tool_calls or calls:
        asked = [call_identity(c) for c in reply.tool_calls]
        return bool(calls) and all(call_identity(c) in asked for c in calls)
    echoed = identity(message)[1]
    return bool(echoed == _spoken(reply.text or reply.refusal or ""))


def _spoken(text: str) -> str:
    """Return a text without the thoughts some models put before it, which clients take out or put in."""
    return _THOUGHT.sub("", text, count=1).strip()


def call_identity(call: ToolCallPart) -> str:
    """Return what makes a call the same call: what it asks."""
    return fingerprint([call.name, call.arguments])
