"""Checks that pyproject.toml declares every foreign package that the two packages and the tests import."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = frozenset({"runtime", "harness", "examples", "benchmarks", "tests"})

# Installed with another package, which needs it.
SHIPPED_WITH = {"pydantic-core": "pydantic", "anyio": "httpx", "httpx2": "genai-prices"}

# Which extras, beside the base dependencies, each folder may count on.
EXTRAS: dict[str, tuple[str, ...]] = {
    "runtime": (),
    "harness": ("harness",),
    "examples": ("harness",),
    "benchmarks": ("harness", "dev"),
    "tests": ("harness", "dev"),
}


def undeclared_packages(root: Path, folder: str) -> list[str]:
    """Return the imports of a folder that its share of pyproject.toml does not declare."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra in EXTRAS[folder]:
        lines += project["optional-dependencies"][extra]
    declared = {_distribution(line) for line in lines}
    homes = importlib.metadata.packages_distributions()
    found = []
    for path in sorted((root / folder).rglob("*.py")):
        for top, line in _foreign_imports(ast.parse(path.read_text(encoding="utf-8"))):
            names = {_distribution(home) for home in homes.get(top, [top])}
            if declared.isdisjoint(names | {SHIPPED_WITH.get(name, name) for name in names}):
                found.append(f"{path.relative_to(root).as_posix()}:{line}: {top} is not declared")
    return found


def _foreign_imports(tree: ast.Module) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case _:
                continue
        tops = {module.split(".")[0] for module in modules}
        found += [(top, node.lineno) for top in tops if top not in OURS | sys.stdlib_module_names]
    return found


def _distribution(requirement: str) -> str:
    """Return the normalised name of a requirement line."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~\[;]", requirement)[0]).lower()


def test_imported_packages_are_declared() -> None:
    assert [line for folder in EXTRAS for line in undeclared_packages(ROOT, folder)] == []


def test_undeclared_package_is_found(tmp_path: Path) -> None:
    project = '[project]\ndependencies = ["PyYAML>=6"]\noptional-dependencies.harness = ["pandas>=3"]\n'
    (tmp_path / "pyproject.toml").write_text(project, encoding="utf-8")
    for folder in ("runtime", "harness"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("import yaml, json\nimport pandas\nimport left_pad\n")

    assert undeclared_packages(tmp_path, "runtime") == [
        "runtime/a.py:2: pandas is not declared",
        "runtime/a.py:3: left_pad is not declared",
    ]
    assert undeclared_packages(tmp_path, "harness") == ["harness/a.py:3: left_pad is not declared"]
