"""Prints the figures that the code base promises, one a line with its target, and fails if one is missed.

`python .ci/figures.py` needs the `dev` extra. It asks the checks of the tests and pyright, so a figure is never
counted in two ways. pyright finds the packages from the root of the checkout; an editable install leads there too.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("runtime", "harness")
LONG_FUNCTION = 40
MOST_LONG = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        name: What was counted.
        value: As it is shown.
        target: As it is shown.
        met: Whether the value reaches the target.
        where: What misses it, one a line.
    """

    name: str
    value: str
    target: str
    met: bool
    where: tuple[str, ...] = ()


def none_of(name: str, found: list[str]) -> Figure:
    """Return a figure whose target is 0."""
    return Figure(name=name, value=str(len(found)), target="0", met=not found, where=tuple(found))


def long_functions(modules: dict[str, ast.Module]) -> Figure:
    """Return the share of functions over 40 lines."""
    functions = [
        (f"{name}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for name, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = [f"{where}: {lines} lines" for where, lines in functions if lines > LONG_FUNCTION]
    share = len(long) / len(functions)
    return Figure(
        name=f"functions over {LONG_FUNCTION} lines",
        value=f"{share:.2%} ({len(long)} of {len(functions):,})",
        target=f"under {MOST_LONG:.0%}",
        met=share < MOST_LONG,
        where=tuple(long) if share >= MOST_LONG else (),
    )


def completeness(package: str, report: dict[str, Any], root: Path = ROOT) -> Figure:
    """Return the share of a package's public symbols whose type is known, as `pyright --verifytypes` counts them."""
    found = report.get("typeCompleteness", {})
    counts: dict[str, int] = found.get("exportedSymbolCounts", {})
    marker = found.get("pyTypedPath")
    total, known = sum(counts.values()), counts.get("withKnownType", 0)
    # A package that was not found has no symbols, and none of them has an unknown type.
    seen = (
        marker is not None and Path(marker).resolve() == (root / package / "py.typed").resolve() and total > 0
    )
    where = [
        f"{symbol['name']}: {line}"
        for symbol in found.get("symbols", [])
        if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]
        for line in [each["message"].splitlines()[0] for each in symbol["diagnostics"]]
        or ["partially unknown"]
    ]
    return Figure(
        name=f"verifytypes {package}",
        # Rounded down: 99.99 % is not 100 %.
        value=f"{known * 1000 // total / 10:g} % ({known:,} of {total:,} symbols)" if seen else "not found",
        target="100 %",
        met=seen and known == total,
        where=tuple(where if seen else [f"pyright sees {marker} instead of {package}/py.typed"]),
    )


def verified(package: str) -> dict[str, Any]:
    """Return what `pyright --verifytypes` says about a package.

    Raises:
        SystemExit: If the checker does not run.
    """
    folder = Path(sys.executable).parent
    # The checker takes its packages from the first python on PATH.
    environment = {**os.environ, "PATH": os.pathsep.join([str(folder), os.environ.get("PATH", "")])}
    command = [str(folder / "basedpyright"), "--verifytypes", package, "--ignoreexternal", "--outputjson"]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        report: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError) as error:
        raise SystemExit(f"basedpyright does not run here: {error}; install the dev extra") from error
    return report


def figures() -> Iterator[Figure]:
    """Yield all figures, the quick ones first."""
    from tests import test_architecture as architecture
    from tests import test_public_types as public
    from tests.runtime.entry import test_frames as frames

    yield none_of("import circles", architecture.circle_violations(architecture.OURS))
    sizes = architecture.size_violations(ROOT)
    yield none_of(
        f"files over {architecture.FILE_LINES} lines", [line for line in sizes if " has " not in line]
    )
    yield long_functions(architecture.OURS.modules)
    leaks = [f"{name} of {place}" for name, place in public.leaks(public.public_values()).items()]
    yield none_of("public types not exported", leaks)
    with tempfile.TemporaryDirectory() as folder:
        above = frames.frames_of_a_governed_run(Path(folder))
    yield Figure(
        name="frames above a tool's body",
        value=str(len(above)),
        target=f"at most {frames.MOST_FRAMES}",
        met=0 < len(above) <= frames.MOST_FRAMES,
        where=tuple(above) if len(above) > frames.MOST_FRAMES else (),
    )
    for package in PACKAGES:
        yield completeness(package, verified(package))


def main() -> int:
    """Print all figures; return 1 if one misses its target."""
    sys.path.insert(0, str(ROOT))  # the checks of the tests are not installed
    missed = False
    for figure in figures():
        missed |= not figure.met
        sys.stdout.write(
            f"{figure.name:28} {figure.value:32} {figure.target:12} {'' if figure.met else 'MISSED'}".rstrip()
            + "\n"
        )
        sys.stdout.writelines(f"    {line}\n" for line in figure.where)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
