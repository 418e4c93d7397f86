"""Checks the public names of both packages: sorted, importable, documented, and the same for type checkers."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import harness
import runtime
import runtime.errors
from runtime.errors import GoldrunError

PACKAGES = ("runtime", "harness")


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_sorted_and_unique(package: str) -> None:
    names = list(importlib.import_module(package).__all__)

    assert names == sorted(set(names))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_can_be_imported_and_says_what_it_is(package: str) -> None:
    module = importlib.import_module(package)

    undocumented = [name for name in module.__all__ if not has_docstring(getattr(module, name))]

    assert len(module.__all__) > 0
    assert undocumented == []


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_same_names(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))

    bound = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGES)
        for alias in node.names
    }

    assert sorted(bound) == list(module.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_unknown_name_is_an_attribute_error_that_names_it(package: str) -> None:
    module = importlib.import_module(package)

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def drawn_parents() -> dict[str, str]:
    """Return the parent of each error as the docstring of `runtime.errors` draws it."""
    parents: dict[str, str] = {}
    above = ["GoldrunError"]
    for line in (runtime.errors.__doc__ or "").splitlines():
        found = re.match(r"([│├└─ ]+)(\w+)  ", line)
        if found is not None:
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            parents[found[2]] = above[depth - 1]
    return parents


def error_classes() -> set[type[GoldrunError]]:
    """Return every error of the tree below its root, after all rooms were loaded."""
    for package in (runtime, harness):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not re.search(r"demo_project|bootstrap|__main__", module.name):
                importlib.import_module(module.name)
    found: set[type[GoldrunError]] = set()
    left: list[type[GoldrunError]] = [GoldrunError]
    while left:
        below = [each for each in left.pop().__subclasses__() if each.__module__.startswith(PACKAGES)]
        found.update(below)
        left += below
    return found


def test_drawn_error_tree_is_the_tree_of_the_classes() -> None:
    real = {each.__name__: each.__bases__[0].__name__ for each in error_classes()}

    assert len(real) > 10
    assert drawn_parents() == real


def test_every_error_can_be_imported_from_a_front_door() -> None:
    public = {getattr(door, name) for door in (runtime, harness) for name in door.__all__}

    assert sorted(each.__name__ for each in error_classes() | {GoldrunError} if each not in public) == []


_DEEP = r"(?:runtime\.(?!testing\b)|runtime\.testing\.|harness\.)[\w.]+"
DEEP_IMPORT = re.compile(rf"^ *(?:from|import) ({_DEEP})", re.MULTILINE)
DEEP_NAME = re.compile(r"`((?:runtime(?:\.testing)?|harness)\.[a-z_]+\.[A-Za-z_]\w*)")
"""A name that a page shows by the module below a door that it lives in."""
ROOT = Path(__file__).resolve().parents[1]


def test_pages_and_examples_import_from_the_front_doors_only() -> None:
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.py")]

    deep = [(path.name, name) for path in files for name in DEEP_IMPORT.findall(path.read_text("utf-8"))]

    assert len(files) > 20
    assert deep == []


def test_pages_for_users_name_what_can_be_imported_from_a_front_door() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    user_pages = [page for page in pages if page.name != "DESIGN.md"]

    deep = [(page.name, name) for page in user_pages for name in DEEP_NAME.findall(page.read_text("utf-8"))]

    assert len(user_pages) > 15
    assert [(page, name) for page, name in deep if not name.startswith("runtime.testing.")] == []


@pytest.mark.parametrize("module", ["runtime.models", "runtime.testing.scripted", "harness.cassette.store"])
def test_planted_deep_import_is_found(module: str) -> None:
    assert DEEP_IMPORT.findall(f"text\n    from {module} import says\n") == [module]


def test_imports_from_the_front_doors_are_not_found() -> None:
    text = "from runtime import tool\nfrom runtime.testing import says\nimport harness\n"

    assert DEEP_IMPORT.findall(text) == []


def test_planted_deep_name_is_found() -> None:
    assert DEEP_NAME.findall("use `harness.reports.load(x)`, not `runtime.Policy(a.b)`") == [
        "harness.reports.load"
    ]


def has_docstring(value: object) -> bool:
    """Say whether a value has a docstring of its own: not inherited, not made up by `dataclass`."""
    if not inspect.isclass(value):
        return bool(inspect.getdoc(value))
    own = value.__dict__.get("__doc__") or ""
    return bool(own) and not own.startswith(f"{value.__name__}(")
