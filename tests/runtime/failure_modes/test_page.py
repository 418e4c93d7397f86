"""The page of the failure modes: all 46, each with a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
PAGE = (ROOT / "docs" / "failure-modes.md").read_text(encoding="utf-8")
TESTS = set(
    re.findall(
        r"^def (test_\w+)\(",
        "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")),
        re.MULTILINE,
    )
)


def proofs() -> dict[int, str]:
    return {int(number): proof for number, _, _, proof in ROW.findall(PAGE)}


def test_the_page_lists_each_of_the_46_modes_once() -> None:
    assert [int(number) for number, *_ in ROW.findall(PAGE)] == list(range(1, 47))


def test_each_test_and_file_that_the_page_names_is_there() -> None:
    missing = [
        name
        for proof in (*proofs().values(), PAGE)
        for name in re.findall(r"`(test_\w+)`", proof)
        if name not in TESTS
    ]
    files = list(re.findall(r"`((?:tests|benchmarks)/[\w/.]+\.py)`", PAGE))

    assert missing == []
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_each_mode_has_a_test_of_its_number_where_the_page_says_so() -> None:
    for number, proof in proofs().items():
        for claimed in re.findall(r"`test_mode_(\d\d)_\.\.\.`", proof):
            found = [name for name in TESTS if name.startswith(f"test_mode_{claimed}_")]
            assert int(claimed) == number
            assert found, f"no test is named after mode {number}"
