"""Check arguments against a JSON Schema; the text of problems is ours and the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.orchestrator.setup import Checked

MAX_PROBLEMS = 10
"""Most problems that a model is shown at once."""


def schema_validator(schema: dict[str, Any]) -> Callable[[Any], Checked]:
    """Return the check of a JSON Schema.

    Raises:
        ValueError: If the schema itself is wrong.
    """
    import jsonschema_rs

    validator = jsonschema_rs.validator_for(schema)

    def validate(arguments: Any) -> Checked:
        if not isinstance(arguments, dict):
            return Checked(problems=("arguments: expected a JSON object",))
        if validator.is_valid(arguments):
            return Checked(value=arguments)
        return Checked(problems=problem_lines(validator.iter_errors(arguments)))

    return validate


def problem_lines(errors: Any) -> tuple[str, ...]:
    """Return one line a problem, `path: rule`, in order of path."""
    lines: list[str] = []
    for error in errors:
        lines += _lines(error)
    unique = sorted(set(lines))
    if len(unique) > MAX_PROBLEMS:
        unique = [*unique[:MAX_PROBLEMS], f"and {len(unique) - MAX_PROBLEMS} more"]
    return tuple(unique)


def _lines(error: Any) -> list[str]:
    path = [str(p) for p in error.instance_path]
    rule = error.kind.name
    facts = error.kind.as_dict()
    match rule:
        case "required":
            return [f"{_at([*path, facts['property']])}: required"]
        case "additionalProperties" | "unevaluatedProperties":
            return [f"{_at([*path, name])}: not allowed" for name in facts["unexpected"]]
        case "type":
            return [f"{_at(path)}: expected {' or '.join(facts['types'])}"]
        case "enum":
            return [f"{_at(path)}: expected one of {facts['options']!r}"]
        case "const":
            return [f"{_at(path)}: expected {facts.get('expected_value')!r}"]
        case "anyOf" | "oneOfNotValid":
            return [f"{_at(path)}: fits none of its forms"]
        case _:
            limits = ", ".join(f"{v!r}" for v in facts.values() if isinstance(v, str | int | float))
            return [f"{_at(path)}: breaks {rule}" + (f" {limits}" if limits else "")]


def _at(path: list[str]) -> str:
    return ".".join(path) or "arguments"
