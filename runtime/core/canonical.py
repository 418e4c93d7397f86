"""The canonical form of JSON values and its digests.

Our own stated form, not RFC 8785 (44 times slower in Python): UTF-8, keys sorted by code point, no blanks,
integers as written, floats in their shortest round-trip form, NaN and infinities as null. Values outside
64-bit integers or with lone surrogates take the standard library's encoder with the same key order and ASCII
escapes, so each value has exactly one form.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import msgspec
import orjson

DIGEST_CHARS = 32
"""Hex characters of a key or fingerprint: 128 bits."""


def canonical_bytes(value: Any) -> bytes:
    """Return the canonical JSON of a value made of JSON types and msgspec structs.

    Raises:
        TypeError: If the value holds something JSON has no form for.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=_builtin)
    except TypeError:
        plain = msgspec.to_builtins(value, str_keys=True)
        return json.dumps(_finite(plain), sort_keys=True, separators=(",", ":"), allow_nan=False).encode(
            "ascii"
        )


def valid_text(text: str) -> str:
    """Return the text with `?` for each lone surrogate, which UTF-8 and so every provider has no form for."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def said(error: BaseException) -> str:
    """Return the text of an exception; one that raises when it is asked for its text has none."""
    try:
        return valid_text(str(error))
    except Exception:  # noqa: BLE001 - foreign code runs here, and describing a failure must not fail
        return "(it has no text)"


def digest(data: bytes) -> str:
    """Return the 128-bit hex fingerprint (SHA-256, first half) of some bytes."""
    return hashlib.sha256(data).hexdigest()[:DIGEST_CHARS]


def fingerprint(value: Any) -> str:
    """Return the 128-bit hex fingerprint of a value's canonical form."""
    return digest(canonical_bytes(value))


def _finite(value: Any) -> Any:
    """Return the value with null for the numbers that JSON has no form for."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value


def _builtin(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True)
