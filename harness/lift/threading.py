"""Conversations: consecutive requests become the steps of one run, by identity of their messages.

Rules.
1. A request continues a conversation if it begins with all messages of that conversation's last request, followed
   by an assistant message that is the recorded reply: the same calls or the same text.
2. What follows that message are tool results, paired by call id, else by position, and further turns.
3. A request equal to the last one of a conversation whose call failed is a further attempt of that step.
4. A request that begins with all messages of a conversation's failed request is its next step: the agent told the
   model of the failure.
5. Anything else begins a conversation. Of several that fit, the longest is continued; of equals, the latest.
Ids, reasoning (also inline in `<think>`) and the spelling of arguments take no part in identity: clients change
them when they echo a reply. Some clients echo one reply as several assistant messages; these count as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from harness.lift.decoding import LiftedExchange
from runtime.core.canonical import digest, fingerprint
from runtime.core.messages import (
    FilePart,
    Message,
    ModelReply,
    ModelRequest,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
)

_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One exchange that asked a model."""

    exchange: LiftedExchange
    request: ModelRequest

    @property
    def reply(self) -> ModelReply | None:
        """The whole reply; `None` where the call failed."""
        return None if self.exchange.failure is not None else self.exchange.reply


@dataclass(slots=True, kw_only=True)
class Turn:
    """One model decision of a conversation: its attempts, and what became of its calls.

    Attributes:
        attempts: The exchanges, in order; all but the last failed.
        results: Tool results by position of the call; calls without one were not answered.
    """

    attempts: list[Attempt]
    results: dict[int, str] = field(default_factory=dict)

    @property
    def last(self) -> Attempt:
        """The attempt that counts."""
        return self.attempts[-1]


@dataclass(slots=True, kw_only=True)
class LiftedConversation:
    """The turns of one run, in order."""

    turns: list[Turn]


def thread(exchanges: tuple[LiftedExchange, ...]) -> list[LiftedConversation]:
    """Return the conversations of a recording, in order of their first request."""
    threader = _Threader()
    for exchange in exchanges:
        if exchange.request is not None:
            threader.take(Attempt(exchange=exchange, request=exchange.request))
    return threader.conversations


class _Threader:
    """Finds for each request the conversation it continues, by look-up of chained message identities."""

    def __init__(self) -> None:
        self.conversations: list[LiftedConversation] = []
        self._open: dict[str, list[LiftedConversation]] = {}

    def take(self, attempt: Attempt) -> None:
        """Put one exchange in its place."""
        messages = _joined(attempt.request.messages)
        links = _links(messages)
        retried = self._failed(links[-1], model=attempt.request.model)
        if retried is not None:
            retried.turns[-1].attempts.append(attempt)
            return
        conversation = self._continued(messages, links)
        if conversation is None:
            conversation = LiftedConversation(turns=[])
            self.conversations.append(conversation)
        conversation.turns.append(Turn(attempts=[attempt]))
        self._open.setdefault(links[-1], []).append(conversation)

    def _continued(self, messages: list[Message], links: list[str]) -> LiftedConversation | None:
        """Return the conversation that these messages continue, with the results of its last calls filled in."""
        for end in range(len(messages) - 1, -1, -1):
            echo = messages[end]
            if echo.role == "assistant":
                for conversation in reversed(self._open.get(links[end], ())):
                    reply = conversation.turns[-1].last.reply
                    if reply is not None and _echoes(echo, reply):
                        conversation.turns[-1].results = _results(reply.tool_calls, echo, messages[end + 1 :])
                        self._open[links[end]].remove(conversation)
                        return conversation
            failed = self._failed(links[end], model=None) if end else None
            if failed is not None:
                self._open[links[end]].remove(failed)
                return failed
        return None

    def _failed(self, link: str, *, model: str | None) -> LiftedConversation | None:
        for conversation in reversed(self._open.get(link, ())):
            last = conversation.turns[-1].last
            if last.reply is None and model in {None, last.request.model}:
                return conversation
        return None


def _joined(messages: tuple[Message, ...]) -> list[Message]:
    """Return the messages with neighbouring assistant messages made one."""
    joined: list[Message] = []
    for message in messages:
        if joined and message.role == "assistant" == joined[-1].role:
            joined[-1] = Message(role="assistant", parts=joined[-1].parts + message.parts)
        else:
            joined.append(message)
    return joined


def _links(messages: list[Message]) -> list[str]:
    """Return the chained identity before the first message and after each."""
    links = [""]
    for message in messages:
        links.append(digest(f"{links[-1]}{fingerprint(_identity(message))}".encode()))
    return links


def _identity(message: Message) -> list[Any]:
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


def _echoes(message: Message, reply: ModelReply) -> bool:
    """Tell whether an assistant message is a client's echo of a reply.

    Calls decide where there are any: frameworks drop or add text beside them, and some send only part of the
    calls. Without calls the text must be the same.
    """
    calls = [p for p in message.parts if isinstance(p, ToolCallPart)]
    if reply.tool_calls or calls:
        asked = [_call_identity(c) for c in reply.tool_calls]
        return bool(calls) and all(_call_identity(c) in asked for c in calls)
    echoed = _identity(message)[1]
    return bool(echoed == _spoken(reply.text or reply.refusal or ""))


def _spoken(text: str) -> str:
    """Return a text without the thoughts some models put before it, which clients take out or put in."""
    return _THOUGHT.sub("", text, count=1).strip()


def _call_identity(call: ToolCallPart) -> str:
    return fingerprint([call.name, call.arguments])


def _results(calls: tuple[ToolCallPart, ...], echo: Message, following: list[Message]) -> dict[int, str]:
    """Return the results that answer a reply's calls, by position of the call.

    A client may give calls new ids when it echoes them, so results are looked up by the echo's ids; what no id
    finds is paired in order, as long as tool messages follow without another turn between.
    """
    answers: list[ToolResponsePart] = []
    for message in following:
        if message.role != "tool":
            break
        answers += [p for p in message.parts if isinstance(p, ToolResponsePart)]
    echoed = [p for p in echo.parts if isinstance(p, ToolCallPart)]
    places = _places(calls, echoed)
    results: dict[int, str] = {}
    unpaired: list[str] = []
    for answer in answers:
        place = next(
            (p for p, c in zip(places, echoed, strict=True) if c.id == answer.id and p not in results), None
        )
        if place is None:
            unpaired.append(answer.response)
        else:
            results[place] = answer.response
    free = [place for place in places if place not in results]
    results.update(zip(free, unpaired, strict=False))
    return results


def _places(calls: tuple[ToolCallPart, ...], echoed: list[ToolCallPart]) -> list[int]:
    """Return for each echoed call the position of the call it echoes: by id, else by what it asks."""
    places: list[int] = []
    for call in echoed:
        free = [i for i in range(len(calls)) if i not in places]
        same = [i for i in free if _call_identity(calls[i]) == _call_identity(call)]
        by_id = [i for i in same if calls[i].id == call.id]
        places.append((by_id or same or free)[0] if free else len(calls))
    return places
