"""What makes two calls of a `dedupe_by` tool one: the values that are carried out, in one spelling.

A model may leave a default out or give it, and may write 1 or 1.0; to the tool these are the same. So the values
come from the validated arguments where there are any.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from runtime.core.canonical import fingerprint
from runtime.core.effects import CallTool
from runtime.core.run import ToolDecl


def has_business_key(decl: ToolDecl, call: CallTool) -> bool:
    """Return whether a call is claimed under a business key."""
    return bool(decl.dedupe_by) and isinstance(call.arguments, dict)


def business_hash(decl: ToolDecl, call: CallTool) -> str:
    """Return the fingerprint of the values that name a call."""
    values = _carried_out(call)
    return fingerprint([values.get(name) for name in decl.dedupe_by])


def claim_hash(decl: ToolDecl | None, call: CallTool) -> str:
    """Return what a claim's later calls are compared by: of a business key, all that is carried out.

    Defaults that are made anew for each call (`default_factory`) are left out: equal calls would differ by them.
    """
    if decl is not None and has_business_key(decl, call):
        fields = getattr(type(call.bound), "model_fields", None)
        return fingerprint(_carried_out(call) if fields is None else _lasting(call.arguments, call.bound))
    return call.args_hash


def _carried_out(call: CallTool) -> dict[str, Any]:
    """Return the arguments a call is carried out with; the given ones where pydantic did not validate them."""
    fields = getattr(type(call.bound), "model_fields", None)
    if fields is None:
        given: dict[str, Any] = _even(call.arguments)
        return given
    return {field.alias or name: _json(getattr(call.bound, name)) for name, field in fields.items()}


def _lasting(given: Any, value: Any) -> Any:
    """Return a validated value as JSON without the members that were made anew because the model left them out."""
    fields = getattr(type(value), "model_fields", None)
    if fields is not None and isinstance(given, dict):
        named = {field.alias or name: (name, field) for name, field in fields.items()}
        return {
            alias: _lasting(given.get(alias), getattr(value, name))
            for alias, (name, field) in named.items()
            if alias in given or field.default_factory is None
        }
    if isinstance(value, list | tuple) and isinstance(given, list) and len(given) == len(value):
        return [_lasting(g, v) for g, v in zip(given, value, strict=True)]
    return _json(value)


def _json(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    if isinstance(value, Decimal):
        value = value.normalize() + 0  # one spelling of 1.50 and 1.5, and of 0 and -0
    return _even(to_jsonable_python(value, by_alias=True, serialize_unknown=True))


def _even(value: Any) -> Any:
    """Return a JSON value with its whole floats as integers: 1.0 is 1."""
    match value:
        case float():
            return int(value) if value.is_integer() else value
        case dict():
            return {name: _even(item) for name, item in value.items()}
        case list():
            return [_even(item) for item in value]
        case _:
            return value
