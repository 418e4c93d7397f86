"""JSON text as providers write it: huge integers, lone surrogates, and arguments that are not JSON.

`msgspec` reads integers of any size exactly; `orjson` would turn them into floats. A stream that splits a character
between two chunks leaves lone surrogates. The standard library parses such text, and it is repaired later.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import orjson

from runtime.dialects.errors import DialectError

MAX_DEPTH = 200
"""Maximum depth of nesting; writing deeper values would exhaust the interpreter's stack."""

_TOO_DEEP = f"no JSON that is read: nested deeper than {MAX_DEPTH}"


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        DialectError: If the text is not JSON, or nested deeper than `MAX_DEPTH`.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        value = _parse_slowly(text, error)
    if _is_deep(text, value):
        raise DialectError(_TOO_DEEP)
    return value


def parse_document(text: str | bytes) -> Any:
    """Return the value of a complete JSON text with valid Unicode; raises as `parse_json` does.

    Use `parse_json` for chunks of a stream, because two chunks may split a surrogate pair.
    """
    return mend_value(parse_json(text))


def mend_value(value: Any) -> Any:
    """Return a JSON value with valid Unicode in all its texts; an intact value is returned unchanged."""
    try:
        orjson.dumps(value)
    except TypeError:  # lone surrogates, or integers that are too large for this encoder
        return _mended(value)
    return value


def _mended(value: Any) -> Any:
    match value:
        case str():
            return mend_text(value)
        case dict():
            return {mend_text(str(name)): _mended(inner) for name, inner in value.items()}
        case list():
            return [_mended(inner) for inner in value]
        case _:
            return value


def _parse_slowly(text: str | bytes, reason: Exception) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
    except RecursionError as error:
        raise DialectError(_TOO_DEEP) from error
    except ValueError as error:
        shown = text[:40]
        raise DialectError(f"no JSON: {reason}; begins {shown!r}") from error


def dump_json(value: Any) -> str:
    """Return the compact JSON text of a value, without sorting keys."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def parse_arguments(raw: Any) -> Any:
    """Return a call's arguments: an object, or the raw text if it is not a JSON object.

    Several servers write a call without arguments as `""` or null. Both are read as the empty object.
    """
    if isinstance(raw, dict):
        return mend_value(raw)
    if raw is None:
        return {}
    if not isinstance(raw, str):
        return dump_json(mend_value(raw))
    if not raw.strip():
        return {}
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return mend_text(raw)
    return value if isinstance(value, dict) and not _is_deep(raw, value) else mend_text(raw)


def arguments_text(arguments: Any) -> str:
    """Return the JSON text of a call's arguments; text is returned unchanged."""
    return arguments if isinstance(arguments, str) else dump_json(arguments)


def mend_text(text: str) -> str:
    """Return valid Unicode: split surrogate pairs are joined, and lone surrogates are replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _is_deep(text: str | bytes, value: Any) -> bool:
    """Return whether a value is nested too deep. Most texts have too few brackets, so few are walked."""
    brackets = (
        text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    )
    if brackets <= MAX_DEPTH:
        return False
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _finite_float(text: str) -> float | None:
    """Return a number; null for one that is too large (`1e999`), which could not be written as JSON again."""
    number = float(text)
    return number if math.isfinite(number) else None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
