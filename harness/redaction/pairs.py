"""Names beside their value: `{"name": "x-api-key", "value": v}`, `["X-Api-Key", v]`, tables with a header."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.redaction.json_strings import Leaf, decoded
from harness.redaction.secret_fields import Secrecy, hides, is_secret_header, secrecy

LABELS = frozenset({"name", "key", "header", "field", "variable", "param", "parameter"})
VALUES = frozenset({"value", "val", "values", "secret_value"})
COOKIES = frozenset({"cookie", "set-cookie"})
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_COOKIE_ATTRIBUTES = frozenset({"path", "domain", "expires", "max-age", "samesite", "priority"})
_FAR = 200
"""Bytes of JSON between a name and its value, at most."""
_MAX_COLUMNS = 100
_MAX_LINE = 4096
_SEPARATORS = ("|", "\t", ",", ";")
_TRIM = " \t\"'`|"


def names_secret(name: str) -> bool:
    """Return whether the value beside a name is a secret."""
    return _PLAIN_NAME.fullmatch(name) is not None and (
        secrecy(name) is not Secrecy.NONE or is_secret_header(name)
    )


def hides_beside(name: str, value: str) -> bool:
    """Return whether a value is secret beside this name."""
    return names_secret(name) and (hides(name, value) or is_secret_header(name))


def hide_cookies(text: str, whole: Callable[[str], str]) -> str:
    """Hide the values of a cookie header: a client that reads it again must find cookies."""
    if "=" not in text:
        return whole(text)
    clean = []
    for number, cookie in enumerate(text.split(";")):
        name, sign, value = cookie.partition("=")
        attribute = number > 0 and name.strip().lower() in _COOKIE_ATTRIBUTES
        clean.append(cookie if attribute or not sign else f"{name}={whole(value)}")
    return ";".join(clean)


def value_field(item: Mapping[Any, Any]) -> tuple[str, str] | None:
    """Return the name of a mapping that is a pair, if it says secret, and the field of its value."""
    if len(item) > 8:
        return None
    labels = [v for k, v in item.items() if isinstance(k, str) and k.lower() in LABELS and isinstance(v, str)]
    if len(labels) != 1 or not names_secret(labels[0]):
        return None
    field = next((k for k in item if isinstance(k, str) and k.lower() in VALUES), None)
    return None if field is None else (labels[0], field)


def listed_name(item: Sequence[Any]) -> str | None:
    """Return the name of a list that is a pair of a name and a text, if it says secret."""
    if len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], str) and names_secret(item[0]):
        return item[0]
    return None


class NeighbourNames:
    """Finds pairs among the strings of JSON, shown one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._label: Leaf | None = None
        self._value: Leaf | None = None
        self._last: Leaf | None = None

    def see(self, leaf: Leaf) -> tuple[str, Leaf] | None:
        """Take the next string; return a name and the string it belongs to, this one or the one before."""
        last, self._last = self._last, leaf
        if leaf.name is None:
            return self._listed(last, leaf)
        field = leaf.name.lower()
        if field in LABELS:
            self._label = leaf
            return self._joined(leaf, self._value)
        if field in VALUES:
            self._value = leaf
            return self._joined(self._label, leaf)
        return None

    def _joined(self, label: Leaf | None, value: Leaf | None) -> tuple[str, Leaf] | None:
        if label is None or value is None:
            return None
        between = self._data[min(label.end, value.end) : max(label.start, value.start)]
        if len(between) > _FAR or b"{" in between or b"}" in between:
            return None
        return _text(label), value

    def _listed(self, last: Leaf | None, leaf: Leaf) -> tuple[str, Leaf] | None:
        if last is None or last.is_number or leaf.start - last.end > _FAR:
            return None
        data = self._data
        alone = data[last.end + 1 : leaf.start - 1].strip() == b","
        opened = data[max(last.start - 20, 0) : last.start - 1].rstrip().endswith(b"[")
        closed = data[leaf.end + 1 : leaf.end + 20].lstrip().startswith(b"]")
        return (_text(last), leaf) if alone and opened and closed else None


def _text(leaf: Leaf) -> str:
    return decoded(leaf.raw).decode("utf-8", "replace")


_TITLE = re.compile(
    rb"(?im)^[^\r\n]{0,2000}?(?:password|passwd|passphrase|secret|token|key|pin|cvv)[\"' ]{0,4}(?:[,;|\t]|\r?$)"
)


def table_cells(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the cells under a secret title of tables in CSV, TSV and Markdown."""
    at = 0
    while (found := _TITLE.search(data, at)) is not None:
        end = data.find(b"\n", found.end() - 1)
        if end < 0:
            return
        at = end + 1
        line = data[found.start() : end]
        separator = _separator(line)
        if separator is not None:
            columns = _secret_columns(line, separator)
            if columns:
                yield from _cells(data, at, separator, line.count(separator), columns)


def _separator(line: bytes) -> bytes | None:
    if len(line) > _MAX_LINE:
        return None
    return next((s.encode() for s in _SEPARATORS if 0 < line.count(s.encode()) <= _MAX_COLUMNS), None)


def _secret_columns(line: bytes, separator: bytes) -> dict[int, str]:
    titles = [title.decode("utf-8", "replace").strip(_TRIM + "\r") for title in line.split(separator)]
    if any(len(title) > 40 for title in titles):
        return {}
    return {n: title for n, title in enumerate(titles) if title and names_secret(title.replace(" ", "_"))}


def _cells(
    data: bytes, at: int, separator: bytes, width: int, columns: dict[int, str]
) -> Iterator[tuple[int, int]]:
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line = data[at:end]
        if line.count(separator) != width:
            return
        start = at
        for number, cell in enumerate(line.split(separator)):
            inner = cell.decode("latin-1").strip(_TRIM + "\r").encode("latin-1")
            name = columns.get(number)
            if name is not None and inner.strip(b"-: ") and hides(name, inner.decode("utf-8", "replace")):
                begin = start + cell.find(inner)
                yield begin, begin + len(inner)
            start += len(cell) + len(separator)
        at = end + 1
