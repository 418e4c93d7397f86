"""Checks that pyproject.toml declares every foreign package that the two packages and the tests import."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
OURS = frozenset({"runtime", "harness", "examples", "benchmarks", "tests"})

# Installed with another package, which needs it.
SHIPPED_WITH = {
    "pydantic-core": "pydantic",
    "anyio": "httpx",
    "httpx2": "genai-prices",
    "packaging": "pytest",
}

# Which extras, beside the base dependencies, each folder may count on.
EXTRAS: dict[str, tuple[str, ...]] = {
    "runtime": (),
    "harness": ("harness",),
    "examples": ("harness",),
    "benchmarks": ("harness", "dev"),
    "tests": ("harness", "dev"),
}


def ci_script(name: str) -> ModuleType:
    """Return a script of `.ci` as a module."""
    spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@functools.cache
def _homes() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def undeclared_packages(root: Path, folder: str) -> list[str]:
    """Return the imports of a folder that its share of pyproject.toml does not declare."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra in EXTRAS[folder]:
        lines += project["optional-dependencies"][extra]
    declared = {_distribution(line) for line in lines}
    homes = _homes()
    found = []
    for path in sorted((root / folder).rglob("*.py")):
        for top, line in _foreign_imports(path.read_text(encoding="utf-8")):
            names = {_distribution(home) for home in homes.get(top, [top])}
            if declared.isdisjoint(names | {SHIPPED_WITH.get(name, name) for name in names}):
                found.append(f"{path.relative_to(root).as_posix()}:{line}: {top} is not declared")
    return found


def _foreign_imports(text: str) -> list[tuple[str, int]]:
    known = OURS | sys.stdlib_module_names
    if {*re.findall(r"^\s*(?:from|import)\s+(\w+)", text, re.MULTILINE)} <= known and ", " not in "".join(
        re.findall(r"^\s*import .*$", text, re.MULTILINE)
    ):
        return []  # most files: no need to parse them
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case _:
                continue
        tops = {module.split(".")[0] for module in modules}
        found += [(top, node.lineno) for top in tops if top not in known]
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


def pins(python: str) -> dict[str, list[str]]:
    """Return the versions that the constraints give each package on one Python."""
    environment = {"python_version": python}
    found: dict[str, list[str]] = {}
    for line in (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment):
            (exact,) = pin.specifier
            assert exact.operator == "==", line
            found.setdefault(canonicalize_name(pin.name), []).append(exact.version)
    return found


def direct() -> list[Requirement]:
    """Return what pyproject.toml asks for, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    return [Requirement(line) for line in lines if not line.startswith("goldrun[")]


@pytest.mark.parametrize("python", ci_script("refresh_constraints").supported_pythons())
def test_each_dependency_has_one_exact_version_within_its_bounds(python: str) -> None:
    pinned = pins(python)

    assert [
        str(asked)
        for asked in direct()
        if len(versions := pinned.get(canonicalize_name(asked.name), [])) != 1
        or versions[0] not in asked.specifier
    ] == []
    assert [name for name, versions in pinned.items() if len(versions) > 1] == []


def test_whatever_the_dependencies_need_has_an_exact_version_too() -> None:
    pinned = pins(f"{sys.version_info.major}.{sys.version_info.minor}")
    open_names = [("goldrun", "dev"), ("goldrun", "all"), ("goldrun", "harness"), ("goldrun", "")]
    seen = set(open_names)
    while open_names:
        name, extra = open_names.pop()
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                more = {(canonicalize_name(needed.name), wanted) for wanted in (*needed.extras, "")} - seen
                open_names += more
                seen |= more

    assert sorted({name for name, _ in seen} - {"goldrun"} - set(pinned)) == []
    assert len({name for name, _ in seen}) > len(direct())


def test_versions_that_differ_between_pythons_get_a_line_each_with_its_marker() -> None:
    text = ci_script("refresh_constraints").constraints(
        {"3.11": {"a": "1", "b": "1", "c": "7"}, "3.12": {"a": "1", "b": "2"}, "3.13": {"a": "1", "b": "2"}}
    )

    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        "a==1",
        'b==1 ; python_version == "3.11"',
        'b==2 ; python_version == "3.12" or python_version == "3.13"',
        'c==7 ; python_version == "3.11"',
    ]


def test_lowest_versions_are_the_bounds_of_all_extras() -> None:
    bounds = ci_script("lowest").lower_bounds(
        '[project]\nname = "x"\ndependencies = ["a>=1.2,<3"]\n'
        'optional-dependencies.dev = ["b-c>=4"]\noptional-dependencies.all = ["x[dev]"]\n'
    )

    assert bounds == {"a": "1.2", "b-c": "4"}


@pytest.mark.parametrize("line", ["a", "a<2", "a==1", "a>=1; python_version > '3'"])
def test_a_dependency_without_a_lower_bound_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="write one lower bound for each dependency"):
        ci_script("lowest").lower_bounds(
            f'[project]\nname = "x"\ndependencies = ["{line}"]\noptional-dependencies = {{}}\n'
        )
