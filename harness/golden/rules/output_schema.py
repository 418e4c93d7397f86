"""Check a JSON value against a JSON Schema in the task or in a file beside it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.golden.rules.matchers import path_text

_IN_ONE = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"}
)
_IN_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_IN_NAMES = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
_PLAIN = frozenset(
    {
        "additionalItems",
        "const",
        "dependencies",
        "dependentRequired",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "required",
        "type",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
        "$ref",
        "$dynamicRef",
        "$recursiveRef",
    }
)
_NOTES = frozenset(
    {
        "$anchor",
        "$comment",
        "$dynamicAnchor",
        "$id",
        "$recursiveAnchor",
        "$schema",
        "$vocabulary",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "deprecated",
        "description",
        "discriminator",
        "examples",
        "id",
        "readOnly",
        "title",
        "writeOnly",
    }
)
_CHECKING = _IN_ONE | _IN_LIST | _IN_NAMES - {"$defs", "definitions"} | _PLAIN
_KEYWORDS = _CHECKING | _IN_NAMES | _NOTES


class SchemaProblem(Exception):
    """A schema that is missing, unreadable or wrong, or that refers to something outside itself."""


def schema_problems(schema: dict[str, Any] | str, value: Any, folder: Path) -> list[tuple[str, str]]:
    """Return where a value breaks a schema, as pairs of place and message.

    Args:
        schema: The schema, or its file name relative to `folder`.
        value: The JSON value.
        folder: Folder of the task file.

    Raises:
        SchemaProblem: If the schema cannot be used. References to the network are refused.
    """
    import jsonschema_rs

    loaded = _read(folder / schema) if isinstance(schema, str) else schema
    for path, problem in keyword_problems(loaded):
        raise SchemaProblem(f"{path_text(path) or 'the schema'}: {problem}")
    try:
        validator = jsonschema_rs.validator_for(loaded, retriever=_refuse)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaProblem(f"the schema is wrong: {error}") from error
    return [(path_text(tuple(e.instance_path)), e.message) for e in validator.iter_errors(value)]


def keyword_problems(schema: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield why a schema checks less than it says: a misspelled keyword is ignored, an empty schema holds always."""
    if not _CHECKING & schema.keys():
        unknown = next((k for k in schema if k not in _KEYWORDS), None)
        if unknown is None:
            yield (), "the schema checks nothing; write a type or properties"
            return
    yield from _unknown_keywords(schema, ())


def _unknown_keywords(
    schema: Any, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key in _IN_ONE:
            yield from _unknown_keywords(value, (*path, key))
        elif key in _IN_LIST and isinstance(value, list):
            for index, inner in enumerate(value):
                yield from _unknown_keywords(inner, (*path, key, index))
        elif key in _IN_NAMES and isinstance(value, dict):
            for name, inner in value.items():
                yield from _unknown_keywords(inner, (*path, key, name))
        elif key not in _KEYWORDS and not key.startswith("x-"):
            near = difflib.get_close_matches(key, _KEYWORDS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield (*path, key), f"{key!r} is not a keyword of JSON Schema and would be ignored{hint}"


def _read(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_bytes())
    except OSError as error:
        raise SchemaProblem(f"{path.as_posix()} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SchemaProblem(f"{path.as_posix()} is no JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise SchemaProblem(f"{path.as_posix()} holds no JSON object")
    return loaded


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri!r} points outside the schema; write the definition into it")
