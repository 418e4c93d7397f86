"""Checks every text file of the repository: no machine paths, no registry hosts, no leftovers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = frozenset({".git", ".venv", ".nox", ".hypothesis", "__pycache__", "build", "dist", "node_modules"})
DATA = ("cassettes/", "golden/", "tests/fixtures/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A pattern that no line may contain.

    Attributes:
        pattern: What is refused.
        suffixes: The files it holds for; all of them if empty.
        data: Whether it holds for recorded data too, where paths and marks of others are part of the text.
    """

    pattern: re.Pattern[str]
    suffixes: tuple[str, ...] = ()
    data: bool = False


RULES = {
    "machine path": Rule(pattern=re.compile(r"(?<![\w.~}*])/(?:opt|home)/\w|(?<![\w.~}*])/ro[o]t\b")),
    "build path": Rule(pattern=re.compile(r"(?<![\w.~}*])/wor[k]/\w"), data=True),
    "registry host": Rule(
        pattern=re.compile(
            r"(?:pypi|pythonhosted|npmjs|crates|anaconda)\.(?:org|com|io)\b|(?:deb|security)\.debian\.org"
            r"|(?:extra-)?index[-]url|find[-]links"
        ),
    ),
    "leftover mark": Rule(pattern=re.compile(r"\b(?:TO[D]O|FIX[M]E|X{3})\b")),
    "ignore without a code": Rule(pattern=re.compile(r"#\s*type:\s*ignore(?!\[)"), suffixes=(".py",)),
    "pyright ignore without a code": Rule(
        pattern=re.compile(r"#\s*pyright:\s*ignore(?!\[)"), suffixes=(".py",)
    ),
    "noqa without a code": Rule(pattern=re.compile(r"#\s*noqa(?!:)"), suffixes=(".py",)),
}


def tracked_files(root: Path) -> list[Path]:
    """Return the files that git tracks or would add; below a tree without git, all that no tool made."""
    if (root / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
        return [root / name for name in sorted(set(listed.split("\0"))) if name and (root / name).is_file()]
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED)
        found += [Path(folder, name) for name in sorted(names)]
    return found


def text_of(path: Path) -> str | None:
    """Return a file's text, or `None` if it is binary."""
    raw = path.read_bytes()
    if b"\0" in raw[:8192]:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def broken_rules(name: str, text: str) -> Iterator[str]:
    """Yield `file:line: rule: match` for each refused text of a file."""
    for title, rule in RULES.items():
        if rule.suffixes and not name.endswith(rule.suffixes):
            continue
        if not rule.data and name.startswith(DATA):
            continue
        for match in rule.pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{name}:{line}: {title}: {match.group()!r}"


def test_no_file_holds_what_the_rules_refuse() -> None:
    found = [
        line
        for path in tracked_files(ROOT)
        if (text := text_of(path)) is not None
        for line in broken_rules(path.relative_to(ROOT).as_posix(), text)
    ]

    assert found == []


def test_files_are_found_with_and_without_git(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("a")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "b.py").write_text("b")

    listed = {path.relative_to(ROOT).as_posix() for path in tracked_files(ROOT)}

    assert {"pyproject.toml", "runtime/__init__.py", "tests/test_repository.py"} <= listed
    assert tracked_files(tmp_path) == [tmp_path / "a.md"]


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("README.md", "cd /" + "root", "machine path"),
        ("runtime/a.py", "p = '/" + "home/me/x'", "machine path"),
        (".ci/run", "/" + "opt/venv/bin/pytest", "machine path"),
        ("cassettes/a.json", '"/' + 'work/main/a"', "build path"),
        ("README.md", "https://py" + "pi.org/simple", "registry host"),
        ("noxfile.py", "--index" + "-url", "registry host"),
        ("docs/a.md", "TO" + "DO: later", "leftover mark"),
        ("tests/a.py", "x = 1  # type: " + "ignore", "ignore without a code"),
        ("tests/a.py", "x = 1  # pyright: " + "ignore", "pyright ignore without a code"),
        ("tests/a.py", "x = 1  # no" + "qa", "noqa without a code"),
    ],
)
def test_planted_text_is_found(name: str, text: str, title: str) -> None:
    (found,) = broken_rules(name, f"first line\n{text}\n")

    assert found.startswith(f"{name}:2: {title}: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runtime/a.py", "x = f()  # type: " + "ignore[no-untyped-call]  # the library has no types"),
        ("README.md", "see https://example.test/home/page and ~/work/notes"),
        ("golden/a.golden.yaml", "args: {path: /" + "home/user/notes.txt}"),
    ],
)
def test_allowed_text_is_not_found(name: str, text: str) -> None:
    assert list(broken_rules(name, text)) == []
