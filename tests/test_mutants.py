"""Each row of the table of mutants fits the code and the tests; `nox -s mutants` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import ROOT, TABLE, Edit, MutantError, mutated, node_id, read_table

MUTANTS = read_table(TABLE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_names_code_and_tests_that_are_there(name: str) -> None:
    mutant = MUTANTS[name]

    changed = [mutated(ROOT, edit) for edit in mutant.edits]
    nodes = [node_id(ROOT, test) for test in mutant.tests]

    assert all(text != path.read_text(encoding="utf-8") for path, text in changed)
    assert nodes
    assert all((ROOT / node.partition("::")[0]).is_file() for node in nodes)


SOURCE = '''\
LIMIT = 64


def check(count: int) -> bool:
    """Say whether a count is allowed."""
    return count <= LIMIT


class Guard:
    def check_all(self, counts: list[int]) -> bool:
        return all(check(count) for count in counts)
'''


def planted(folder: Path) -> Path:
    for package in ("runtime", "harness", "tests"):
        (folder / package).mkdir()
    (folder / "runtime" / "limits.py").write_text(SOURCE)
    (folder / "runtime" / "twice.py").write_text("def twice() -> None:\n    return\n")
    (folder / "harness" / "again.py").write_text("def twice() -> None:\n    return\n")
    (folder / "tests" / "test_limits.py").write_text("def test_a_count_is_checked() -> None:\n    assert 1\n")
    return folder


@pytest.mark.parametrize(
    ("target", "replacement", "old", "new"),
    [
        ("check", "return True", "    return count <= LIMIT", "    return True\n    return count <= LIMIT"),
        ("check", "<= LIMIT => < LIMIT", "count <= LIMIT", "count < LIMIT"),
        ("Guard.check_all", "counts = []", "        return all", "        counts = []\n        return all"),
        ("limits:LIMIT", "0", "LIMIT = 64", "LIMIT = 0"),
    ],
)
def test_a_mutant_changes_its_target_and_nothing_else(
    tmp_path: Path, target: str, replacement: str, old: str, new: str
) -> None:
    path, text = mutated(planted(tmp_path), Edit(target, replacement))

    assert path == tmp_path / "runtime" / "limits.py"
    assert text == SOURCE.replace(old, new)


@pytest.mark.parametrize(
    ("target", "replacement", "words"),
    [
        ("chek", "return True", r"chek is defined 0 times; nearest: limits:check"),
        ("Guard.check_al", "return True", r"nearest: limits:Guard\.check_all"),
        ("bounds:check", "return True", r"bounds:check is defined 0 times; nearest: limits:check"),
        ("twice", "return", r"twice is defined 2 times; nearest: again:twice, twice:twice"),
        (
            "check",
            "count < LIMIT => True",
            r"holds 'count < LIMIT' 0 times; nearest: \['return count <= LIMIT'\]",
        ),
        ("check", "return number <= 3", r"limits\.py does not know \['number'\]"),
    ],
)
def test_a_row_that_no_longer_fits_fails_with_what_is_nearest(
    tmp_path: Path, target: str, replacement: str, words: str
) -> None:
    with pytest.raises(MutantError, match=words):
        mutated(planted(tmp_path), Edit(target, replacement))


def test_a_test_that_was_renamed_fails_with_what_is_nearest(tmp_path: Path) -> None:
    root = planted(tmp_path)

    assert node_id(root, "test_a_count_is_checked[3]") == "tests/test_limits.py::test_a_count_is_checked[3]"
    with pytest.raises(MutantError, match="nearest: test_limits:test_a_count_is_checked"):
        node_id(root, "test_the_count_is_checked")


@pytest.mark.parametrize("row", ["+ | check | return", "a | check | return", "a | b | c | d\na | b | c | d"])
def test_a_row_that_is_incomplete_or_named_as_another_is_refused(row: str) -> None:
    with pytest.raises(MutantError, match=r"not 'name \| target \| replacement \| tests'"):
        read_table(row)
