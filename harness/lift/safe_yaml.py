"""Parse foreign YAML safely: limits on size, depth and aliases, and plain values only.

Theory of operation. `yaml_events` parses the text and holds the limits. Values are built from its events with an
explicit stack, so deep nesting cannot exhaust the interpreter's stack. An alias refers to the same value and is never
copied, so a small file cannot expand to a large one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from harness.errors import ImportFailed
from runtime.documents.yaml_events import YamlProblem, line_of, yaml_events

MAX_DEPTH = 200
MAX_NODES = 5_000_000
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({_TAG + "str", _TAG + "python/unicode", _TAG + "python/str", "!"})
_BINARY_TAGS = frozenset({_TAG + "binary", "!binary"})
_COLLECTION_TAGS = frozenset({None, "!", _TAG + "seq", _TAG + "map"})
_RUBY_TEXTS = ("!ruby/string", "!ruby/sym", "!str:")
_RUBY_COLLECTIONS = ("!ruby/hash", "!ruby/array", "!map:", "!seq:")
"""Tags by which Ruby marks its own kinds of mappings and lists, for example headers."""
_NEXT = "check the file with a YAML linter, or record it again"
_MISSING = object()
_PLAIN: dict[str, Any] = {}
"""Cache of the values of short plain scalars, because names and values of headers repeat in every file."""
_MOST_PLAIN = 50_000
_SHORT = 60


def parse_yaml(data: bytes, *, where: str) -> Any:
    """Return the only document of a YAML (or JSON) text.

    Timestamps stay text; `!!binary`, and Ruby's `!binary`, become bytes.

    Raises:
        ImportFailed: If it is damaged or too deep, holds more nodes than the limit with its aliases expanded, or uses a
            tag that is not for plain values.
    """
    try:
        return _Builder(where).build(yaml_events(data, max_depth=MAX_DEPTH, max_nodes=MAX_NODES))
    except YamlProblem as problem:
        place = where if problem.line is None else f"{where}:{problem.line}"
        raise ImportFailed(problem.what, where=place, next_step=_NEXT) from problem


class _Open:
    """An open collection."""

    __slots__ = ("anchor", "is_list", "key", "value")

    def __init__(self, value: Any, anchor: str | None, *, is_list: bool) -> None:
        self.value = value
        self.anchor = anchor
        self.is_list = is_list
        self.key: Any = _MISSING


class _Builder:
    """Builds one value from events. The loop in `build` runs once for each scalar, so it makes few calls."""

    def __init__(self, where: str) -> None:
        from yaml import events
        from yaml.resolver import Resolver

        self._events = events
        self._where = where
        self._stack: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._resolvers = Resolver.yaml_implicit_resolvers
        if len(_PLAIN) > _MOST_PLAIN:
            _PLAIN.clear()
        self._root: Any = _MISSING

    def build(self, found: Iterator[Any]) -> Any:
        """Return the document of the events."""
        plain, stack, scalar = _PLAIN, self._stack, self._events.ScalarEvent
        for event in found:
            if type(event) is not scalar:
                self._structure(event)
                continue
            if event.tag is not None:
                value = self._tagged(event)
            elif not event.implicit[0]:
                value = event.value
            elif (value := plain.get(event.value, _MISSING)) is _MISSING:
                value = self._implicit(event.value)
            if event.anchor is not None:
                self._anchors[event.anchor] = value
            if not stack:
                self._root = value
                continue
            top = stack[-1]
            if top.is_list:
                top.value.append(value)
            elif top.key is _MISSING:
                top.key = value
            else:
                top.value[top.key] = value
                top.key = _MISSING
        return self._root

    def _structure(self, event: Any) -> None:
        """Take an alias, or the start or end of a collection."""
        events, kind = self._events, type(event)
        if kind is events.MappingStartEvent:
            self._open({}, event, is_list=False)
        elif kind is events.SequenceStartEvent:
            self._open([], event, is_list=True)
        elif kind is events.AliasEvent:
            self._put(self._anchors[event.anchor], event)
        else:
            closed = self._stack.pop()
            if closed.anchor is not None:
                self._anchors[closed.anchor] = closed.value
            self._put(closed.value, event)

    def _open(self, value: Any, event: Any, *, is_list: bool) -> None:
        if event.tag not in _COLLECTION_TAGS and not event.tag.startswith(_RUBY_COLLECTIONS):
            raise self._refusal(f"tag {event.tag!r} is no plain value", event)
        self._stack.append(_Open(value, event.anchor, is_list=is_list))

    def _put(self, value: Any, event: Any) -> None:
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        if top.is_list:
            top.value.append(value)
        elif top.key is _MISSING:
            if isinstance(value, (dict, list)):
                raise self._refusal("a mapping key is no scalar", event)
            top.key = value
        else:
            top.value[top.key] = value
            top.key = _MISSING

    def _tagged(self, event: Any) -> Any:
        """Return the value of a scalar with an explicit tag."""
        tag, value = event.tag, event.value
        if tag in _TEXT_TAGS or tag.startswith(_RUBY_TEXTS):
            return value
        if tag in _BINARY_TAGS:
            try:
                return base64.b64decode(value)
            except (binascii.Error, ValueError) as error:
                raise self._refusal(f"binary text is no base64: {error}", event) from error
        if tag.startswith(_TAG) and tag.removeprefix(_TAG) in _SCALARS:
            return self._convert(tag.removeprefix(_TAG), value, event)
        raise self._refusal(f"tag {tag!r} is no plain value", event)

    def _implicit(self, value: str) -> Any:
        """Return the value of a plain scalar; values of short ones are cached."""
        meaning: Any = value
        for tag, pattern in self._resolvers.get(value[:1], ()):
            if pattern.match(value):
                name = tag.removeprefix(_TAG)
                meaning = self._convert(name, value, None) if name in _SCALARS else value
                break
        if len(value) <= _SHORT:
            _PLAIN[value] = meaning
        return meaning

    def _convert(self, name: str, value: str, event: Any) -> Any:
        try:
            return _SCALARS[name](value)
        except (ValueError, KeyError) as error:
            if event is None:
                return value
            raise self._refusal(f"{value!r} is no {name}", event) from error

    def _refusal(self, what: str, event: Any) -> ImportFailed:
        return ImportFailed(what, where=f"{self._where}:{line_of(event)}", next_step=_NEXT)


def _integer(text: str) -> int | str:
    """Return a whole number. Sexagesimals and octals without `o` stay text: they are mostly times and codes."""
    plain = text.replace("_", "").lstrip("+")
    digits = plain.removeprefix("-")
    if ":" in plain or len(digits) > 4_000 or (digits.startswith("0") and digits.isdigit() and digits != "0"):
        return text
    return int(plain, 0)


def _number(text: str) -> float | str:
    """Return a number; sexagesimals stay text."""
    plain = text.replace("_", "").lower()
    if ":" in plain:
        return text
    return float(plain.replace(".inf", "inf").replace(".nan", "nan"))


_BOOLS = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False}
_SCALARS: dict[str, Any] = {
    "null": lambda text: None,
    "bool": lambda text: _BOOLS[text.lower()],
    "int": _integer,
    "float": _number,
}
