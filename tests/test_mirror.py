"""The tests mirror the packages: what a folder of code does is tested in the folder of its name."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

ACROSS = frozenset({"runtime/failure_modes"})
"""Test folders below a package that are about all of it."""
WITHIN = {
    "harness/cli/demo_project": "tests/harness/cli/commands/test_demo.py",
    "harness/wire/bootstrap": "tests/harness/wire/test_record_command.py",
}
"""Folders of programs that others start, and where that is tested."""


def strays(root: Path) -> list[str]:
    """Return the folders of tests that no package has."""
    found = []
    for folder in _folders(root / "tests"):
        name = folder.relative_to(root / "tests").as_posix()
        if (
            name.partition("/")[0] in {"runtime", "harness"}
            and name not in ACROSS
            and not (root / name).is_dir()
        ):
            found.append(f"tests/{name}: there is no folder {name}")
    return found


def untested(root: Path) -> list[str]:
    """Return the folders of code whose files hold logic, but which have no tests."""
    found = []
    for package in ("runtime", "harness"):
        for folder in _folders(root / package):
            name = folder.relative_to(root).as_posix()
            tests = WITHIN.get(name)
            there = (root / tests).is_file() if tests else any((root / "tests" / name).glob("**/test_*.py"))
            if not there and any(_has_logic(path) for path in folder.glob("*.py")):
                found.append(f"{name}: no tests in tests/{name}")
    return found


def _folders(root: Path) -> list[Path]:
    return sorted({path.parent for path in root.rglob("*.py")})


def _has_logic(path: Path) -> bool:
    """Return whether any function of a file does something; those of protocols only have a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(not all(isinstance(line, ast.Expr | ast.Pass) for line in f.body) for f in functions)


def test_each_folder_of_tests_belongs_to_a_folder_of_code() -> None:
    assert strays(ROOT) == []
    assert all((ROOT / "tests" / name).is_dir() for name in ACROSS)


def test_each_folder_with_logic_has_tests() -> None:
    assert untested(ROOT) == []
    assert all((ROOT / name).is_dir() for name in WITHIN)


def test_a_stray_folder_and_an_untested_one_are_found(tmp_path: Path) -> None:
    for name, text in {
        "runtime/core/a.py": "def a() -> int:\n    return 1\n",
        "runtime/ports/b.py": 'class B:\n    def b(self) -> None:\n        """Do."""\n        ...\n',
        "harness/c/d.py": "def d() -> int:\n    return 1\n",
        "tests/harness/c/test_d.py": "",
        "tests/runtime/old/test_a.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    assert strays(tmp_path) == ["tests/runtime/old: there is no folder runtime/old"]
    assert untested(tmp_path) == ["runtime/core: no tests in tests/runtime/core"]
