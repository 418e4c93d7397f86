"""Checks the public names of both packages: sorted, importable, documented, and the same for type checkers."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

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


def has_docstring(value: object) -> bool:
    """Say whether a value has a docstring of its own: not inherited, not made up by `dataclass`."""
    if not inspect.isclass(value):
        return bool(inspect.getdoc(value))
    own = value.__dict__.get("__doc__") or ""
    return bool(own) and not own.startswith(f"{value.__name__}(")
