"""Prints constraints that hold every dependency named in pyproject.toml at its lower bound.

`pip install -c <this> -e ".[dev]"` and the tests then prove that the bounds are true. What the dependencies need
themselves is not held: pip takes the newest that they allow.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<version>[0-9.]+)(?:,.*)?")


def lower_bounds(text: str) -> dict[str, str]:
    """Return the lower bound of each direct dependency of a pyproject.toml, the extras included.

    Raises:
        ValueError: If a dependency has no lower bound, or two.
    """
    project = tomllib.loads(text)["project"]
    bounds: dict[str, str] = {}
    for line in [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]:
        if line.startswith(f"{project['name']}["):
            continue
        match = _BOUND.fullmatch(line)
        if match is None or match["name"] in bounds:
            raise ValueError(
                f"{line!r} is not one 'name>=version'; write one lower bound for each dependency"
            )
        bounds[match["name"]] = match["version"]
    return bounds


def main() -> int:
    """Print one `name==version` a line."""
    try:
        bounds = lower_bounds(PYPROJECT.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{PYPROJECT.name}: {error}\n")
        return 3
    sys.stdout.write("".join(f"{name}=={version}\n" for name, version in bounds.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
