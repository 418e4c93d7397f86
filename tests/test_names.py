"""A name means one thing: no public class name stands twice over both packages."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_CLASS = re.compile(r"^ *class ([A-Za-z]\w*)", re.MULTILINE)
ONE_MEANING = frozenset({"StreamDecoder"})
"""Names that stand once for each provider, because each module fills the same place."""
PROGRAMS = ("harness/cli/demo_project",)
"""Folders that are a user's program, written into a new project: they import the packages, never the reverse."""


def repeated(root: Path) -> dict[str, list[str]]:
    """Return the public class names that several files define, and those files."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    sources: dict[str, str] = {}
    for path in sorted(p for package in ("harness", "runtime") for p in (root / package).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name.startswith(PROGRAMS):
            continue
        sources[name] = path.read_text(encoding="utf-8")
    # Parsing is slow, so only files are parsed whose text suggests a name that stands in another file too.
    hints = Counter(hint for text in sources.values() for hint in set(_CLASS.findall(text)))
    for name, text in sources.items():
        if all(hints[hint] == 1 for hint in _CLASS.findall(text)):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(name)
    return {name: files for name, files in found.items() if len(files) > 1 and name not in ONE_MEANING}


def test_no_class_name_has_two_meanings() -> None:
    assert repeated(ROOT) == {}
    assert all((ROOT / folder).is_dir() for folder in PROGRAMS)


def test_a_name_that_stands_twice_is_found(tmp_path: Path) -> None:
    for name in ("runtime/core/a.py", "harness/diff/b.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(
            "class Scope:\n    pass\n\n\nclass _Open:\n    pass\n\n\nclass StreamDecoder:\n    pass\n"
        )

    assert repeated(tmp_path) == {"Scope": ["harness/diff/b.py", "runtime/core/a.py"]}
