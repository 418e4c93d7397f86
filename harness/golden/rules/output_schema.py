"""Check a JSON value against a JSON Schema in the task or in a file beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.golden.rules.matchers import path_text


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
    try:
        validator = jsonschema_rs.validator_for(loaded, retriever=_refuse)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaProblem(f"the schema is wrong: {error}") from error
    return [(path_text(tuple(e.instance_path)), e.message) for e in validator.iter_errors(value)]


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
