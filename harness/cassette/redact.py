"""The redactor of one run: secrets become `<secret#n>` before anything is hashed or written.

Each distinct secret is numbered by its first appearance in the run: no key, nothing to guess, equal on every
machine. Pseudonyms of either form (`<secret#1>`, `<secret:9f3a>`) are left alone, so redacted data replays as
it is; a new secret then takes a number above those seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from harness.cassette.rules import (
    ASSIGNMENTS,
    HEADERS,
    SHAPES,
    is_secret_field,
    is_suspect,
    may_hold_secret,
)
from harness.errors import CassetteError
from runtime.core.messages import (
    FilePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
)
from runtime.core.run import Header

PSEUDONYM = re.compile(r"<secret(?:#(?P<number>\d{1,9})|:[0-9a-zA-Z_-]{1,64})>")
_RULES = (*SHAPES, *ASSIGNMENTS)
_PASSES = 4
"""Replacing one secret may lay bare another that overlapped it."""
_Span = tuple[int, int, int, str]
"""Start, end, rank of the rule, its name."""
_SCHEMES = ("bearer ", "basic ", "token ")


class Redactor:
    """Takes secrets out of the values of one run; see `runtime.core.keys.Cleaner`.

    Attributes:
        counts: How often each rule replaced something, for a redaction report.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._highest = 0
        self.counts: dict[str, int] = {}

    @property
    def secrets(self) -> int:
        """How many distinct secrets were replaced."""
        return len(self._names)

    def suspects(self, encoded: bytes, *, shared: bool = False) -> bool:
        """Return whether a value of this JSON may hold a secret; if not, cleaning returns the same object.

        One look at all of a message; most hold nothing, and are then not walked.

        Args:
            encoded: The value's JSON.
            shared: Remember what was found, for tool schemas that all runs of an agent share.
        """
        return not _is_plain(encoded) if shared else may_hold_secret(encoded.decode("utf-8", "replace").lower())

    def text(self, text: str) -> str:
        """Return the text without secrets; the same object if there are none."""
        low = text.lower()
        return self._scrub(text, low) if is_suspect(low) else text

    def message(self, message: Message) -> Message:
        """Return the message without secrets; the same object if there are none."""
        for i, part in enumerate(message.parts):
            clean = self._part(part)
            if clean is not part:
                parts = [*message.parts[:i], clean, *map(self._part, message.parts[i + 1 :])]
                return Message(role=message.role, parts=tuple(parts))
        return message

    def value(self, value: Any) -> Any:
        """Return a JSON value without secrets; the same object if there are none."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return self._mapping(value)
            case list() | tuple():
                return self._items(value)
            case _:
                return value

    def headers(self, headers: Mapping[str, str | list[str]]) -> dict[str, str | list[str]]:
        """Return HTTP headers with the values of the deny-list replaced and shapes cleaned in the others."""
        clean: dict[str, str | list[str]] = {}
        for name, value in headers.items():
            hide = self._whole if name.lower() in HEADERS else self.text
            clean[name] = hide(value) if isinstance(value, str) else [hide(v) for v in value]
        return clean

    def _part(self, part: Part) -> Part:
        match part:
            case TextPart() | ReasoningPart() | RefusalPart():
                text = self.text(part.content)
                return part if text is part.content else msgspec.structs.replace(part, content=text)
            case ToolCallPart():
                arguments = self.value(part.arguments)
                return part if arguments is part.arguments else ToolCallPart(part.id, part.name, arguments)
            case ToolResponsePart():
                text = self.text(part.response)
                return part if text is part.response else ToolResponsePart(part.id, text)
            case FilePart():
                uri = None if part.uri is None else self.text(part.uri)
                return part if uri is part.uri else msgspec.structs.replace(part, uri=uri)

    def _mapping(self, value: dict[Any, Any]) -> dict[Any, Any]:
        changed = False
        clean: dict[Any, Any] = {}
        for key, item in value.items():
            name = self.text(key) if isinstance(key, str) else key
            secret = isinstance(key, str) and is_secret_field(key)
            new = self._field(item) if secret else self.value(item)
            changed = changed or new is not item or name is not key
            clean[name] = new
        return clean if changed else value

    def _items(self, value: Any) -> Any:
        clean = [self.value(item) for item in value]
        if all(new is old for new, old in zip(clean, value, strict=True)):
            return value
        return tuple(clean) if isinstance(value, tuple) else clean

    def _field(self, item: Any) -> Any:
        """Replace the text of a field that is secret by its name, also in a list."""
        if isinstance(item, str):
            return self._whole(item)
        if isinstance(item, list) and item and all(isinstance(entry, str) for entry in item):
            clean = [self._whole(entry) for entry in item]
            return item if clean == item else clean
        return self.value(item)

    def _whole(self, text: str) -> str:
        """Replace a whole value, keeping the scheme of an authorization."""
        scheme = next((len(s) for s in _SCHEMES if text[: len(s)].lower() == s), 0)
        secret = text[scheme:]
        if not secret.strip() or PSEUDONYM.fullmatch(secret):
            self._notice(secret)
            return text
        return text[:scheme] + self._name(secret, "field")

    def _scrub(self, text: str, low: str) -> str:
        self._notice(text)
        start = text[:64].lstrip()[:1]
        if start in {"{", "["}:
            inner = self._json_text(text)
            if inner is not None:
                return inner
        clean = text
        for _ in range(_PASSES):
            spans = _spans(clean, low)
            if not spans:
                break
            clean = self._replace(clean, spans)
            low = clean.lower()
        return text if clean == text else clean

    def _json_text(self, text: str) -> str | None:
        """Clean JSON inside a string by its structure; `None` if the text is no JSON."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        clean = self.value(value)
        if clean is value:
            return text
        separators = (", ", ": ") if '": ' in text else (",", ":")
        told = json.dumps(clean, ensure_ascii=False, separators=separators)
        return told if _is_encodable(told) else json.dumps(clean, separators=separators)

    def _replace(self, text: str, spans: list[_Span]) -> str:
        """Replace spans from left to right, so that numbers follow first appearance."""
        pieces: list[str] = []
        done = 0
        for start, end, _, rule in spans:
            if start >= done:
                pieces += (text[done:start], self._name(text[start:end], rule))
                done = end
        return "".join((*pieces, text[done:]))

    def _name(self, secret: str, rule: str) -> str:
        self.counts[rule] = self.counts.get(rule, 0) + 1
        known = self._names.get(secret)
        if known is None:
            self._highest += 1
            known = self._names[secret] = f"<secret#{self._highest}>"
        return known

    def _notice(self, text: str) -> None:
        if "<secret#" in text:
            numbers = [int(found["number"]) for found in PSEUDONYM.finditer(text) if found["number"]]
            self._highest = max([self._highest, *numbers])


@lru_cache(maxsize=64)
def _is_plain(encoded: bytes) -> bool:
    """Return whether cleaning a value would change nothing, in whichever run it stands."""
    if not may_hold_secret(encoded.decode("utf-8", "replace").lower()):
        return True
    # A pseudonym is no secret, but the numbers of a run go on above it.
    value = msgspec.json.decode(encoded)
    return b"<secret" not in encoded and Redactor().value(value) is value


def _is_encodable(text: str) -> bool:
    """Return whether text has no lone surrogate, which no file can hold unescaped."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _spans(text: str, low: str) -> list[_Span]:
    """Return where the rules find secrets, by place; of several at one place the first rule's comes first."""
    spans: list[_Span] = []
    for rank, shape in enumerate(_RULES):
        if shape.is_possible(low):
            for found in shape.pattern.finditer(text):
                group = found.lastgroup or 0
                if not PSEUDONYM.fullmatch(found[group]):
                    spans.append((found.start(group), found.end(group), rank, shape.name))
    spans.sort(key=lambda span: (span[0], span[2]))
    return spans


def looks_secret(data: bytes) -> str | None:
    """Return the name of the first shape found in bytes about to be written; `None` if they look clean.

    The tripwire behind the redactor: it looks for shapes alone, not for field names.
    """
    text = data.decode("utf-8", "replace")
    low = text.lower()
    if not is_suspect(low):
        return None
    for shape in SHAPES:
        for found in shape.pattern.finditer(text) if shape.is_possible(low) else ():
            secret = found["secret"] if "secret" in shape.pattern.groupindex else found[0]
            if not PSEUDONYM.fullmatch(secret):
                return shape.name
    return None


def refuse_secrets(data: bytes, header: Header, *, where: str) -> None:
    """Refuse bytes about to be written that look secret, unless the run was recorded without redaction.

    Raises:
        CassetteError: If a shape is found; the message names the shape, never the secret.
    """
    found = None if header.redaction == "none" else looks_secret(data)
    if found is not None:
        raise CassetteError(
            f"run {header.run_id!r} still looks secret ({found}); nothing was written",
            where=where,
            next_step="add a redaction rule, then record the run again",
        )
