"""The forms in which a secret may be written: raw, base64, hex, URL and JSON escapes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

LEAST_CHARS = 8
"""Shorter values are left alone: they stand in ordinary words."""


def literal_forms(values: Iterable[str]) -> tuple[tuple[bytes, bytes], ...]:
    """Return each form of each value with the value; longer forms first.

    Base64 comes in three forms, by where in a group of three bytes the value begins, so that it is found inside
    of more encoded text (`user:key`) too.
    """
    forms: dict[bytes, bytes] = {}
    for value in values:
        raw = value.encode("utf-8", "surrogatepass")
        if len(raw) < LEAST_CHARS:
            continue
        for form in _forms(value, raw):
            forms.setdefault(form, raw)
    return tuple(sorted(forms.items(), key=lambda item: (-len(item[0]), item[0])))


def _forms(value: str, raw: bytes) -> Iterable[bytes]:
    text = raw.decode("utf-8", "surrogatepass")
    yield raw
    for plain in (True, False):
        escaped = json.dumps(value, ensure_ascii=plain)[1:-1].encode("utf-8", "surrogatepass")
        yield escaped
        # A value inside JSON that stands in a string of JSON is escaped twice.
        yield escaped.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    if text.isprintable() or "\n" in text:
        for url in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
            yield url.encode()
            yield _small_escapes(url).encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield from _base64(raw)


def _base64(raw: bytes) -> Iterable[bytes]:
    for shift in range(3):
        # The first and last characters also hold bits of the neighbours.
        text = base64.b64encode(b"\0" * shift + raw)
        start = (0, 2, 3)[shift]
        whole = (shift + len(raw)) * 8 // 6
        inner = text[start:whole]
        if len(inner) >= LEAST_CHARS:
            yield inner
            yield inner.replace(b"+", b"-").replace(b"/", b"_")


def _small_escapes(url: str) -> str:
    """Return a URL's `%2F` as `%2f`."""
    pieces = url.split("%")
    return pieces[0] + "".join(f"%{piece[:2].lower()}{piece[2:]}" for piece in pieces[1:])
