"""Checks the rooms: layers, circles, sizes, the only yield, pure rooms and lazy doors.

Theory of operation. `Tree` parses every module once. Each check reads the parsed trees and returns its
violations as lines of text, so that one run shows them all; a check passes when it returns none. The last part
of the file plants violations in small trees and asserts that each check sees them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A line may import only lower lines; names joined by `|` do not import each other. The
# doors `runtime` and `harness` are the two `__init__.py` files: who may import them follows from their line.
LAYERS = """
harness
harness.cli | harness.plugin | harness.service
harness.reports | harness.snapshots
harness.golden
harness.sessions
harness.importers
harness.lift
harness.record | harness.replay | harness.diff | harness.wire
harness.cassette
harness.redaction
runtime
runtime.testing | runtime.service | runtime.toolbox
runtime.entry
runtime.execution | runtime.models | runtime.tools | runtime.state | runtime.observability | runtime.journal
runtime.ports | runtime.orchestrator | runtime.dialects
runtime.control
runtime.core
harness.errors | harness.text | harness.first_difference
runtime.errors | runtime.doors | runtime.homes | runtime.documents
"""
RANKS = {
    room: rank
    for rank, line in enumerate(reversed(LAYERS.strip().splitlines()))
    for room in line.split(" | ")
}
DOORS = ("runtime", "harness")
PURE = ("runtime.core", "runtime.control", "runtime.orchestrator")
FILE_LINES, FUNCTION_LINES = 400, 70

# What reads a clock, chance, the machine or the network, or starts work beside the caller's.
_OUTSIDE = """
asyncio concurrent glob http io locale logging multiprocessing os pathlib platform queue random sched secrets select
selectors shutil signal socket sqlite3 ssl subprocess sys tempfile threading time urllib uuid warnings zoneinfo
"""
OUTSIDE = frozenset(_OUTSIDE.split())
PURE_PACKAGES = frozenset({"msgspec", "orjson", "re2"})
OUTSIDE_CALLS = frozenset({"now", "utcnow", "today"})
OUTSIDE_BUILTINS = frozenset({"open", "print", "input", "breakpoint"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported name: the module or package it comes from, and where the import stands."""

    target: str
    line: int
    lazy: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """The parsed modules of a source tree, by dotted name."""

    root: Path
    modules: dict[str, ast.Module]

    @classmethod
    def read(cls, root: Path) -> Tree:
        """Parse every module of both packages below the root."""
        modules = {}
        for path in sorted(p for door in DOORS for p in (root / door).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            modules[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
        return cls(root, modules)

    def within(self, *rooms: str) -> dict[str, ast.Module]:
        """Return the modules of some rooms."""
        return {name: tree for name, tree in self.modules.items() if _inside(name, rooms)}

    def imports(self, name: str) -> list[Import]:
        """Return what a module imports: at its top, in functions, for types only and by `import_module`."""
        tree = self.modules[name]
        eager = set(_run_at_import(tree))
        is_package = any(other.startswith(f"{name}.") for other in self.modules) or name in DOORS
        package = name if is_package else name.rpartition(".")[0]
        return [
            Import(target=target, line=_line(node), lazy=node not in eager)
            for node in ast.walk(tree)
            for target in self._targets(node, package)
        ]

    def _targets(self, node: ast.AST, package: str) -> list[str]:
        match node:
            case ast.Import(names=names):
                return [alias.name for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
                base = base if level else str(module)
                full = [f"{base}.{alias.name}" for alias in names]
                return [each if each in self.modules else base for each in full]
            case ast.Call(func=func, args=[ast.Constant(value=str(target)), *_]):
                return [target] if _called(func) in {"import_module", "__import__"} else []
            case _:
                return []

    def edges(self) -> Iterator[tuple[str, Import]]:
        """Yield each import of one of our modules by another."""
        for name in self.modules:
            for found in self.imports(name):
                if found.target.split(".")[0] in DOORS and found.target != name:
                    yield name, found


def _inside(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def _called(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is imported; bodies of functions and type-only blocks do not."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from _run_at_import(child)


def _room(module: str) -> str | None:
    """Return the room of a module: a door for the two doors, else the longest room that holds it."""
    if module in DOORS:
        return module
    held = [room for room in RANKS if room not in DOORS and _inside(module, (room,))]
    return max(held, key=len, default=None)


def layer_violations(tree: Tree) -> list[str]:
    """Return the modules without a room and the imports that do not go down."""
    found = [f"{name}: in no room of the layers" for name in tree.modules if _room(name) is None]
    for name, each in tree.edges():
        here, there = _room(name), _room(each.target)
        if here is None or here in DOORS or here == there:
            continue
        if there is None or RANKS[there] >= RANKS[here]:
            found.append(f"{name}:{each.line}: {here} may not import {each.target}")
    return found


def circle_violations(tree: Tree) -> list[str]:
    """Return the first circle of imports."""
    graph: dict[str, set[str]] = {name: set() for name in tree.modules}
    for name, each in tree.edges():
        graph[name].add(each.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"circle: {' -> '.join(reversed(error.args[1]))}"]
    return []


def size_violations(root: Path) -> list[str]:
    """Return the files and functions that are too long."""
    found = []
    for folder in (*DOORS, "tests", "examples", "benchmarks"):
        for path in sorted((root / folder).rglob("*.py")):
            text, where = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
            lines = len(text.splitlines())
            if lines > FILE_LINES:
                found.append(f"{where}: {lines} lines")
            if folder not in DOORS:
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    if length > FUNCTION_LINES:
                        found.append(f"{where}:{node.lineno}: {node.name} has {length} lines")
    return found


def yield_violations(tree: Tree) -> list[str]:
    """Return the yields of the pure rooms outside `perform()`, and a missing yield of `perform()`."""
    found, in_perform = [], 0
    for name, module in tree.within(*PURE).items():
        functions = (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef))
        allowed = {
            id(inner)
            for function in functions
            if (name, function.name) == ("runtime.core.effects", "perform")
            for inner in ast.walk(function)
        }
        for node in ast.walk(module):
            if isinstance(node, ast.Yield):
                in_perform += id(node) in allowed
                if id(node) not in allowed:
                    found.append(f"{name}:{node.lineno}: a yield outside perform()")
    return found if in_perform == 1 else [*found, f"perform() has {in_perform} yields, not 1"]


def pure_violations(tree: Tree) -> list[str]:
    """Return what the pure rooms take from a clock, chance, the machine or a package they may not use."""
    found = []
    for name, module in tree.within(*PURE).items():
        for each in tree.imports(name):
            top = each.target.split(".")[0]
            foreign = top not in DOORS and top not in sys.stdlib_module_names and top not in PURE_PACKAGES
            if top in OUTSIDE or foreign:
                found.append(f"{name}:{each.line}: imports {each.target}")
        for node in ast.walk(module):
            if not isinstance(node, ast.Call):
                continue
            called, free = _called(node.func), isinstance(node.func, ast.Name)
            if called in (OUTSIDE_BUILTINS if free else OUTSIDE_CALLS):
                found.append(f"{name}:{node.lineno}: calls {called}()")
    return found


def door_violations(tree: Tree) -> list[str]:
    """Return what a door imports at once that is neither of the standard library nor for types only."""
    return [
        f"{door}:{each.line}: imports {each.target} at once"
        for door in DOORS
        if door in tree.modules
        for each in tree.imports(door)
        if not each.lazy and each.target.split(".")[0] not in sys.stdlib_module_names
    ]


OURS = Tree.read(ROOT)


def test_checks_see_both_packages() -> None:
    assert len(OURS.within("runtime")) > 40
    assert len(OURS.within("harness")) > 40


def test_rooms_import_lower_layers_only() -> None:
    assert layer_violations(OURS) == []


def test_modules_import_in_no_circle() -> None:
    assert circle_violations(OURS) == []


def test_files_and_functions_keep_their_size() -> None:
    assert size_violations(ROOT) == []


def test_perform_holds_the_only_yield() -> None:
    assert yield_violations(OURS) == []


def test_pure_rooms_reach_nothing_outside() -> None:
    assert pure_violations(OURS) == []


def test_doors_import_lazily() -> None:
    assert door_violations(OURS) == []


def plant(root: Path, files: dict[str, str]) -> Tree:
    """Write a small source tree and parse it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Tree.read(root)


PERFORM = {"runtime/core/effects.py": "def perform(effect):\n    return (yield effect)\n"}


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("runtime/core/a.py", "import runtime.control.b", "runtime.core may not import runtime.control.b"),
        ("runtime/core/a.py", "from runtime.entry import run", "may not import runtime.entry"),
        ("runtime/core/a.py", "def f():\n    import harness.golden.c", "may not import harness.golden.c"),
        ("runtime/tools/a.py", "from runtime.models import b", "runtime.tools may not import runtime.models"),
        ("runtime/entry/a.py", "from runtime import Agent", "runtime.entry may not import runtime"),
        ("runtime/core/a.py", "from ..control import b", "runtime.core may not import runtime.control"),
        ("harness/text.py", "from harness.errors import E", "harness.text may not import harness.errors"),
        ("harness/plugin.py", "from harness.cli import main", "harness.plugin may not import harness.cli"),
        ("harness/golden/a.py", "import harness", "harness.golden may not import harness"),
        (
            "runtime/core/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from runtime.ports.b import P",
            "runtime.core may not import runtime.ports.b",
        ),
        (
            "harness/diff/a.py",
            "import importlib\nx = importlib.import_module('harness.replay.b')",
            "harness.diff may not import harness.replay.b",
        ),
        ("runtime/corner/a.py", "", "runtime.corner.a: in no room"),
    ],
)
def test_planted_upward_import_is_found(tmp_path: Path, file: str, text: str, expected: str) -> None:
    found = layer_violations(plant(tmp_path, {file: text}))

    assert any(expected in line for line in found), found


def test_downward_imports_are_allowed(tmp_path: Path) -> None:
    files = {
        "runtime/core/__init__.py": "",
        "runtime/core/a.py": "from runtime.errors import UsageError\nfrom . import b",
        "runtime/core/b.py": "import json",
        "harness/golden/a.py": "from runtime import Agent\nfrom harness.diff.b import c",
        "harness/__init__.py": "def f():\n    from harness.golden.a import x",
    }

    assert layer_violations(plant(tmp_path, files)) == []


def test_planted_circle_is_found(tmp_path: Path) -> None:
    files = {
        "runtime/core/a.py": "from runtime.core import b",
        "runtime/core/b.py": "def f():\n    from runtime.core.a import g",
    }

    (found,) = circle_violations(plant(tmp_path, files))

    assert "runtime.core.a" in found
    assert "runtime.core.b" in found


def test_planted_long_file_and_function_are_found(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "tests/test_a.py": "x = 1\n" * (FILE_LINES + 1),
            "tests/test_b.py": "x = 1\n" * FILE_LINES,
            "harness/a.py": "def f():\n" + "    x = 1\n" * FUNCTION_LINES,
            "harness/b.py": "def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1),
        },
    )

    assert size_violations(tmp_path) == ["harness/a.py:1: f has 71 lines", "tests/test_a.py: 401 lines"]


def test_planted_second_yield_is_found(tmp_path: Path) -> None:
    files = PERFORM | {"runtime/orchestrator/a.py": "def f():\n    yield from g()\n    yield 1\n"}

    assert yield_violations(plant(tmp_path, files)) == ["runtime.orchestrator.a:3: a yield outside perform()"]


def test_missing_yield_of_perform_is_found(tmp_path: Path) -> None:
    assert yield_violations(plant(tmp_path, {"runtime/core/effects.py": ""})) == [
        "perform() has 0 yields, not 1"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from os import path",
        "import asyncio.events",
        "def f():\n    from random import Random",
        "import pydantic",
        "from datetime import datetime\nx = datetime.now()",
        "x = open('a')",
    ],
)
def test_planted_reach_outside_is_found(tmp_path: Path, text: str) -> None:
    assert len(pure_violations(plant(tmp_path, {"runtime/control/a.py": text}))) == 1


def test_planted_eager_door_is_found(tmp_path: Path) -> None:
    eager = "import importlib\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import httpx\n"
    tree = plant(tmp_path, {"runtime/__init__.py": eager + "import runtime.core.a\n"})

    assert door_violations(tree) == ["runtime:5: imports runtime.core.a at once"]
