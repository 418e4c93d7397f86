"""Read foreign JSON safely: bodies are checked; each reader of a field returns a usable value, whatever it holds."""

from __future__ import annotations

from typing import Any

from runtime.dialects.errors import DialectError
from runtime.dialects.jsontext import mend_text


def json_object(body: Any, what: str) -> dict[str, Any]:
    """Return a body that must be a JSON object; `what` names it in the error, for example `chat reply`.

    Raises:
        DialectError: If it is something else.
    """
    if not isinstance(body, dict):
        raise DialectError(f"no {what}: body is {type(body).__name__}")
    return body


def reply_object(body: Any, what: str) -> dict[str, Any]:
    """Return the JSON object of a reply; arguments and errors as in `json_object`.

    Raises:
        DialectError: Also if the body is an error in the form that most providers share.
    """
    reply = json_object(body, what)
    if reply.get("error"):
        raise DialectError(f"no {what}: the body is an error")
    return reply


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
