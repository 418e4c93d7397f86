"""Thread conversations: find the requests that are the steps of one run, by the identity of their messages.

Theory of operation. An agent without server-side state sends its whole history with every request. So a request that
begins with the history of an earlier one, followed by that one's reply, is the next step of the same run. Each prefix
of a history has a chained hash, and every open conversation is stored under the hash of its last request. To place a
request, its prefixes are looked up, longest first, which takes time linear in its messages.

Rules, in this order.
1. A reply that is fetched later replaces the queued reply of that id (background responses).
2. A request that names server-side state (`previous_response_id`, `conversation`) continues the conversation whose
   last reply has that id, or that used that state last. Naming an earlier reply begins a branch.
3. A request equal to the last one of a conversation whose call failed is another attempt of that step.
4. A request continues a conversation if it begins with all messages of that conversation's last request, followed
   by an assistant message that is the recorded reply: the same calls or the same text. The messages after it are
   tool results and further turns. Results are paired with calls by call id, or by position.
5. A request that begins with all messages of a conversation's failed request is its next step: the agent reported
   the failure to the model.
6. A request with the same system messages continues a conversation with a shortened history (compaction), if it
   holds the last reply, and either the message before it or the call ids are the same as in that conversation.
7. Any other request begins a conversation. If several conversations fit, the longest is continued, or the latest of
   equally long ones.
Each turn names the rule that linked it. Ids, reasoning (also inline in `<think>`) and the spelling of arguments are
not part of the identity, because clients change them when they echo a reply. Some clients echo one reply as several
assistant messages; these count as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from harness.lift.decoding import LiftedExchange
from harness.lift.threading_identity import echoes, identity, joined, links
from harness.lift.threading_results import results_of
from runtime.core.messages import Message, ModelReply, ModelRequest, ToolCallPart


class Link(StrEnum):
    """The rule by which a turn was linked to the turn before it."""

    FIRST = "first"
    PREFIX = "prefix"
    SERVER = "server-state"
    FAILURE = "failed-request"
    COMPACTION = "compaction"
    AMBIGUOUS = "ambiguous-prefix"


_CERTAIN = frozenset({Link.FIRST, Link.PREFIX, Link.SERVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One model call of a turn."""

    exchange: LiftedExchange
    request: ModelRequest

    @property
    def reply(self) -> ModelReply | None:
        """The complete reply; `None` if the call failed."""
        return None if self.exchange.failure is not None else self.exchange.reply


@dataclass(slots=True, kw_only=True)
class Turn:
    """One model decision of a conversation: its attempts, and the results of its calls.

    Attributes:
        attempts: The exchanges, in order; all but the last one failed.
        link: The rule that linked it to the turn before.
        results: Tool results by position of the call; a call without one was not answered.
    """

    attempts: list[Attempt]
    link: Link = Link.FIRST
    results: dict[int, str] = field(default_factory=dict)

    @property
    def last(self) -> Attempt:
        """The last attempt, which is the one that counts."""
        return self.attempts[-1]


@dataclass(slots=True, kw_only=True)
class LiftedConversation:
    """The turns of one run, in order."""

    turns: list[Turn]

    @property
    def sureness(self) -> str:
        """How sure the links are: `certain`, `likely`, or `ambiguous` if several conversations fitted one request."""
        seen = {turn.link for turn in self.turns}
        if Link.AMBIGUOUS in seen:
            return "ambiguous"
        return "certain" if seen <= _CERTAIN else "likely"


def thread(exchanges: tuple[LiftedExchange, ...]) -> list[LiftedConversation]:
    """Return the conversations of a recording, in order of their first request."""
    threader = _Threader()
    for exchange in exchanges:
        if exchange.request is not None:
            threader.take(Attempt(exchange=exchange, request=exchange.request))
        elif exchange.reply is not None and exchange.reply.response_id is not None:
            threader.poll(exchange, exchange.reply.response_id)
    return threader.conversations


class _Threader:
    """Finds the conversation that each request continues, by looking up chained message identities."""

    def __init__(self) -> None:
        self.conversations: list[LiftedConversation] = []
        self._open: dict[str, list[LiftedConversation]] = {}
        self._replies: dict[str, tuple[LiftedConversation, Turn]] = {}
        self._states: dict[str, LiftedConversation] = {}
        self._last: dict[int, list[Message]] = {}

    def take(self, attempt: Attempt) -> None:
        """Add one exchange to the conversation it belongs to."""
        state = _state_of(attempt.request)
        messages = joined(attempt.request.messages)
        chain = links(messages, seed="" if state is None else "=".join(state))
        conversation = self._failed(chain[-1], model=attempt.request.model)
        if conversation is not None:
            conversation.turns[-1].attempts.append(attempt)
            self._remember(conversation, attempt, state)
            return
        conversation, link = self._found(messages, chain, state)
        if conversation is None:
            conversation = LiftedConversation(turns=[])
            self.conversations.append(conversation)
        conversation.turns.append(Turn(attempts=[attempt], link=link))
        self._open.setdefault(chain[-1], []).append(conversation)
        self._last[id(conversation)] = messages
        self._remember(conversation, attempt, state)

    def poll(self, exchange: LiftedExchange, response_id: str) -> None:
        """Replace a queued reply by the reply that was fetched later."""
        place = self._replies.get(response_id)
        if place is None:
            return
        turn = place[1]
        queued = turn.last
        fetched = msgspec.structs.replace(exchange, request=queued.request)
        turn.attempts[-1] = Attempt(exchange=fetched, request=queued.request)

    def _remember(
        self, conversation: LiftedConversation, attempt: Attempt, state: tuple[str, str] | None
    ) -> None:
        if (reply := attempt.exchange.reply) is not None and reply.response_id is not None:
            self._replies[reply.response_id] = (conversation, conversation.turns[-1])
        if state is not None and state[0] == "conversation":
            self._states[state[1]] = conversation

    def _found(
        self, messages: list[Message], chain: list[str], state: tuple[str, str] | None
    ) -> tuple[LiftedConversation | None, Link]:
        if state is not None:
            conversation = self._kept(*state)
            if conversation is None:
                return None, Link.FIRST
            last = conversation.turns[-1]
            if last.last.reply is not None:
                echo = Message(role="assistant", parts=last.last.reply.parts)
                last.results = results_of(last.last.reply.tool_calls, echo, _from_results(messages))
            return conversation, Link.SERVER
        conversation, link = self._continued(messages, chain)
        if conversation is None and (conversation := self._compacted(messages)) is not None:
            link = Link.COMPACTION
        return conversation, link

    def _kept(self, kind: str, name: str) -> LiftedConversation | None:
        """Return the conversation of server-side state; `None` if the state is a reply before the last (a branch)."""
        if kind == "conversation":
            return self._states.get(name)
        place = self._replies.get(name)
        return None if place is None or place[0].turns[-1] is not place[1] else place[0]

    def _continued(self, messages: list[Message], chain: list[str]) -> tuple[LiftedConversation | None, Link]:
        """Return the conversation that these messages continue, and store the results of its last calls.

        The longest prefix is tried first. A short prefix, such as the system message alone, also fits the early steps
        of other conversations.
        """
        for end in range(len(messages) - 1, -1, -1):
            echo = messages[end]
            if echo.role == "assistant":
                fitting = [c for c in self._open.get(chain[end], ()) if _is_echo_of(echo, c)]
                if fitting:
                    conversation = fitting[-1]
                    _answer(conversation, echo, messages[end + 1 :])
                    self._open[chain[end]].remove(conversation)
                    return conversation, Link.PREFIX if len(fitting) == 1 else Link.AMBIGUOUS
            failed = self._failed(chain[end], model=None) if end else None
            if failed is not None:
                self._open[chain[end]].remove(failed)
                return failed, Link.FAILURE
        return None, Link.FIRST

    def _compacted(self, messages: list[Message]) -> LiftedConversation | None:
        """Return the conversation whose history was shortened to these messages."""
        system = _system(messages)
        for end in range(len(messages) - 1, 0, -1):
            echo = messages[end]
            if echo.role != "assistant":
                continue
            for conversation in reversed(self.conversations):
                before = self._last[id(conversation)]
                if not _is_echo_of(echo, conversation) or _system(before) != system:
                    continue
                is_next = bool(before) and identity(before[-1]) == identity(messages[end - 1])
                if is_next or _same_call_ids(echo, conversation):
                    _answer(conversation, echo, messages[end + 1 :])
                    return conversation
        return None

    def _failed(self, link: str, *, model: str | None) -> LiftedConversation | None:
        for conversation in reversed(self._open.get(link, ())):
            last = conversation.turns[-1].last
            if last.reply is None and model in {None, last.request.model}:
                return conversation
        return None


def _state_of(request: ModelRequest) -> tuple[str, str] | None:
    """Return the server-side state that a request continues."""
    previous = request.parameters.get("previous_response_id")
    if isinstance(previous, str) and previous:
        return "previous", previous
    named: Any = request.parameters.get("conversation")
    name = named.get("id") if isinstance(named, dict) else named
    return ("conversation", name) if isinstance(name, str) and name else None


def _from_results(messages: list[Message]) -> list[Message]:
    """Return the messages from the first tool result on; clients repeat instructions before it."""
    first = next((place for place, m in enumerate(messages) if m.role == "tool"), len(messages))
    return messages[first:]


def _is_echo_of(message: Message, conversation: LiftedConversation) -> bool:
    reply = conversation.turns[-1].last.reply
    return reply is not None and echoes(message, reply)


def _answer(conversation: LiftedConversation, echo: Message, following: list[Message]) -> None:
    turn = conversation.turns[-1]
    calls = () if turn.last.reply is None else turn.last.reply.tool_calls
    turn.results = results_of(calls, echo, following)


def _system(messages: list[Message]) -> list[Any]:
    return [identity(message) for message in messages if message.role == "system"]


def _same_call_ids(echo: Message, conversation: LiftedConversation) -> bool:
    reply: ModelReply | None = conversation.turns[-1].last.reply
    echoed = {part.id for part in echo.parts if isinstance(part, ToolCallPart)}
    return bool(echoed) and reply is not None and echoed == {call.id for call in reply.tool_calls}
