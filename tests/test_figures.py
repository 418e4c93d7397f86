"""Checks the script that prints the promised figures: each of them can miss its target, and says where."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.test_architecture import OURS
from tests.test_packaging import ci_script

FIGURES = ci_script("figures")
KNOWN = {"name": "runtime.a", "isTypeKnown": True, "isTypeAmbiguous": False, "diagnostics": []}


def test_under_one_percent_of_our_functions_have_over_40_lines() -> None:
    figure = FIGURES.long_functions(OURS.modules)

    assert figure.met, "\n".join(figure.where)


def test_a_long_function_is_counted_and_named() -> None:
    tree = ast.parse("def f():\n" + "    x = 1\n" * 40 + "\n\ndef g():\n" + "    x = 1\n" * 39)

    figure = FIGURES.long_functions({"runtime.a": tree})

    assert (figure.met, figure.value) == (False, "50.00% (1 of 2)")
    assert figure.where == ("runtime.a:1 f: 41 lines",)


def report(root: Path, counts: dict[str, int], *symbols: dict[str, Any]) -> dict[str, Any]:
    return {
        "typeCompleteness": {
            "exportedSymbolCounts": counts,
            "pyTypedPath": str(root / "runtime" / "py.typed"),
            "symbols": [KNOWN, *symbols],
        }
    }


def test_a_package_whose_types_are_all_known_is_complete(tmp_path: Path) -> None:
    found = report(tmp_path, {"withKnownType": 9, "withAmbiguousType": 0, "withUnknownType": 0})

    figure = FIGURES.completeness("runtime", found, tmp_path)

    assert (figure.met, figure.value, figure.where) == (True, "100 % (9 of 9 symbols)", ())


@pytest.mark.parametrize("gap", ["withAmbiguousType", "withUnknownType"])
def test_one_guessed_type_of_thousands_is_not_rounded_away(tmp_path: Path, gap: str) -> None:
    guessed = {
        "name": "runtime.b",
        "isTypeKnown": gap != "withUnknownType",
        "isTypeAmbiguous": gap == "withAmbiguousType",
        "diagnostics": [{"message": "Type is missing type annotation\n  and more"}],
    }
    found = report(tmp_path, {"withKnownType": 9_999, gap: 1}, guessed)

    figure = FIGURES.completeness("runtime", found, tmp_path)

    assert (figure.met, figure.value) == (False, "99.9 % (9,999 of 10,000 symbols)")
    assert figure.where == ("runtime.b: Type is missing type annotation",)


@pytest.mark.parametrize("typed", [None, "elsewhere/runtime/py.typed"])
def test_a_package_that_the_checker_does_not_find_in_the_checkout_is_not_complete(
    tmp_path: Path, typed: str | None
) -> None:
    found = report(tmp_path, {"withKnownType": 9})
    found["typeCompleteness"]["pyTypedPath"] = typed

    figure = FIGURES.completeness("runtime", found, tmp_path)

    assert (figure.met, figure.value) == (False, "not found")


def test_a_missed_figure_is_marked_and_fails_the_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    circle = FIGURES.none_of("import circles", ["a -> b -> a"])
    monkeypatch.setattr(FIGURES, "figures", lambda: iter([FIGURES.none_of("leaks", []), circle]))

    code = FIGURES.main()

    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert [line.split() for line in lines] == [
        ["leaks", "0", "0"],
        ["import", "circles", "1", "0", "MISSED"],
        ["a", "->", "b", "->", "a"],
    ]
