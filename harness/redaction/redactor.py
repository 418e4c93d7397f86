"""The redactor of one run: secrets become pseudonyms before anything is hashed or written.

Rules.
1. Each distinct secret has one pseudonym: `<secret#n>` by first appearance in the run, or `<secret:hex>` under a
   key. Pseudonyms of either form are left alone, so redacted data replays as it is.
2. What was looked at is either written without its secrets or not at all: a text beyond the limits becomes
   `<dropped:sha256:...>`.
3. A value without secrets is returned as the same object, after one look: the gate (see `rules`).
4. What was hidden once is hidden from then on in every form, also before its place in the same value; see `memory`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.redaction.dropped import DROPPED, dropped_bytes, dropped_value
from harness.redaction.edits import TextEdit, edit_pieces
from harness.redaction.known import known_credentials, literal_forms
from harness.redaction.memory import SecretMemory
from harness.redaction.pseudonyms import Keyed, Numbers, redaction_key, renumbered
from harness.redaction.rules import Ruleset, ruleset
from harness.redaction.scan import PSEUDONYM, ScanError, find_secrets, is_pseudonym, without_scheme
from harness.redaction.secret_fields import (
    HEADERS,
    Secrecy,
    hides,
    is_password_field,
    is_secret_header,
    secrecy,
)
from harness.redaction.tripwire import first_found
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
from runtime.errors import UsageError

__all__ = [
    "HEADERS",
    "PSEUDONYM",
    "Redactor",
    "is_secret_header",
    "known_credentials",
    "process_redactor",
    "redaction_key",
]

RULES_VARIABLE = "GOLDRUN_REDACTION_RULES"
MAX_BODY_BYTES = 32 << 20
MAX_NESTING = 200
"""Levels of lists and mappings; a limit of our own, since the interpreter's depends on the caller's stack."""
_LEAST_CHARS = 8
"""No rule fits a shorter text."""
_NOT_KEPT = frozenset({"encoded", "known_value", "private_key"})
"""Rules whose findings are no values of their own: runs that hold one, and what is sought everywhere already."""
_PASSES = 4
"""A replacement may lay bare a secret that overlapped it."""


class Redactor:
    """Takes secrets out of the values of one run; see `runtime.core.keys.Cleaner`.

    Attributes:
        counts: How often each rule replaced something, for a redaction report; `dropped` counts what was left out.
        key_id: Names the key of keyed pseudonyms; `None` for numbers.
    """

    def __init__(
        self,
        *,
        rules: str | Path | Ruleset | None = None,
        known: Iterable[str] = (),
        personal_data: bool = False,
        pseudonyms: Literal["numbered", "keyed"] = "numbered",
        key: bytes | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """Make a redactor.

        Args:
            rules: File of further rules; or rules that were made ready, with their known values.
            known: Values that are secret by themselves, found in any encoding; those below 8 bytes are ignored.
            personal_data: Look for e-mail addresses, phone numbers, IBANs and payment cards too.
            pseudonyms: Numbers within the run, or names under a key.
            key: The key; see `redaction_key`.
            max_body_bytes: Longer texts are dropped.

        Raises:
            UsageError: If the rules are wrong, or `keyed` comes without a key.
        """
        if (pseudonyms == "keyed") != (key is not None):
            raise UsageError(
                "keyed pseudonyms need a key, and numbered ones have none", next_step="pass both or neither"
            )
        # The rules of most runs are the same object, compiled once.
        if isinstance(rules, Ruleset):
            self._rules = rules
        elif rules or known or personal_data:
            self._rules = _rules_of(rules, known, personal_data)
        else:
            self._rules = ruleset()
        self._gate = self._rules.gate.test
        self._names: Numbers | Keyed = Numbers() if key is None else Keyed(key)
        self._memory = SecretMemory()
        self._max_bytes = max_body_bytes
        self.key_id: str | None = None if key is None else Keyed(key).key_id
        self.counts: dict[str, int] = {}

    @property
    def secrets(self) -> int:
        """How many distinct secrets were replaced."""
        return len(self._names.names)

    def suspects(self, encoded: bytes, *, shared: bool = False) -> bool:
        """Return whether a value of this JSON may hold a secret; if not, cleaning returns the same object.

        One look at all of a message; most hold nothing, and are then not walked.

        Args:
            encoded: The value's JSON.
            shared: Remember what was found, for tool schemas that all runs of an agent share.
        """
        if len(encoded) > self._max_bytes:
            return True
        if b"<secret#" in encoded:
            # No secret, but the numbers of a run go on above it.
            return True
        if shared:
            self._memory.spare(encoded)
        found = not _is_plain(self._rules, encoded) if shared else self._gate(encoded)
        return found or self._memory.stands_in(encoded)

    def learned(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return each form of the values hidden since the last call, with its pseudonym; longer forms first."""
        return self._memory.fresh()

    def text(self, text: str) -> str:
        """Return the text without secrets; the same object if there are none."""
        if len(text) < _LEAST_CHARS:
            return text
        data = text.encode("utf-8", "surrogatepass")
        if len(data) <= self._max_bytes and self._is_plain(data):
            self._names.notice(text)
            return text
        clean = self._scrub([data])[0]
        return text if clean == data else clean.decode("utf-8", "surrogatepass")

    def message(self, message: Message) -> Message:
        """Return the message without secrets; the same object if there are none."""
        known = len(self._memory)
        clean = self._message(message)
        return clean if len(self._memory) == known else self._message(clean)

    def value(self, value: Any) -> Any:
        """Return a JSON value without secrets; the same object if there are none."""
        known = len(self._memory)
        clean = self._value(value, 0)
        # What was recognised late in the value may stand in an earlier part of it.
        return clean if len(self._memory) == known else self._value(clean, 0)

    def _message(self, message: Message) -> Message:
        for i, part in enumerate(message.parts):
            clean = self._part(part)
            if clean is not part:
                parts = [*message.parts[:i], clean, *map(self._part, message.parts[i + 1 :])]
                return Message(role=message.role, parts=tuple(parts))
        return message

    def headers(self, headers: Mapping[str, str | list[str]]) -> dict[str, str | list[str]]:
        """Return HTTP headers with the values of the deny-list replaced and shapes cleaned in the others."""
        known = len(self._memory)
        clean = self._deny_listed(headers)
        return clean if len(self._memory) == known else self._deny_listed(clean)

    def _deny_listed(self, headers: Mapping[str, str | list[str]]) -> dict[str, str | list[str]]:
        clean: dict[str, str | list[str]] = {}
        for name, value in headers.items():
            hide = self._whole if is_secret_header(name) else self.text
            clean[name] = hide(value) if isinstance(value, str) else [hide(v) for v in value]
        return clean

    def redact_chunks(self, chunks: Sequence[str]) -> list[str]:
        """Return the pieces of one text without secrets, also those split over pieces.

        Pieces keep their number, their borders and all other characters; a pseudonym stands in the piece where its
        secret began. A text that is dropped leaves its mark in the first piece.
        """
        pieces = [chunk.encode("utf-8", "surrogatepass") for chunk in chunks]
        data = b"".join(pieces)
        if len(data) <= self._max_bytes and self._is_plain(data):
            self._names.notice("".join(chunks))
            return list(chunks)
        return [piece.decode("utf-8", "surrogatepass") for piece in self._scrub(pieces)]

    def error_text(self, error: BaseException) -> str:
        """Return the traceback of an exception without secrets."""
        import traceback

        return self.text("".join(traceback.format_exception(error)))

    def renumber(self, value: Any) -> Any:
        """Return a JSON value with keyed pseudonyms as numbers, by first appearance; for golden files.

        Numbers that are there stay; new ones go on above them, so let it see values in their order.
        """
        if not isinstance(self._names, Numbers):
            raise UsageError("only a redactor with numbered pseudonyms renumbers")
        return renumbered(value, self._names)

    def looks_secret(self, data: bytes) -> str | None:
        """Return the name of the first rule that finds something in bytes about to be written; see `looks_secret`."""
        return first_found(data, self._rules) or ("hidden_value" if self._memory.stands_in(data) else None)

    def _is_plain(self, data: bytes) -> bool:
        return not self._gate(data) and not self._memory.stands_in(data)

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if not isinstance(value, dict | list | tuple):
            return value
        if depth >= MAX_NESTING:
            self._count("dropped")
            return dropped_value(value)
        return self._mapping(value, depth + 1) if isinstance(value, dict) else self._items(value, depth + 1)

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

    def _mapping(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        changed = False
        clean: dict[Any, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                name, new = key, self._value(item, depth)
            else:
                name = self.text(key)
                if secrecy(key) is not Secrecy.NONE:
                    new = self._field(key, item, depth)
                elif isinstance(item, dict) and key.lower() in {"headers", "header", "cookies"}:
                    new = self._headers(item, depth)
                else:
                    new = self._value(item, depth)
            changed = changed or new is not item or name is not key
            clean[name] = new
        return clean if changed else value

    def _headers(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        """Clean a mapping that is headers by its name; what is in it still is any JSON."""
        clean = {
            key: self._whole_item(item, depth)
            if isinstance(key, str) and is_secret_header(key)
            else self._value(item, depth)
            for key, item in value.items()
        }
        return value if all(clean[key] is value[key] for key in value) else clean

    def _items(self, value: Any, depth: int) -> Any:
        clean = [self._value(item, depth) for item in value]
        if all(new is old for new, old in zip(clean, value, strict=True)):
            return value
        return tuple(clean) if isinstance(value, tuple) else clean

    def _field(self, name: str, item: Any, depth: int) -> Any:
        """Replace what stands in a field whose name says secret, also in a list."""
        if isinstance(item, str):
            return self._whole(item) if hides(name, item) else self.text(item)
        if isinstance(item, int) and not isinstance(item, bool):
            return self._whole(str(item)) if abs(item) >= 1000 and is_password_field(name) else item
        if secrecy(name) is Secrecy.HARD:
            return self._whole_item(item, depth)
        return self._value(item, depth)

    def _whole_item(self, item: Any, depth: int) -> Any:
        if isinstance(item, str):
            return self._whole(item)
        if isinstance(item, list) and item and all(isinstance(entry, str) for entry in item):
            clean = [self._whole(entry) for entry in item]
            return item if clean == item else clean
        return self._value(item, depth)

    def _whole(self, text: str) -> str:
        """Replace a whole value, keeping the scheme of an authorization."""
        data = text.encode("utf-8", "surrogatepass")
        scheme = without_scheme(data)
        secret = data[scheme:]
        if not secret.strip() or is_pseudonym(secret):
            self._names.notice(text)
            return text
        return text[:scheme] + self._name(secret, "field")

    def _scrub(self, pieces: list[bytes]) -> list[bytes]:
        """Return the pieces of a text without the secrets of the whole."""
        for _ in range(_PASSES):
            edits = self._edits(b"".join(pieces))
            if not edits:
                break
            pieces = edit_pieces(pieces, edits)
        copies = self._memory.edits(b"".join(pieces))
        for _ in copies:
            self._count("hidden_value")
        return edit_pieces(pieces, copies) if copies else pieces

    def _edits(self, data: bytes) -> list[TextEdit]:
        """Return what is to be replaced in a text, from left to right, so that numbers follow first appearance."""
        if len(data) > self._max_bytes:
            return self._drop(data)
        if b"<secret#" in data:
            self._names.notice(data.decode("utf-8", "replace"))
        try:
            spans = find_secrets(data, self._rules)
        except (ScanError, RecursionError, MemoryError, ValueError):
            return self._drop(data)
        return [
            TextEdit(
                span.start, span.end, span.quotes + self._name(span.secret, span.rule).encode() + span.quotes
            )
            for span in spans
        ]

    def _drop(self, data: bytes) -> list[TextEdit]:
        if DROPPED.fullmatch(data):
            return []
        self._count("dropped")
        return [TextEdit(0, len(data), dropped_bytes(data))]

    def _name(self, secret: bytes, rule: str) -> str:
        self._count(rule)
        name = self._names.name(secret)
        if rule not in _NOT_KEPT:
            self._memory.keep(secret, name)
        return name

    def _count(self, rule: str) -> None:
        self.counts[rule] = self.counts.get(rule, 0) + 1


def process_redactor(environ: Mapping[str, str], **options: Any) -> Redactor:
    """Return a redactor that knows a process's credentials and rules; for entry points, which read the environment.

    Args:
        environ: Variables whose names look secret give known values; `GOLDRUN_REDACTION_RULES` names a file.
        options: As for `Redactor`; `known` values are added to those found.

    Raises:
        UsageError: As `Redactor`.
    """
    known = (*options.pop("known", ()), *known_credentials(environ))
    rules = options.pop("rules", None) or environ.get(RULES_VARIABLE) or None
    return Redactor(rules=rules, known=known, **options)


def _rules_of(rules: str | Path | None, known: Iterable[str], personal_data: bool) -> Ruleset:
    return ruleset(
        None if rules is None else str(rules), literals=literal_forms(known), personal=personal_data
    )


@lru_cache(maxsize=64)
def _is_plain(rules: Ruleset, encoded: bytes) -> bool:
    """Return whether cleaning a value would change nothing, in whichever run it stands."""
    if not rules.gate.test(encoded):
        return True
    value = msgspec.json.decode(encoded)
    return Redactor(rules=rules).value(value) is value
