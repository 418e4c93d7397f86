"""One row of the table of code changes: what was changed, which tasks must fail, for which cause."""

from __future__ import annotations

from dataclasses import dataclass

from tests.code_changes.changed_code import Edit, Example

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of an example's code.

    Attributes:
        name: What was changed, in words.
        example: The agent.
        edits: Replacements in its source.
        red: Tasks that must fail, `all`, or none.
        cause: The cause that the first line names.
        line: What the first line says.
        why: Why a change is rightly green.
    """

    name: str
    example: Example
    edits: tuple[Edit, ...]
    red: str | tuple[str, ...] = ALL
    cause: str | None = None
    line: str = ""
    why: str = ""


def support(name: str, *edits: Edit, **fields: object) -> Change:
    return Change(name=name, example="support", edits=edits, **fields)  # type: ignore[arg-type]


def oncall(name: str, *edits: Edit, **fields: object) -> Change:
    return Change(name=name, example="oncall", edits=edits, **fields)  # type: ignore[arg-type]


def green(change: Change, why: str) -> Change:
    return Change(name=change.name, example=change.example, edits=change.edits, red=(), why=why)
