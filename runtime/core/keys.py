"""Keys: fingerprints of what the agent decided, chained over messages.

A model call's key hashes message after message: link i = SHA-256(link i-1 + canonical message i), so a run costs
linear time and the first link that differs names the first message that differs. The chain is closed by tool
schemas, parameters and model id. A tool call's key hashes name and arguments. Only id fields are renamed, by
first appearance (`call#1`, ...); text and arguments are never searched. Keys are made from the cleaned
(redacted) form, so that a redacted recording matches.
"""

from __future__ import annotations

import hashlib
import operator
from typing import Any, Protocol, assert_never

import msgspec

from runtime.core.canonical import DIGEST_CHARS, canonical_bytes, digest, fingerprint
from runtime.core.effects import (
    Admit,
    AskApproval,
    Begin,
    CallModel,
    CallTool,
    End,
    Input,
    ReadControls,
    Refuse,
    SingleEffect,
    Wait,
)
from runtime.core.messages import Message, ModelRequest, Part, ToolCallPart, ToolResponsePart

_encode = msgspec.json.Encoder(order="sorted").encode
_START = b"goldrun.key/1"


class Cleaner(Protocol):
    """Takes secrets out of values before they are hashed or written."""

    def suspects(self, encoded: bytes, *, shared: bool = False) -> bool:
        """Return whether a value of this JSON may hold a secret; if not, cleaning returns the same object.

        Args:
            encoded: The value's JSON.
            shared: Whether other runs are likely to hold the same value, so that the answer is worth keeping.
        """
        ...

    def message(self, message: Message) -> Message:
        """Return the message without secrets; the same object if there are none."""
        ...

    def value(self, value: Any) -> Any:
        """Return a JSON value without secrets; the same object if there are none."""
        ...

    def learned(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the forms of the values hidden since the last call, each with its pseudonym, longer ones first."""
        ...


class IdNames:
    """Renames ids by first appearance in a run."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name(self, call_id: str) -> str:
        """Return `call#n` for the n-th distinct id."""
        known = self._names.get(call_id)
        if known is None:
            known = self._names[call_id] = f"call#{len(self._names) + 1}"
        return known


class Keyer:
    """Makes the keys of one run; use one for each run, and show it the effects in order."""

    def __init__(self, cleaner: Cleaner | None = None) -> None:
        self._cleaner = cleaner
        self.ids: IdNames = IdNames()
        self._seen: list[Message] = []
        self._links: list[bytes] = [_START]
        self._tails: dict[int, tuple[Any, Any, bytes]] = {}

    def key(self, effect: SingleEffect) -> str | None:
        """Return an effect's key; `None` for effects that are matched by lane alone."""
        match effect:
            case CallModel():
                return self.model_key(effect.request)
            case CallTool() | Refuse():
                return tool_key(effect.name, self._args_hash(effect.arguments, effect.args_hash))
            case AskApproval():
                return tool_key(effect.name, self._args_hash(effect.decided, effect.decided_hash))
            case Wait():
                return fingerprint(effect.seconds)
            case Begin() | End() | Admit() | ReadControls() | Input():
                return None
            case _:
                assert_never(effect)

    def model_key(self, request: ModelRequest) -> str:
        """Return the key of a model request."""
        link = self.link(request.messages)
        return hashlib.sha256(link + self._tail(request)).hexdigest()[:DIGEST_CHARS]

    def link(self, messages: tuple[Message, ...]) -> bytes:
        """Return the chain's link after the last message; shared prefixes are not hashed again."""
        seen, links = self._seen, self._links
        kept = self._shared_prefix(messages)
        if kept < len(seen):
            del seen[kept:]
            del links[kept + 1 :]
        link = links[kept]
        for message in messages[kept:]:
            link = hashlib.sha256(link + self._canonical(message)).digest()
            seen.append(message)
            links.append(link)
        return link

    def links(self, messages: tuple[Message, ...]) -> list[bytes]:
        """Return the link after each message, to find the first that differs."""
        self.link(messages)
        return self._links[1 : len(messages) + 1]

    def _shared_prefix(self, messages: tuple[Message, ...]) -> int:
        seen = self._seen
        kept = min(len(seen), len(messages))
        if all(map(operator.is_, seen, messages)):
            return kept
        return next(i for i in range(kept) if seen[i] is not messages[i])

    def _canonical(self, message: Message) -> bytes:
        if message.role in {"assistant", "tool"}:
            message = rename_ids(message, self.ids)
        encoded = _encode(message)
        if self._cleaner is None or not self._cleaner.suspects(encoded):
            return encoded
        return _encode(self._cleaner.message(message))

    def _tail(self, request: ModelRequest) -> bytes:
        known = self._tails.get(id(request.tools))
        if (
            known is not None
            and known[0] is request.tools
            and known[1] == (request.model, request.parameters)
        ):
            return known[2]
        closing: Any = [request.model, request.parameters, request.tools]
        encoded = _encode(closing)
        if self._cleaner is not None and self._cleaner.suspects(encoded, shared=True):
            encoded = _encode(self._cleaner.value(msgspec.to_builtins(closing)))
        tail = hashlib.sha256(encoded).digest()
        self._tails[id(request.tools)] = (request.tools, (request.model, request.parameters), tail)
        return tail

    def _args_hash(self, arguments: Any, args_hash: str) -> str:
        if self._cleaner is None or not self._cleaner.suspects(canonical_bytes(arguments)):
            return args_hash
        clean = self._cleaner.value(arguments)
        return args_hash if clean is arguments else fingerprint(clean)


def tool_key(name: str, args_hash: str) -> str:
    """Return the key of a tool call."""
    return digest(f"{name}\0{args_hash}".encode())


def rename_ids(message: Message, ids: IdNames) -> Message:
    """Return the message with its call ids renamed by first appearance."""
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            part = ToolCallPart(ids.name(part.id), part.name, part.arguments)
        elif isinstance(part, ToolResponsePart):
            part = ToolResponsePart(ids.name(part.id), part.response)
        parts.append(part)
    return Message(message.role, tuple(parts))
