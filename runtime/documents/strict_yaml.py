"""Read one YAML document with a line for every node, refusing what two readers would read differently.

Theory of operation. Values are built from the events of `yaml_events`, which holds the limits before anything is
built. Scalars follow the core schema of YAML 1.2. Where YAML 1.1 means something else (`yes`, `12:30:45`, `0123`,
`1_000`) the document is refused with its line, because a test that means two things checks nothing.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import msgspec

from runtime.documents.yaml_events import YamlProblem, line_of, yaml_events

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
MAX_DIGITS = 400
"""Characters of a number: a longer one is no number that any field takes."""
MAX_NODES = 50_000
"""Nodes of the document, those an alias stands for counted each time."""

NodePath = tuple[str | int, ...]

_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_OLD_BOOLS = frozenset({"yes", "no", "on", "off"})
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_OCTAL = re.compile(r"[-+]?0o?[0-9_]+\Z|[-+]?0b[01_]+\Z")
_GROUPED = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?\Z|0x[0-9a-fA-F_]+_[0-9a-fA-F_]*\Z")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")


class Lines(msgspec.Struct, frozen=True):
    """The line of a node, from 1, and the lines of what is in it."""

    line: int
    children: dict[str | int, Lines] | None = None

    def at(self, path: NodePath) -> int:
        """Return the line of the deepest node that stands on a path."""
        node = self
        for part in path:
            found = None if node.children is None else node.children.get(part)
            if found is None:
                break
            node = found
        return node.line


class YamlDocument(msgspec.Struct, frozen=True):
    """A document's value and the lines of its nodes."""

    value: Any
    lines: Lines


class _Open(msgspec.Struct):
    """A collection whose end has not come yet."""

    value: Any
    lines: Lines
    anchor: str | None
    key: str | None = None
    key_line: int = 0


class _Anchor(msgspec.Struct, frozen=True):
    """What an alias stands for."""

    value: Any
    lines: Lines


def read_yaml(data: bytes, *, max_bytes: int = MAX_BYTES) -> YamlDocument:
    """Return the one document that some bytes hold.

    Args:
        data: The file's content.
        max_bytes: Most bytes of it.

    Raises:
        YamlProblem: If the bytes are no single, unambiguous YAML document within the limits.
    """
    if len(data) > max_bytes:
        what = f"the file has {len(data):,} bytes, more than {max_bytes:,}"
        raise YamlProblem(what, None, "split it, or keep large values in files beside it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte {data[error.start]:#04x} is not UTF-8"
        raise YamlProblem(what, line, "save the file as UTF-8") from error
    return _Builder().build(_joined(text))


def _joined(text: str) -> str:
    """Return a JSON text with each surrogate pair as the one character that it stands for.

    JSON has no other escape for it, and YAML has none of that kind. In a text that is JSON, each such escape stands
    in a quoted text, so nothing else is changed; what is no JSON is left to YAML's rules.
    """
    if _SURROGATES.search(text) is None:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _SURROGATES.sub(_one_character, text)


def _one_character(pair: re.Match[str]) -> str:
    high, low = int(pair[2], 16), int(pair[3], 16)
    return f"{pair[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


class _Builder:
    """Builds one document from its events."""

    def __init__(self) -> None:
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchor] = {}
        self._root: YamlDocument | None = None

    def build(self, text: str) -> YamlDocument:
        for event in yaml_events(text, max_depth=MAX_DEPTH, max_nodes=MAX_NODES):
            self._take(event)
        assert self._root is not None, "a document that ends has a value"
        return self._root

    def _take(self, event: Any) -> None:
        match type(event).__name__:
            case "ScalarEvent":
                line = line_of(event)
                _check_tag(event, line)
                quoted = not event.implicit[0] if event.tag is None else event.tag.endswith(":str")
                parent = self._awaits_key()
                if parent is not None:
                    _open_key(parent, event.value, line, quoted=quoted)
                    if event.anchor is not None:
                        self._anchors[event.anchor] = _Anchor(parent.key, Lines(line))
                    return
                value = event.value if quoted else plain_value(event.value, line)
                self._add(value, Lines(line), event.anchor)
            case "MappingStartEvent":
                self._open({}, event)
            case "SequenceStartEvent":
                self._open([], event)
            case "AliasEvent":
                if self._awaits_key() is not None:
                    raise YamlProblem("an alias stands as a key", line_of(event), "write the key out")
                found = self._anchors[event.anchor]
                self._add(found.value, found.lines, None)
            case _:
                done = self._stack.pop()
                self._add(done.value, done.lines, done.anchor)

    def _awaits_key(self) -> _Open | None:
        """Return the object whose next node is a key."""
        parent = self._stack[-1] if self._stack else None
        return parent if parent is not None and type(parent.value) is dict and parent.key is None else None

    def _open(self, value: Any, event: Any) -> None:
        line = line_of(event)
        _check_tag(event, line)
        if self._awaits_key() is not None:
            raise YamlProblem("a key is a list or an object", line, "use text as keys")
        self._stack.append(_Open(value, Lines(line, {}), event.anchor))

    def _add(self, value: Any, lines: Lines, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = _Anchor(value, lines)
        if not self._stack:
            self._root = YamlDocument(value, lines)
            return
        parent = self._stack[-1]
        children = parent.lines.children
        assert children is not None
        if type(parent.value) is list:
            children[len(parent.value)] = lines
            parent.value.append(value)
            return
        assert parent.key is not None
        children[parent.key] = Lines(parent.key_line, lines.children)
        parent.value[parent.key] = value
        parent.key = None


def _open_key(parent: _Open, text: str, line: int, *, quoted: bool) -> None:
    key = text if quoted else plain_value(text, line)
    if not isinstance(key, str):
        raise YamlProblem(f"key {text!r} is not text", line, f'quote it: "{text}"')
    if key == "<<" and not quoted:
        raise YamlProblem("merge keys (<<) are not read", line, "write the fields out")
    known = (parent.lines.children or {}).get(key)
    if known is not None:
        what = f"field {key!r} stands twice, first in line {known.line}"
        raise YamlProblem(what, line, "keep one of them")
    parent.key, parent.key_line = key, line


def _check_tag(event: Any, line: int) -> None:
    if event.tag is not None and event.tag not in _PLAIN_TAGS:
        raise YamlProblem(f"tag {event.tag!r} is not read", line, "write the plain value")


_PLAIN_TAGS = frozenset({"!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89aAbB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def plain_value(text: str, line: int) -> Any:
    """Return the value of an unquoted scalar by the core schema of YAML 1.2.

    Raises:
        YamlProblem: If YAML 1.1 gives the text another meaning, or JSON has no form for it.
    """
    if text in _NULLS:
        return None
    first = text[0]
    if first.isalpha():
        if text in _BOOLS:
            return _BOOLS[text]
        if text.lower() in _OLD_BOOLS:
            meant = "true" if text.lower() in {"yes", "on"} else "false"
            what = f"{text} without quotes is a boolean to some YAML readers and text to others"
            raise YamlProblem(what, line, f'write {meant}, or "{text}" if text is meant')
        return text
    if first not in "-+.0123456789":
        return text
    if len(text) > MAX_DIGITS and (_INT.match(text) or _HEX.match(text) or _FLOAT.match(text)):
        what = f"a number of {len(text):,} characters, more than {MAX_DIGITS}"
        raise YamlProblem(what, line, "quote it if text is meant")
    if _INT.match(text):
        return int(text)
    _refuse_old_number(text, line)
    if _HEX.match(text):
        return int(text, 16)
    if _FLOAT.match(text) is None:
        return text
    if math.isinf(number := float(text)):
        raise YamlProblem(f"{text} is too large for a number", line, "quote it if text is meant")
    return number


def _refuse_old_number(text: str, line: int) -> None:
    def refuse(what: str) -> NoReturn:
        raise YamlProblem(f"{text} without quotes {what}", line, f'write "{text}" if text is meant')

    if _SEXAGESIMAL.match(text):
        refuse("is a number to base 60 to some YAML readers and text to others")
    if _OCTAL.match(text):
        refuse("is an octal or binary number to some YAML readers and not to others")
    if _GROUPED.match(text):
        refuse("is a number to some YAML readers and text to others")
    if _SPECIAL.match(text):
        refuse("is no JSON number")
