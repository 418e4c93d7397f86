"""Run every benchmark, or those named, and print one table of what was measured beside its targets.

python benchmarks/run_all.py [--json] [bench_replay ...]
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MEASURED = ("rate", "ratio", "value", "ours", "cpu_us")
"""Fields of which each row has one: what was measured, in the row's unit."""
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))


def run_all(names: list[str]) -> list[dict[str, Any]]:
    """Return the rows of all benchmarks, or of those named, each with its `bench`.

    A benchmark is a file `bench_*.py` with `run()`, which returns rows of `name`, one of `MEASURED`, `target`
    (`None` where a row is only for comparison), `unit` and `ok`.

    Raises:
        ValueError: If a name is no benchmark.
    """
    known = sorted(path.stem for path in HERE.glob("bench_*.py"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no benchmark; there are {', '.join(known)}")
    rows: list[dict[str, Any]] = []
    for name in names or known:
        print(f"running {name} ...", file=sys.stderr, flush=True)
        rows += [{"bench": name, **row} for row in importlib.import_module(f"benchmarks.{name}").run()]
    return rows


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print rows as one table; a row without a target is marked `info`."""
    cells = [["", "benchmark", "measured", "target", "unit"], *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    for row in cells:
        mark, name, measured, target, unit = row
        print(
            f"{mark:<{widths[0]}}  {name:<{widths[1]}}  {measured:>{widths[2]}}  {target:>{widths[3]}}  {unit}"
        )


def _cells(row: dict[str, Any]) -> list[str]:
    target = row.get("target")
    mark = "info" if target is None else "ok" if row["ok"] else "MISS"
    measured = next(row[name] for name in MEASURED if name in row)
    return [mark, row["name"], f"{measured:,}", "" if target is None else f"{target:,g}", row["unit"]]


def main(arguments: list[str]) -> int:
    """Run the named benchmarks and print their rows; the exit code is 1 if one missed a target, 2 for a wrong name."""
    try:
        rows = run_all([a.removesuffix(".py") for a in arguments if a != "--json"])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if "--json" in arguments:
        print(json.dumps({"schema": "goldrun.bench/1", "rows": rows}))
    else:
        print_rows(rows)
    missed = sorted({row["bench"] for row in rows if not row["ok"]})
    if missed:
        print(f"missed a target: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
