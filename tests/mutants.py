"""Mutants: guards switched off one by one, each with tests that must fail then; `nox -s mutants` runs them.

The table is `mutants.txt`, whose head explains its columns. Each mutant is made in a copy of the tree, as a wrong edit
would be, so that the processes which a test starts have it too. A row that no longer fits the code is an error that
names what is nearest: no rename can switch a mutant off.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import functools
import keyword
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_suffix(".txt")
Known = dict[str, list[tuple[Path, Any]]]
"""Where each name is defined: the file, and for code its syntax node."""


class MutantError(ValueError):
    """A row that does not fit the code: what is wrong and what is nearest."""


class Edit(NamedTuple):
    """One change of a named definition."""

    target: str
    replacement: str


class Mutant(NamedTuple):
    """A guard switched off, and the names of the tests that must fail then."""

    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def read_table(text: str) -> dict[str, Mutant]:
    """Return the mutants by name; a MutantError says that a row lacks a column, or repeats a name."""
    found: dict[str, Mutant] = {}
    for line in (line for line in text.splitlines() if line and not line.startswith("#")):
        match line.split(" | "):
            case ["+", target, replacement] if found:
                name, row = found.popitem()
                found[name] = row._replace(edits=(*row.edits, Edit(target, replacement)))
            case [name, target, replacement, tests] if name not in found:
                found[name] = Mutant((Edit(target, replacement),), tuple(tests.split()))
            case _:
                raise MutantError(f"not 'name | target | replacement | tests', or a taken name: {line}")
    return found


@functools.cache
def _files(root: Path) -> dict[Path, str]:
    found = sorted([*root.glob("runtime/**/*.py"), *root.glob("harness/**/*.py")])
    return {path: path.read_text(encoding="utf-8") for path in found}


def _definitions(root: Path, word: str) -> Known:
    """Return the functions, methods and constants by name, of all files that define a word."""
    found: Known = defaultdict(list)
    for path, text in _files(root).items():
        if word in text and re.search(rf"^ *(?:(?:async )?def )?{word}\b.*[=(]", text, re.MULTILINE):
            body = ast.parse(text).body
            classes = [(f"{node.name}.", node.body) for node in body if isinstance(node, ast.ClassDef)]
            for prefix, node in [(p, node) for p, nodes in [("", body), *classes] for node in nodes]:
                match node:
                    case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                        found[prefix + name].append((path, node))
                    case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                        found[prefix + name].append((path, node))
    return found


@functools.cache
def _tests(root: Path) -> Known:
    found: Known = defaultdict(list)
    for path in sorted(root.glob("tests/**/test_*.py")):
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE):
            found[name].append((path.relative_to(root), None))
    return found


def _only(target: str, known: Known) -> tuple[Path, Any]:
    """Return the one place that a `name` or `file:name` stands for."""
    file, _, name = target.rpartition(":")
    found = [place for place in known.get(name, []) if file in ("", place[0].stem)]
    if len(found) == 1:
        return found[0]
    names = [name] if name in known else difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    nearest = ", ".join(f"{path.stem}:{near}" for near in names for path, _ in known[near])
    raise MutantError(f"{target} is defined {len(found)} times; nearest: {nearest or 'nothing'}")


def mutated(root: Path, edit: Edit) -> tuple[Path, str]:
    """Return the file that an edit changes, and its text then.

    Raises:
        MutantError: If the target or the old text is not there exactly once, or the new text has an unknown word.
    """
    try:
        path, node = _only(edit.target, _definitions(root, re.split("[.:]", edit.target)[-1]))
    except MutantError:
        path, node = _only(edit.target, _definitions(root, ""))  # slow, but it knows what is nearest
    text = _files(root)[path]
    lines = text.splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno
    body = "".join(lines[first:last])
    old, arrow, new = edit.replacement.partition(" => ")
    if arrow:
        if body.count(old) != 1:
            near = difflib.get_close_matches(old, map(str.strip, body.splitlines()), n=1, cutoff=0)
            raise MutantError(f"{edit.target} holds {old!r} {body.count(old)} times; nearest: {near}")
        changed = body.replace(old, new)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        start = node.body[0 if ast.get_docstring(node) is None else 1]
        at = start.lineno - 1
        changed = "".join([*lines[first:at], f"{' ' * start.col_offset}{old}\n", *lines[at:last]])
    else:
        changed = f"{body.partition('=')[0]}= {old}\n"
    # A mutant that dies of a name error would prove nothing.
    used = {*re.findall(r"[A-Za-z_]\w*", re.sub(r"""(["']).*?\1""", "", new or old))}
    if unknown := used - {*re.findall(r"[A-Za-z_]\w*", text), *dir(builtins), *keyword.kwlist, "f"}:
        raise MutantError(f"{path.name} does not know {sorted(unknown)} of {new or old!r}")
    result = "".join([*lines[:first], changed, *lines[last:]])
    compile(result, str(path), "exec")
    return path, result


def node_id(root: Path, test: str) -> str:
    """Return pytest's name of a test; a MutantError says that not exactly one file defines it."""
    path, _ = _only(test.partition("[")[0], _tests(root))
    return f"{path.as_posix()}::{test.rpartition(':')[2]}"


def survivors(root: Path, mutant: Mutant) -> list[str]:
    """Return the tests of a mutant that do not fail though its edits are made in the tree, which is then as before."""
    before, nodes = _files(root), [node_id(root, test) for test in mutant.tests]
    try:
        for edit in mutant.edits:
            path, text = mutated(root, edit)
            path.write_text(text, encoding="utf-8")
            _files.cache_clear()
        failed = outcomes(root, nodes)["FAILED"]
    finally:
        for path in [path for path, text in _files(root).items() if text != before[path]]:
            path.write_text(before[path], encoding="utf-8")
        _files.cache_clear()
    failed |= {node.partition("[")[0] for node in failed}
    return [node for node in nodes if node not in failed]


def outcomes(root: Path, nodes: list[str]) -> dict[str, set[str]]:
    """Return the tests that passed, failed and so on, as pytest names them, by pytest's word."""
    command = [sys.executable, "-m", "pytest", "-v", "--tb=no", "-p", "no:cacheprovider", *nodes]
    # Bytecode names second and size of its source only, and a mutant may have both of another.
    variables = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)
    if ran.returncode not in (0, 1):
        raise MutantError(f"pytest ended with {ran.returncode}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    found: dict[str, set[str]] = defaultdict(set)
    for node, word in re.findall(r"^(tests/.*?::.*?) ([A-Z]{4,})\b", ran.stdout, re.MULTILINE):
        found[word].add(node)
    return found


def main(names: list[str]) -> int:
    """Make each mutant, or those named, and say which tests do not see it; 1 if there are any."""
    table = read_table(TABLE.read_text(encoding="utf-8"))
    if unknown := sorted(set(names) - set(table)):
        raise MutantError(f"{unknown[0]!r} is not a mutant; there are {', '.join(table)}")
    chosen = {name: table[name] for name in names or table}
    alive = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "checkout"
        for part in ("runtime", "harness", "tests"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        (root.parent / "shared").symlink_to(ROOT.parent / "shared")
        healthy = outcomes(root, sorted({node_id(root, t) for row in chosen.values() for t in row.tests}))
        if sick := healthy["FAILED"] | healthy["ERROR"]:
            raise MutantError(f"these fail without any mutant: {sorted(sick)}")
        for name, mutant in chosen.items():
            left = [node for node in survivors(root, mutant) if node not in healthy["SKIPPED"]]
            alive += bool(left)
            print(f"{'passes without' if left else 'fails without'} {name} {' '.join(left)}", flush=True)
    if healthy["SKIPPED"]:
        print(f"skipped on this machine: {', '.join(sorted(healthy['SKIPPED']))}")
    return 1 if alive else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
