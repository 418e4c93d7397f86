"""Find the secrets of a text: by rules, in encoded runs, and in strings of JSON up to a depth limit.

A text is scanned as bytes of UTF-8. Nothing is changed here; the caller replaces the spans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness.redaction.dropped import DROPPED
from harness.redaction.json_strings import Leaf, Offsets, decoded, leaves, looks_like_json
from harness.redaction.match_checks import accepted
from harness.redaction.pairs import NeighbourNames, hides_beside, table_cells
from harness.redaction.rules import CompiledRule, Ruleset
from harness.redaction.secret_fields import REPLAY_TOKENS, hides, is_password_field, looks_like_key
from harness.redaction.spelled import encoded_runs
from runtime.errors import DataError

PSEUDONYM = re.compile(r"<secret(?:#(?P<number>\d{1,9})|:[0-9a-zA-Z_-]{1,64})>")
_PSEUDONYM = re.compile(PSEUDONYM.pattern.encode())
MAX_DEPTH = 8
"""JSON inside strings of JSON."""
MAX_SPANS = 100_000
_BLOB_SIGNS = (b"+", b"/")
_BLOB = re.compile(rb"[A-Za-z0-9+/]{64}")
_VAULT = re.compile(rb'[A-Za-z_-]{0,40}[sS]ecrets"\s*:\s*\{')
"""A mapping of secrets by their names."""
_SCHEMES = (b"bearer ", b"basic ", b"token ", b"bot ", b"key ", b"apikey ")
_FIELD_RANK, _RUN_RANK, _LITERAL_RANK = -1, 1_000_000, -2
_MOST_REREAD = 256


class ScanError(DataError):
    """A text cannot be scanned within its limits."""


@dataclass(frozen=True, slots=True)
class Span:
    """A secret in a text.

    Attributes:
        start: First byte.
        end: Byte after the last.
        rank: Of overlapping spans that start together, the lowest rank names the finding.
        rule: What found it.
        secret: The secret itself, without escapes: what gets a pseudonym.
        quotes: What goes around a pseudonym that replaces a JSON number, escaped as its place asks.
    """

    start: int
    end: int
    rank: int
    rule: str
    secret: bytes
    quotes: bytes = b""


def find_secrets(data: bytes, rules: Ruleset, *, tripwire: bool = False, depth: int = 0) -> list[Span]:
    """Return the secrets of a text from left to right, not overlapping.

    Args:
        data: UTF-8.
        rules: What to look for.
        tripwire: Look for shapes alone: not for names of fields, nor inside JSON strings.
        depth: How many strings of JSON this text stands in.

    Raises:
        ScanError: If there are too many, or JSON is inside JSON too often.
    """
    gate = rules.wire if tripwire else rules.gate
    if not gate.test(data):
        return []
    spans = _literals(data, rules) + _by_rules(data, rules, tripwire) + _encoded(data, rules)
    if not tripwire and b"\n" in data:
        spans += _in_tables(data)
    if not tripwire and looks_like_json(data):
        spans = _in_json(data, rules, depth, spans)
    if len(spans) > MAX_SPANS:
        raise ScanError(f"more than {MAX_SPANS} findings in one text")
    return _merged(data, [span for span in spans if not is_pseudonym(span.secret)])


def is_pseudonym(secret: bytes) -> bool:
    """Return whether nothing but pseudonyms is left of a secret."""
    if b"<" not in secret:
        return False
    if DROPPED.fullmatch(secret):
        return True
    rest = _PSEUDONYM.split(secret)[:: _PSEUDONYM.groups + 1]
    return len(rest) > 1 and all(sum(map(str.isalnum, piece.decode("latin-1"))) < 4 for piece in rest)


def without_scheme(secret: bytes) -> int:
    """Return where the credential of an authorization value begins."""
    low = secret[:8].lower()
    return next((len(scheme) for scheme in _SCHEMES if low.startswith(scheme)), 0)


def _by_rules(data: bytes, rules: Ruleset, tripwire: bool) -> list[Span]:
    spans: list[Span] = []
    for one in rules.possible(data, tripwire=tripwire):
        if one.finder.test(data):
            spans += _by_rule(data, one)
    return spans


def _by_rule(data: bytes, one: CompiledRule) -> Iterator[Span]:
    needs, at = one.rule.needs, 0
    while at < len(data) and (found := one.finder.first(data, at)) is not None:
        start, end = next((found[n] for n in one.secrets if found[n][0] >= 0), found[0])
        name = None if one.name is None else data[slice(*found[one.name])]
        size = accepted(needs, data[start:end], name) if needs else end - start
        if size and not _in_blob(data, start):
            yield _whole_chars(data, start, start + size, one.rank, one.rule.id)
            at = max(start + size, at + 1)
        else:
            # What was taken for a value may be the next name: `key: password: ...`. A long one is passed over, or
            # the text would be read again and again.
            at = max(start if end - start <= _MOST_REREAD else end, found[0][0] + 1, at + 1)


def _in_blob(data: bytes, start: int) -> bool:
    """Return whether a match begins in the middle of base64, as of an image: chance, no key."""
    return (
        data[start - 1 : start] in _BLOB_SIGNS
        and _BLOB.fullmatch(data[max(start - 64, 0) : start]) is not None
    )


def _whole_chars(data: bytes, start: int, end: int, rank: int, rule: str) -> Span:
    """Return a span that ends between characters: a bounded repetition counts bytes."""
    while end < len(data) and data[end] & 0xC0 == 0x80:
        end += 1
    return Span(start, end, rank, rule, data[start:end])


def _literals(data: bytes, rules: Ruleset) -> list[Span]:
    spans = []
    for literal, value in rules.literals:
        at = data.find(literal)
        while at >= 0:
            spans.append(Span(at, at + len(literal), _LITERAL_RANK, "known_value", value))
            at = data.find(literal, at + len(literal))
    return spans


def _encoded(data: bytes, rules: Ruleset) -> list[Span]:
    """Return runs of base64, hex or escapes that say a secret."""
    return [
        Span(start, end, _RUN_RANK, "encoded", data[start:end])
        for start, end, texts in encoded_runs(data, rules)
        if any(_says_secret(text, rules) for text in texts)
    ]


def _in_tables(data: bytes) -> list[Span]:
    return [Span(start, end, _FIELD_RANK, "field", data[start:end]) for start, end in table_cells(data)]


def _says_secret(text: bytes, rules: Ruleset) -> bool:
    if not rules.wire.test(text):
        return False
    return bool(_by_rules(text, rules, True)) or any(literal in text for literal, _ in rules.literals)


def _in_json(data: bytes, rules: Ruleset, depth: int, spans: list[Span]) -> list[Span]:
    """Return what is found in JSON: in its strings as they read, and outside of them as it stands."""
    strings: list[tuple[int, int]] = []
    found: list[Span] = []
    pairing, vault_end = NeighbourNames(data), -1
    for leaf in leaves(data):
        strings.append((leaf.start, leaf.end))
        found += _in_leaf(leaf, rules, depth)
        if leaf.name is None and (vault := _VAULT.match(data, leaf.start)) is not None:
            vault_end = data.find(b"}", vault.end())
        if leaf.name is not None and leaf.end <= vault_end and looks_like_key(leaf.raw.decode("latin-1"), 8):
            found += _whole_leaf(leaf)
        pair = None if leaf.is_number else pairing.see(leaf)
        if pair is not None and hides_beside(pair[0], decoded(pair[1].raw).decode("utf-8", "replace")):
            found += _whole_leaf(pair[1])
    outside, at = [], 0
    for span in sorted(spans, key=lambda span: span.start):
        while at < len(strings) and strings[at][1] <= span.start:
            at += 1
        # What crosses the border of a string is no secret: a replacement would break the JSON.
        if at == len(strings) or span.end < strings[at][0]:
            outside.append(span)
    return found + outside


def _whole_leaf(leaf: Leaf) -> list[Span]:
    text = decoded(leaf.raw)
    begin = without_scheme(text)
    if not text[begin:].strip():
        return []
    start, end = Offsets(leaf.raw).span(begin, len(text))
    return [Span(leaf.start + start, leaf.start + end, _FIELD_RANK, "field", text[begin:])]


def _in_leaf(leaf: Leaf, rules: Ruleset, depth: int) -> list[Span]:
    if leaf.is_number:
        secret = leaf.name is not None and is_password_field(leaf.name)
        return [Span(leaf.start, leaf.end, _FIELD_RANK, "field", leaf.raw, b'"')] if secret else []
    if leaf.name in REPLAY_TOKENS:
        return []
    text = decoded(leaf.raw)
    if leaf.name is not None and hides(leaf.name, text.decode("utf-8", "replace")):
        start = without_scheme(text)
        if not text[start:].strip():
            return []
        inner = [Span(start, len(text), _FIELD_RANK, "field", text[start:])]
    elif depth + 1 >= MAX_DEPTH and looks_like_json(text) and rules.gate.test(text):
        raise ScanError(f"JSON inside JSON more than {MAX_DEPTH} times")
    else:
        inner = find_secrets(text, rules, depth=depth + 1)
    if not inner:
        return []
    offsets = Offsets(leaf.raw)
    spans = []
    for span in inner:
        start, end = offsets.span(span.start, span.end)
        quotes = span.quotes.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        spans.append(Span(leaf.start + start, leaf.start + end, span.rank, span.rule, span.secret, quotes))
    return spans


def _merged(data: bytes, spans: list[Span]) -> list[Span]:
    """Join spans that overlap: the first rule's name, and all that any of them covers."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, span.rank, -span.end)):
        last = merged[-1] if merged else None
        if last is None or span.start >= last.end:
            merged.append(span)
        elif span.end > last.end:
            merged[-1] = Span(
                last.start, span.end, last.rank, last.rule, data[last.start : span.end], last.quotes
            )
    return merged
