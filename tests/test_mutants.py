"""The list of mutants names code and tests that are there; `nox -s mutants` runs it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.mutant_list import MUTANTS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_names_code_and_tests_that_are_there(name: str) -> None:
    missing = []
    for target in MUTANTS[name].targets:
        module, _, path = target.partition(":")
        owner: Any = importlib.import_module(module)
        for part in path.split("."):
            if not hasattr(owner, part):
                missing.append(target)
                break
            owner = getattr(owner, part)
    for test in MUTANTS[name].breaks:
        file, _, function = test.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        if f"def {function.partition('[')[0]}(" not in text:
            missing.append(test)

    assert missing == []
