"""Text of golden documents: multi-line text stands as a list of lines, so that a review sees lines.

Where a field is text by its type, a list is its lines. Inside free JSON (arguments, saved values) a list could be
meant, so lines stand under the mark `$lines`; a mapping that looks like a mark is wrapped as `$json`.
"""

from __future__ import annotations

from typing import Any

LINES, JSON = "$lines", "$json"
_MARKS = ({LINES}, {JSON})

Folded = str | list[str] | None


def fold_text(text: str | None) -> Folded:
    """Return text as a list of its lines if it has several."""
    return text.split("\n") if text is not None and "\n" in text else text


def unfold_text(folded: Any) -> Any:
    """Return the text of `fold_text`; what is no list of lines is returned as it is."""
    if isinstance(folded, list) and all(isinstance(line, str) for line in folded):
        return "\n".join(folded)
    return folded


def fold_json(value: Any) -> Any:
    """Return a JSON value with its multi-line texts as marked lists of lines."""
    match value:
        case str():
            return {LINES: value.split("\n")} if "\n" in value else value
        case dict():
            folded = {key: fold_json(item) for key, item in value.items()}
            return {JSON: folded} if value.keys() in _MARKS else folded
        case list() | tuple():
            return [fold_json(item) for item in value]
        case _:
            return value


def unfold_json(value: Any) -> Any:
    """Return the value of `fold_json`."""
    match value:
        case dict():
            if value.keys() == {LINES}:
                return unfold_text(value[LINES])
            if value.keys() == {JSON} and isinstance(value[JSON], dict):
                value = value[JSON]
            return {key: unfold_json(item) for key, item in value.items()}
        case list():
            return [unfold_json(item) for item in value]
        case _:
            return value


def fold_part(part: dict[str, Any]) -> dict[str, Any]:
    """Return a message part, as plain JSON, with its texts folded."""
    return {key: _fold_field(key, item) for key, item in part.items()}


def unfold_part(part: dict[str, Any]) -> dict[str, Any]:
    """Return the part of `fold_part`."""
    return {key: _unfold_field(key, item) for key, item in part.items()}


def _fold_field(key: str, item: Any) -> Any:
    if key == "arguments":
        return fold_json(item)
    return fold_text(item) if isinstance(item, str) else item


def _unfold_field(key: str, item: Any) -> Any:
    return unfold_json(item) if key == "arguments" else unfold_text(item)
