"""Checks that a release tag, the version in pyproject.toml and the newest section of CHANGELOG.md agree.

`python .ci/check_release.py v1.2.3` prints every disagreement and ends with 1 if there is one.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_SECTION = re.compile(r"^## \[(?P<name>[^\]]+)\](?: - (?P<day>\d{4}-\d{2}-\d{2}))?[ ]*$", re.MULTILINE)


def disagreements(tag: str, pyproject: str, changelog: str) -> list[str]:
    """Return what keeps a tag from being released; nothing if all agree."""
    version = tomllib.loads(pyproject)["project"]["version"]
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag!r}, but the version in pyproject.toml is {version!r}: tag v{version}")
    sections = list(_SECTION.finditer(changelog))
    bodies = {s["name"]: changelog[s.end() :].partition("\n## [")[0].strip() for s in sections}
    released = [section for section in sections if section["name"] != "Unreleased"]
    if bodies.get("Unreleased"):
        found.append(
            f"CHANGELOG.md has unreleased changes: move them to a section '## [{version}] - YYYY-MM-DD'"
        )
    if not released or released[0]["name"] != version:
        newest = released[0]["name"] if released else None
        found.append(f"the newest release of CHANGELOG.md is {newest!r}, not {version!r}")
    elif released[0]["day"] is None:
        found.append(
            f"the section [{version}] of CHANGELOG.md has no day: write '## [{version}] - YYYY-MM-DD'"
        )
    elif not bodies[version]:
        found.append(f"the section [{version}] of CHANGELOG.md is empty")
    return found


def main() -> int:
    """Check the tag that is the first argument."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: check_release.py TAG\n")
        return 2
    pyproject, changelog = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "CHANGELOG.md")
    )
    found = disagreements(sys.argv[1], pyproject, changelog)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
