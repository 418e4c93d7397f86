"""Check the path of an argument rule against a tool's schema: a rule that can match nothing is a mistake."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_FORMS = ("anyOf", "oneOf", "allOf")
_NAMING = ("properties", "patternProperties", "additionalProperties")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownPath:
    """A path that no arguments of a tool can have.

    Attributes:
        part: The part that is not known.
        within: The path before it; empty at the top.
        known: Names that the schema has there, sorted.
    """

    part: str
    within: str
    known: tuple[str, ...]


def unknown_path(schema: dict[str, Any], path: str) -> UnknownPath | None:
    """Return where a path leaves a tool's schema; `None` if the arguments can have it.

    Lists are passed through, as rules do. Where a schema names properties and does not say that there may be
    others, there are no others: `@tool` drops or refuses them. Where it says nothing, everything may be there.

    Args:
        schema: The tool's parameters.
        path: Names with dots between them.
    """
    schemas: list[Any] = [schema]
    parts = path.split(".")
    for index, part in enumerate(parts):
        objects = [o for place in schemas for o in _objects(place, schema, frozenset())]
        if any(o is _OPEN for o in objects):
            return None
        following = [f for o in objects for f in _following(o, part)]
        if not following:
            known = sorted({name for o in objects for name in o.get("properties", {})})
            return UnknownPath(part=part, within=".".join(parts[:index]), known=tuple(known))
        schemas = following
    return None


_OPEN: dict[str, Any] = {}
"""A place where anything may be."""


def _objects(place: Any, root: dict[str, Any], seen: frozenset[str]) -> list[dict[str, Any]]:
    """Return the objects a place may hold, through lists, references and its forms; `_OPEN` for anything."""
    if not isinstance(place, dict):
        return [_OPEN] if place is True else []
    ref = place.get("$ref")
    if isinstance(ref, str):
        target = _resolved(ref, root)
        if ref in seen:
            return []
        return [_OPEN] if target is None else _objects(target, root, seen | {ref})
    inner = [form for name in _FORMS for form in place.get(name, ())]
    for name in ("items", "prefixItems"):
        elements = place.get(name, [])
        inner += elements if isinstance(elements, list) else [elements]
    found = [o for form in inner for o in _objects(form, root, seen)]
    if any(name in place for name in _NAMING):
        return [place, *found]
    if inner or "enum" in place or "const" in place:
        return found
    types = place.get("type", "object")
    return [_OPEN] if "object" in types or "array" in types else []


def _following(place: dict[str, Any], part: str) -> list[Any]:
    """Return what may stand under a name of an object."""
    named = place.get("properties", {})
    if part in named:
        return [named[part]]
    patterns = place.get("patternProperties", {})
    found = [schema for pattern, schema in patterns.items() if re.search(pattern, part)]
    if found:
        return found
    others = place.get("additionalProperties", False)
    return [] if others is False else [others]


def _resolved(ref: str, root: dict[str, Any]) -> Any:
    """Return what a reference within the schema leads to; `None` if that is not to be found."""
    if not ref.startswith("#"):
        return None
    place: Any = root
    for part in ref[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or name not in place:
            return None
        place = place[name]
    return place
