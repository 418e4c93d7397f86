"""Limits by the names they had in files before: read for one minor version, with one warning a file."""

from __future__ import annotations

import warnings
from typing import Any

from runtime.documents.strict_yaml import Lines, NodePath, YamlDocument
from runtime.documents.yaml_events import YamlProblem

OLD_LIMITS = {
    "steps": "max_steps",
    "seconds": "max_seconds",
    "usd": "max_usd",
    "tokens": "max_tokens",
    "tool_calls": "max_tool_calls",
}
"""What a limit of a budget was called, and what it is called."""

BUDGET_PATHS: dict[str, NodePath] = {"golden/1": ("policy", "budget"), "policy/1": ("budget",)}
"""Where the budget stands in a file of each schema."""


def budget_of(value: Any, path: NodePath) -> dict[str, Any] | None:
    """Return the budget that stands at a path of a document's value; `None` if there is none."""
    for part in path:
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value if isinstance(value, dict) else None


def rename_limits(document: YamlDocument, path: NodePath, *, where: str) -> None:
    """Give the limits of a document's budget their names of today, in place; a file that needs it is warned about.

    Args:
        document: A read document; its lines are renamed too.
        path: Where its budget stands.
        where: The file, for the warning.

    Raises:
        YamlProblem: If a limit stands there under both names.
    """
    budget = budget_of(document.value, path)
    old = [name for name in OLD_LIMITS if budget is not None and name in budget]
    if budget is None or not old:
        return
    lines = _lines_at(document.lines, path)
    for name in old:
        new = OLD_LIMITS[name]
        if new in budget:
            raise YamlProblem(
                f"{'.'.join(map(str, path))} has both {name} and {new}, which are one limit",
                lines.at((name,)),
                f"keep {new}",
            )
    for name in old:
        budget[OLD_LIMITS[name]] = budget.pop(name)
        if lines.children is not None and name in lines.children:
            lines.children[OLD_LIMITS[name]] = lines.children.pop(name)
    words = ", ".join(f"{name} is now {OLD_LIMITS[name]}" for name in old)
    warnings.warn(
        f"{where}: limits have new names: {words}; the old ones are read for one more minor version."
        f" Rewrite the file with `goldrun migrate {where}`",
        FutureWarning,
        stacklevel=3,
    )


def _lines_at(lines: Lines, path: NodePath) -> Lines:
    for part in path:
        found = None if lines.children is None else lines.children.get(part)
        if found is None:
            break
        lines = found
    return lines
