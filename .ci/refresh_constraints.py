"""Writes `.ci/constraints.txt`: one exact version of everything that the `dev` extra needs, for each Python we support.

Run it with all of them on PATH: `python3 .ci/refresh_constraints.py`. It uses nothing but venv and pip. Packages that
only another system needs (Windows, macOS) are not pinned, because pip resolves for the system it runs on.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
HEAD = """\
# Exact versions of everything that `pip install -e ".[dev]"` brings. Both commands of the README use this file.
# `python3 .ci/refresh_constraints.py` writes it; the weekly workflow runs without it.
"""


def supported_pythons() -> list[str]:
    """Return the versions that the classifiers of pyproject.toml name, oldest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in project["classifiers"]
    ]
    return sorted((match[1] for match in found if match), key=lambda version: int(version.partition(".")[2]))


def resolve(python: str) -> dict[str, str]:
    """Return the newest version of each package that the `dev` extra needs on one Python.

    Raises:
        LookupError: If that Python does not run here.
        subprocess.CalledProcessError: If pip finds no solution.
    """
    interpreter = shutil.which(f"python{python}")
    if not interpreter or subprocess.run([interpreter, "-c", ""], check=False).returncode:
        raise LookupError(f"python{python} does not run; put it on PATH")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([interpreter, "-m", "venv", f"{folder}/venv"], check=True)
        pip = [f"{folder}/venv/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        report = Path(folder, "report.json")
        command = [*pip, "--dry-run", "--ignore-installed", "--report", str(report), f"{ROOT}[dev]"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    versions = {normalised(item["metadata"]["name"]): item["metadata"]["version"] for item in installed}
    del versions["goldrun"]
    return versions


def normalised(name: str) -> str:
    """Return the one spelling that package indexes give a name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints(found: dict[str, dict[str, str]]) -> str:
    """Return the text of the file from `{python: {package: version}}`.

    A package has one line; or one for each version, with a marker, where not all Pythons agree.
    """
    homes: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for python, versions in found.items():
        for name, version in versions.items():
            homes[name][version].append(python)
    lines = []
    for name, versions_of in sorted(homes.items()):
        for version, pythons in versions_of.items():
            marker = " or ".join(f'python_version == "{python}"' for python in pythons)
            lines.append(f"{name}=={version}" + ("" if len(pythons) == len(found) else f" ; {marker}"))
    return HEAD + "".join(f"{line}\n" for line in lines)


def main() -> int:
    """Resolve on every supported Python and replace the file."""
    try:
        text = constraints({python: resolve(python) for python in supported_pythons()})
    except (LookupError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{CONSTRAINTS.name} is unchanged: {error}\n")
        return 3
    CONSTRAINTS.write_text(text, encoding="utf-8")
    sys.stdout.write(
        f"{CONSTRAINTS.relative_to(ROOT)}: {text.count('==') - text.count('python_version ==')} pins\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
