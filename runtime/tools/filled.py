"""The arguments of a call as its function gets them, in the names and the JSON of the tool's schema.

A model may leave arguments out that have a default, also within nested models, and a validator may change what it
gave. Rules, and people who approve, must see what is carried out. Where nothing differs, no copy is made.

A given text, number, truth value or null is replaced by the validated one if they differ. A given value of a type
that JSON does not have (a date, an id, a secret) stays the text it was given as.
"""

from __future__ import annotations

import dataclasses
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

_JSON_SCALARS = frozenset({str, int, float, bool, type(None)})
_Member = tuple[tuple[str, ...], Any]
"""The names under which a member of an object may be given, the schema's first, and what it holds."""


def filled_model(given: dict[str, Any], value: BaseModel) -> dict[str, Any]:
    """Return a call's arguments as they were validated; the same object if they were given so.

    Args:
        given: JSON as the model gave it.
        value: What validation made of it.
    """
    return _object(given, [(names, getattr(value, attr)) for names, attr in _fields(type(value))])


def plain(value: Any) -> Any:
    """Return a validated value as JSON; what has no JSON form as its text."""
    if type(value) in _JSON_SCALARS:
        return value
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, by_alias=True, serialize_unknown=True)


def _object(given: dict[str, Any], members: Iterable[_Member]) -> dict[str, Any]:
    found: dict[str, Any] | None = None
    for names, held in members:
        for name in names:
            if name in given:
                was = given[name]
                now = _filled(was, held)
                break
        else:
            name, was, now = names[0], _object, plain(held)
        if now is not was:
            found = dict(given) if found is None else found
            found[name] = now
    return given if found is None else found


def _filled(given: Any, value: Any) -> Any:
    kind = type(value)
    if kind in _JSON_SCALARS:
        if value == given and (kind is bool) is isinstance(given, bool):
            return given
        return value
    if isinstance(value, Enum):
        return _filled(given, value.value)
    if isinstance(value, str | int | float):
        return _filled(given, plain(value))
    if isinstance(given, dict):
        members = _members(value)
        if members is not None:
            return _object(given, members)
    if isinstance(given, list) and isinstance(value, list | tuple):
        if len(given) != len(value):
            return plain(value)
        elements = [_filled(g, v) for g, v in zip(given, value, strict=True)]
        return given if all(e is g for e, g in zip(elements, given, strict=True)) else elements
    from pydantic import RootModel

    return _filled(given, value.root) if isinstance(value, RootModel) else given


def _members(value: Any) -> Iterable[_Member] | None:
    """Return the members of an object; `None` if it has none."""
    from pydantic import BaseModel, RootModel

    if isinstance(value, BaseModel) and not isinstance(value, RootModel):
        return [(names, getattr(value, attr)) for names, attr in _fields(type(value))]
    if isinstance(value, dict):
        return [((str(plain(name)),), held) for name, held in value.items()]
    if dataclasses.is_dataclass(value):
        return [((f.name,), getattr(value, f.name)) for f in dataclasses.fields(value) if f.init]
    return None


@lru_cache(maxsize=1024)
def _fields(model: type[BaseModel]) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Return the names under which each field of a model may be given, with the field's own."""
    by_name = bool(model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name"))
    found: list[tuple[tuple[str, ...], str]] = []
    for attr, field in model.model_fields.items():
        alias = attr if field.validation_alias is None else field.validation_alias
        choices = [alias] if isinstance(alias, str) else getattr(alias, "choices", [alias])
        names = tuple(c for c in choices if isinstance(c, str))
        if len(names) == len(choices):  # a path into other members has no name of its own
            found.append(((*names, attr) if by_name else names, attr))
    return tuple(found)
