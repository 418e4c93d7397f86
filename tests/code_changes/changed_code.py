"""Build the example agents from changed source text, and judge their golden tasks with them, all in one process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Literal

from harness.golden.loader import find_tasks, load_task
from harness.golden.project import Project
from harness.golden.runner import GoldenOutcome, run_task
from harness.golden.task import GoldenTask
from runtime.errors import GoldrunError

ROOT = Path(__file__).resolve().parents[2]
Example = Literal["support", "oncall"]
Edit = tuple[str, str, str]
"""A module of the example, a text in it that stands there once, and what takes its place."""


@cache
def tasks_of(example: Example) -> tuple[GoldenTask, ...]:
    """Return the golden tasks of an example."""
    return tuple(load_task(path) for path in find_tasks(ROOT / "golden" / example))


def judge(example: Example, edits: tuple[Edit, ...]) -> dict[str, GoldenOutcome | GoldrunError]:
    """Return what each task of an example comes to with its changed code; keys lack the suite."""
    with changed(example, edits):
        return {task.task.partition("/")[2]: _outcome(task) for task in tasks_of(example)}


def _outcome(task: GoldenTask) -> GoldenOutcome | GoldrunError:
    try:
        return run_task(task, Project(ROOT))
    except GoldrunError as error:
        return error


@contextmanager
def changed(example: Example, edits: tuple[Edit, ...]) -> Iterator[None]:
    """Put an example built from changed source in the place of the real one for a while."""
    package = f"examples.{example}"
    names = [package, *(f"{package}.{module}" for module in ("world", "tools", "agent"))]
    # Whatever another test has loaded as `examples`, perhaps from a copy of the project, comes back afterwards.
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "examples"}
    for name in before:
        del sys.modules[name]
    try:
        importlib.import_module("examples")
        for name in names[1:]:
            sys.modules[name] = _module(name, example, edits)
        # The package of the example hands on `build` of its agent.
        facade = ModuleType(package)
        facade.__path__ = [str(ROOT / "examples" / example)]
        facade.__file__ = str(ROOT / "examples" / example / "__init__.py")
        facade.__dict__["build"] = sys.modules[f"{package}.agent"].__dict__["build"]
        sys.modules[package] = facade
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "examples"]:
            del sys.modules[name]
        sys.modules.update(before)


def _module(name: str, example: Example, edits: tuple[Edit, ...]) -> ModuleType:
    short = name.rpartition(".")[2]
    path = ROOT / "examples" / example / f"{short}.py"
    source = path.read_text(encoding="utf-8")
    for of, old, new in edits:
        if of == short:
            assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {path.name}"
            source = source.replace(old, new)
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and annotations look their module up while it is made
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module
