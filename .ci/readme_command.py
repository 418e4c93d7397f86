"""Prints a command of README.md: the one-line fenced block after `<!-- command: NAME -->`; without a name, all names.

The README is the only place where these commands stand; CI and nox run what a reader would copy.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_BLOCK = re.compile(
    r"^<!-- command: (?P<name>[a-z-]+) -->\n+```\w*\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL
)


def readme_commands(text: str) -> dict[str, str]:
    """Return the marked commands of a README by name, in their order.

    Raises:
        ValueError: If a name stands twice, a block is not exactly one line, or a mark has no block.
    """
    commands: dict[str, str] = {}
    for match in _BLOCK.finditer(text):
        lines = match["lines"].strip().splitlines()
        if len(lines) != 1:
            raise ValueError(f"the command {match['name']!r} has {len(lines)} lines; it must be exactly one")
        if match["name"] in commands:
            raise ValueError(f"the command {match['name']!r} stands twice")
        commands[match["name"]] = lines[0].removeprefix("$ ")
    marks = re.findall(r"^<!-- command: (.*?) -->$", text, re.MULTILINE)
    if lost := [mark for mark in marks if mark not in commands]:
        raise ValueError(f"no fenced block follows the mark of {lost}")
    return commands


def main() -> int:
    """Print the command named by the first argument."""
    readme = Path(__file__).resolve().parents[1] / "README.md"
    try:
        commands = readme_commands(readme.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{readme.name}: {error}\n")
        return 3
    wanted = sys.argv[1:]
    if unknown := [name for name in wanted if name not in commands]:
        sys.stderr.write(f"{readme.name} marks no command {unknown}; it marks {list(commands)}\n")
        return 3
    sys.stdout.write("".join(f"{line}\n" for line in ([commands[name] for name in wanted] or commands)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
