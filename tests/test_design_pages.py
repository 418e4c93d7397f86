"""Checks the pages for engineers: each package has a `DESIGN.md`, the lists are complete, and what is cited exists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.test_architecture import LAYERS
from tests.test_repository import text_of, tracked_files

ROOT = Path(__file__).resolve().parents[1]

PENDING: frozenset[str] = frozenset()
"""Rooms whose page is still to come. This set only shrinks."""

_CITED = re.compile(r"(?<![\w/<{*.:~-])(?:[\w.-]+/)*[\w-]+\.(?:md|py)\b(?![\w*/.(])")
ELSEWHERE = {
    "../README.md": "the folder of GitHub's own files cites the page above it",
    "shop/agent.py": "a file of the project that the demo makes",
    "shop/provider.py": "a file of the project that the demo makes",
    "shop/settings.py": "a file of the project that the demo makes",
    "genai_prices/data.py": "a file of an installed package",
}
"""Files that are cited though they stand elsewhere, and why."""


def packages(root: Path) -> list[str]:
    """Return the packages below `runtime` and `harness`, by their path."""
    found = [p.parent for door in ("runtime", "harness") for p in (root / door).rglob("__init__.py")]
    return sorted(path.relative_to(root).as_posix() for path in found)


def missing_pages(root: Path, pending: frozenset[str] = frozenset()) -> list[str]:
    """Return the packages that no page explains: a room has its own, a package inside a room is named by the room's."""
    found = []
    for name in packages(root):
        room = "/".join(name.split("/")[:2])
        page = root / room / "DESIGN.md"
        inner = name.removeprefix(room).strip("/")
        if room in pending:
            continue
        if not page.is_file():
            found.append(f"{name}: {room}/DESIGN.md is missing")
        elif inner and not (root / name / "DESIGN.md").is_file():
            last = inner.rpartition("/")[2]
            if not re.search(rf"`{last}\b", page.read_text(encoding="utf-8")):
                found.append(f"{name}: {room}/DESIGN.md does not name it")
    return found


def bad_pages(root: Path) -> Iterator[str]:
    """Yield the pages that are longer than a page or leave a part out."""
    for page in sorted(p for door in ("runtime", "harness") for p in (root / door).rglob("DESIGN.md")):
        name, text = page.relative_to(root).as_posix(), page.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > 80:
            yield f"{name}: {lines} lines; a page has 80"
        for part in ("Rules", "Decisions"):
            if not re.search(rf"^(?:## )?{part}$", text, re.MULTILINE):
                yield f"{name}: no part {part!r}"
        for decision in re.findall(
            r"^- (?!\d{4}-\d\d(?:-\d\d)?: ).*", text.partition("Decisions\n")[2], re.MULTILINE
        ):
            yield f"{name}: a decision without a date: {decision[:60]}"


def unlisted_rooms(root: Path, door: str) -> list[str]:
    """Return the rooms of a package that the table of its page leaves out."""
    table = (root / door / "DESIGN.md").read_text(encoding="utf-8").partition("## Who owns what")[2]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE))))
    rooms = {name.split("/")[1] for name in packages(root) if name.startswith(f"{door}/")}
    return sorted(rooms - named - {name.split("/")[1] for name in PENDING})


def uncited(name: str, text: str, known: Iterable[str]) -> Iterator[str]:
    """Yield `file:line: cited file` for each file that a text cites and the repository does not have."""
    endings = {f"/{path}" for path in known}
    for match in _CITED.finditer(text):
        cited = match.group()
        if cited not in ELSEWHERE and not any(path.endswith(f"/{cited}") for path in endings):
            yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {cited} is not in the repository"


def test_each_package_has_a_page() -> None:
    assert missing_pages(ROOT, PENDING) == []


def test_each_page_has_rules_and_dated_decisions_on_one_page() -> None:
    assert list(bad_pages(ROOT)) == []


@pytest.mark.parametrize("door", ["runtime", "harness"])
def test_the_page_of_a_package_lists_each_room(door: str) -> None:
    assert unlisted_rooms(ROOT, door) == []


def test_the_overview_shows_the_layers_that_are_enforced() -> None:
    page = (ROOT / "docs" / "DESIGN.md").read_text(encoding="utf-8")

    assert f"```text{LAYERS}```" in page, "copy LAYERS of tests/test_architecture.py into docs/DESIGN.md"


def test_each_cited_file_is_in_the_repository() -> None:
    files = {path.relative_to(ROOT).as_posix(): path for path in tracked_files(ROOT)}
    shown = [
        n
        for n in files
        if n.endswith((".md", ".py")) and not n.startswith(("tests/", "golden/", "cassettes/"))
    ]

    found = [line for name in shown for line in uncited(name, text_of(files[name]) or "", files)]

    assert found == []


def test_a_package_without_a_page_is_found(tmp_path: Path) -> None:
    for name in ("runtime/a/__init__.py", "runtime/a/inner/__init__.py", "runtime/b/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "runtime" / "a" / "DESIGN.md").write_text("# a\n\n- undated\n")

    assert missing_pages(tmp_path) == [
        "runtime/a/inner: runtime/a/DESIGN.md does not name it",
        "runtime/b: runtime/b/DESIGN.md is missing",
    ]
    assert len(list(bad_pages(tmp_path))) == 2


def test_a_cited_file_that_does_not_exist_is_found() -> None:
    text = "see docs/here.md\nand `gone/away.md`, *.md, `x.py`\n"

    assert list(uncited("a.md", text, ["docs/here.md", "runtime/x.py"])) == [
        "a.md:2: gone/away.md is not in the repository"
    ]
