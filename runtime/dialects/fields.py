"""Read fields of foreign JSON safely: each function returns a usable value, whatever the field holds."""

from __future__ import annotations

from typing import Any

from runtime.dialects.jsontext import mend_text


def string(value: Any) -> str:
    """Return a text field as valid Unicode; empty if it is missing or of another type."""
    return mend_text(value) if isinstance(value, str) else ""


def word(value: Any) -> str | None:
    """Return a text or a number as text; `None` if it is empty or of another type."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return mend_text(str(value)) or None


def mapping(value: Any) -> dict[str, Any]:
    """Return an object; empty if the field is missing or of another type."""
    return value if isinstance(value, dict) else {}


def entries(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, in order."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def field(wire: dict[str, Any], *names: str) -> Any:
    """Return the value of a field with several spellings: the first that is present and not null."""
    return next((wire[name] for name in names if wire.get(name) is not None), None)


def count(value: Any) -> int | None:
    """Return a number of tokens; whole floats (`28.0`) are accepted, negative and other values are not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def first_count(*values: Any) -> int | None:
    """Return the first value that is a number of tokens."""
    return next((found for value in values if (found := count(value)) is not None), None)


def total(*values: int | None) -> int | None:
    """Return the sum of the known values; `None` if none is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
