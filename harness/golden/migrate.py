"""Rewrite old names of limits in golden tasks and policy files; no other byte changes.

Dumping the YAML again would lose comments and layout. So the parser's events give the position of each key, and
only those characters are replaced. The new text is parsed and compared before it replaces the file.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cassette.file_io import replace_file
from harness.errors import TaskError
from harness.golden.task import SUFFIX
from runtime.core.checking import shown
from runtime.documents.strict_yaml import MAX_DEPTH, MAX_NODES, NodePath, read_yaml
from runtime.documents.yaml_events import YamlProblem, yaml_events
from runtime.entry.old_names import BUDGET_PATHS, OLD_LIMITS, budget_of

_ENDINGS = (".yaml", ".yml", ".json")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Migrated:
    """The result for one file.

    Attributes:
        path: The file.
        renamed: Line and old name of each rewritten key, in order; empty if none had an old name.
    """

    path: Path
    renamed: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class _Key:
    start: int
    end: int
    line: int
    name: str


def find_files(path: Path) -> list[Path]:
    """Return the golden tasks and policy files at a path, sorted; a file is returned as it is.

    Raises:
        TaskError: If there is no such file or folder.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise TaskError("there is no such file or folder", where=str(path), next_step="check the path")
    # Hidden folders belong to tools, for example `.venv` and `.git`. Their files are not ours to rewrite.
    visible = (
        p for p in path.rglob("*") if not any(part[0] == "." for part in p.relative_to(path).parts[:-1])
    )
    return sorted(p for p in visible if p.name.endswith(_ENDINGS) and p.is_file() and _is_ours(p))


def migrate_file(path: Path) -> Migrated:
    """Rewrite the old names of limits in one file; a file without old names is not touched.

    Raises:
        TaskError: If it is not a golden task or policy file, holds a limit under both names, or cannot be rewritten
            in place. The file is then unchanged.
    """
    try:
        data = path.read_bytes()
        value = read_yaml(data).value
    except OSError as error:
        raise TaskError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    except YamlProblem as problem:
        where = str(path) if problem.line is None else f"{path}:{problem.line}"
        raise TaskError(problem.what, where=where, next_step=problem.next_step) from problem
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema not in BUDGET_PATHS:
        what = f"its schema is {schema!r}, none of {', '.join(sorted(BUDGET_PATHS))}"
        raise TaskError(what, where=str(path), next_step="name golden tasks and policy files")
    at = BUDGET_PATHS[schema]
    budget = budget_of(value, at)
    if budget is None:
        _refuse_other(value, at, path)
        return Migrated(path, ())
    old = [name for name in OLD_LIMITS if name in budget]
    for name in old:
        if OLD_LIMITS[name] in budget:
            what = f"{'.'.join(map(str, at))} has both {name} and {OLD_LIMITS[name]}, which are one limit"
            raise TaskError(what, where=str(path), next_step=f"keep {OLD_LIMITS[name]}")
    if not old:
        return Migrated(path, ())
    # The parser's positions do not count a byte order mark, so it is taken off here too.
    text = data.decode("utf-8")
    mark, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    try:
        keys = [key for key in _keys(text, at) if key.name in OLD_LIMITS]
    except YamlProblem as problem:
        raise TaskError(
            problem.what, where=f"{path}:{problem.line}", next_step=problem.next_step
        ) from problem
    for name in old:
        budget[OLD_LIMITS[name]] = budget.pop(name)
    _replace(path, (mark + _rewritten(text, keys)).encode("utf-8"), value)
    return Migrated(path, tuple((key.line, key.name) for key in keys))


def _refuse_other(value: Any, at: NodePath, path: Path) -> None:
    """Refuse a budget that is there and has no keys, which could be limits by old names that nobody would see.

    Raises:
        TaskError: If it is no object.
    """
    for depth, part in enumerate(at, start=1):
        value = value.get(part)
        if value is None:
            return
        if not isinstance(value, dict):
            raise TaskError(
                f"{'.'.join(map(str, at[:depth]))} is {shown(value)}, not an object",
                where=str(path),
                next_step="write it as `name: value` pairs, such as `max_steps: 5`",
            )


def _rewritten(text: str, keys: list[_Key]) -> str:
    parts, done = [], 0
    for key in keys:
        written = text[key.start : key.end]
        # The last time that it stands there: an anchor before the key may have its name.
        before, _, after = written.rpartition(key.name)
        parts += [text[done : key.start], before, OLD_LIMITS[key.name], after]
        done = key.end
    return "".join([*parts, text[done:]])


def _replace(path: Path, data: bytes, meant: Any) -> None:
    """Replace a file's bytes, if the new ones parse to the meant document and the file may be written."""
    if _value_of(data) != meant:
        raise TaskError(
            "the keys cannot be renamed in place: they are escaped, or an alias repeats them",
            where=str(path),
            next_step="rename them by hand",
        )
    real = path.resolve()  # replace the target of a symbolic link, not the link
    try:
        mode = stat.S_IMODE(real.stat().st_mode)
        # To replace a file takes no permission on the file itself, so nobody else would ask.
        if not mode & stat.S_IWUSR:
            raise TaskError("the file is read-only", where=str(path), next_step="make it writable first")
        with replace_file(real, overwrite=True) as file:
            file.write(data)
        real.chmod(mode)
    except OSError as error:
        raise TaskError(f"the file cannot be replaced: {error.strerror}", where=str(path)) from error


def _value_of(data: bytes) -> Any:
    try:
        return read_yaml(data).value
    except YamlProblem:
        return None


def _keys(text: str, at: NodePath) -> list[_Key]:
    """Return the keys of the object at a path, in order of the file.

    Raises:
        YamlProblem: If an alias stands for the object, or for one that holds it.
    """
    found: list[_Key] = []
    # One entry for each open collection: the key whose value comes next, or False if a key comes next.
    open_: list[Any] = []
    for event in yaml_events(text, max_depth=MAX_DEPTH, max_nodes=MAX_NODES):
        match type(event).__name__:
            case "ScalarEvent" | "AliasEvent":
                if not open_ or open_[-1] is None:
                    continue
                if open_[-1] is not False:
                    if type(event).__name__ == "AliasEvent" and at[: len(open_)] == tuple(open_):
                        what = f"{'.'.join(open_)} is the alias *{event.anchor}, so its keys stand in another place"
                        raise YamlProblem(
                            what, event.start_mark.line + 1, "write the object out, or rename by hand"
                        )
                    open_[-1] = False
                    continue
                open_[-1] = event.value
                if tuple(open_[:-1]) == at:
                    start, end = event.start_mark, event.end_mark
                    found.append(_Key(start.index, end.index, start.line + 1, event.value))
            case "MappingStartEvent":
                open_.append(False)
            case "SequenceStartEvent":
                open_.append(None)
            case "MappingEndEvent" | "SequenceEndEvent":
                open_.pop()
                if open_ and open_[-1] is not None:
                    open_[-1] = False
            case _:
                pass
    return found


def _is_ours(path: Path) -> bool:
    """Return whether a file is a golden task by its name, or a policy file by its schema."""
    if path.name.endswith(SUFFIX):
        return True
    try:
        value = read_yaml(path.read_bytes()).value
    except (OSError, YamlProblem):
        return False
    return isinstance(value, dict) and value.get("schema") in BUDGET_PATHS
