"""Read golden task files, and report all mistakes at once, each with its file and line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from harness.errors import TaskError
from harness.golden.rules.matchers import path_text
from harness.golden.task import SUFFIX, GoldenTask
from runtime.core.signatures import checks_arguments
from runtime.documents.strict_yaml import Lines, read_yaml
from runtime.documents.yaml_events import YamlProblem
from runtime.entry.old_names import BUDGET_PATHS, rename_limits

_FIX = "correct the named fields in the task file"
_WORDS = {
    "missing": "the field is missing",
    "dict_type": "an object is expected",
    "model_type": "an object is expected",
    "model_attributes_type": "an object is expected",
    "tuple_type": "a list is expected",
    "string_type": "text is expected",
    "int_type": "a whole number is expected",
    "float_type": "a number is expected",
    "bool_type": "true or false is expected",
}


@checks_arguments
def load_task(path: Path, *, shown: Path | None = None) -> GoldenTask:
    """Return the task of a file; messages name it as `shown`, the path itself by default.

    Raises:
        TaskError: If the file is missing, is not unambiguous YAML, or is not a golden task. It names each mistake.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise TaskError("there is no such task file", where=str(path), next_step="check the path") from error
    except OSError as error:
        what = f"the task file cannot be read: {error.strerror}"
        raise TaskError(what, where=str(path), next_step="check the path and its permissions") from error
    task = parse_task(data, shown or path)
    task.stand_at(path)
    return task


def parse_task(data: bytes, path: Path) -> GoldenTask:
    """Return the task in the bytes of a file; the task keeps `path`, which messages show.

    Raises:
        TaskError: As `load_task`.
    """
    try:
        document = read_yaml(data)
        rename_limits(document, BUDGET_PATHS["golden/1"], where=path.as_posix())
    except YamlProblem as problem:
        where = path.as_posix() if problem.line is None else f"{path.as_posix()}:{problem.line}"
        raise TaskError(problem.what, where=where, next_step=problem.next_step) from problem
    if not isinstance(document.value, dict):
        what = f"a task is an object with the fields schema, task, agent, ...; found {type(document.value).__name__}"
        raise TaskError(what, where=f"{path.as_posix()}:{document.lines.line}", next_step=_FIX)
    try:
        task = GoldenTask.model_validate(document.value)
    except ValidationError as error:
        raise _task_error(error, path, document.lines) from error
    task.bind(path, document.lines)
    return task


@checks_arguments
def find_tasks(root: Path) -> list[Path]:
    """Return the task files in and below a folder, sorted; a file is returned as it is.

    Raises:
        TaskError: If there is no such folder or file.
    """
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise TaskError("there is no such folder or file", where=str(root), next_step="check the path")
    return sorted(path for path in root.rglob(f"*{SUFFIX}") if path.is_file())


def check_unique(tasks: Sequence[GoldenTask]) -> None:
    """Refuse two files whose tasks have the same name.

    Raises:
        TaskError: If a name occurs twice. It names both places.
    """
    first: dict[str, GoldenTask] = {}
    for task in tasks:
        other = first.setdefault(task.task, task)
        if other is not task:
            what = f"task {task.task!r} is also in {other.where('task')}"
            raise TaskError(what, where=task.where("task"), next_step="rename one of them")


def _task_error(error: ValidationError, path: Path, lines: Lines) -> TaskError:
    found: list[tuple[int, str]] = []
    for entry in error.errors(include_url=False):
        if "HttpAgent" in entry["loc"] and isinstance(entry["input"], str):
            continue  # a text is the other form of an agent, and has an error of its own
        place = _place(entry)
        text = _words(entry, place)
        found.append((lines.at(place), f"{path_text(place)}: {text}" if place else text))
    found.sort()
    (line, what), rest = found[0], found[1:]
    also = "".join(f"\n  {path.as_posix()}:{at}: {text}" for at, text in rest)
    return TaskError(what + also, where=f"{path.as_posix()}:{line}", next_step=_FIX)


def _place(entry: Any) -> tuple[str | int, ...]:
    """Return the place of an error in the document, without pydantic's names of union members."""
    parts = [p for p in entry["loc"] if isinstance(p, int) or not _is_union_tag(p)]
    return (*parts, *entry.get("ctx", {}).get("path", ()))


def _is_union_tag(part: str) -> bool:
    return part in {"str", "[key]", "HttpAgent"} or "[" in part


def _words(entry: Any, place: tuple[str | int, ...]) -> str:
    kind = entry["type"]
    if kind == "extra_forbidden":
        return _unknown_field(place)
    if kind in _WORDS:
        given = entry["input"]
        return _WORDS[kind] if kind == "missing" else f"{_WORDS[kind]}, found {_shown(given)}"
    message = entry["msg"][:1].lower() + entry["msg"][1:]
    if kind == "literal_error":
        choices = [c.strip("'") for c in entry["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        near = _near(entry["input"], choices)
        return f"{_shown(entry['input'])} is none of {', '.join(choices)}{near}"
    if "text" in entry.get("ctx", {}):
        return str(entry["ctx"]["text"])
    return (
        message if isinstance(entry["input"], dict | list) else f"{message}, found {_shown(entry['input'])}"
    )


def _unknown_field(place: tuple[str | int, ...]) -> str:
    model: Any = GoldenTask
    for part in place[:-1]:
        model = _inner(model, part)
    names = [f.alias or n for n, f in model.model_fields.items()] if _is_model(model) else []
    known = f"; fields are {', '.join(names)}" if names else ""
    return f"unknown field{_near(place[-1], names) or known}"


def _inner(model: Any, part: str | int) -> Any:
    """Return the model of a field, looking through lists and unions; `None` if there is none."""
    if isinstance(part, int):
        return model
    if not _is_model(model):
        return None
    field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
    return None if field is None else _first_model(field.annotation)


def _first_model(annotation: Any) -> Any:
    if _is_model(annotation):
        return annotation
    return next((m for a in get_args(annotation) if (m := _first_model(a)) is not None), None)


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _near(word: Any, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(word), list(names), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."
