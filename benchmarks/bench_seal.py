"""Time what follows a recorded run: sealing its journal, beside vcrpy's append and save of the same model calls."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench_record import at_least, at_most, interleaved, record, theirs
from harness.record.sealing import seal_journal
from runtime.journal.files import JournalWriter

SEAL_TARGET_MS = 1.5
VCR_TARGETS = {20: 1.0, 200: 8.0}
_RUNS = {20: 20, 200: 3}
"""Runs of one journal: its dictionary and footer are made once, as in production."""


def recorded_and_sealed(steps: int, folder: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a job that records one journal of runs, and one that seals the newest journal."""
    numbers = iter(range(1_000_000))
    open_journals: list[Path] = []

    def write() -> None:
        path = folder / f"journal-{steps}-{next(numbers)}.jsonl"
        with JournalWriter(path) as writer:
            for variant in range(_RUNS[steps]):
                record(steps, writer.append, run=writer.claim(f"run_{variant}"), variant=variant)
        open_journals.append(path)

    return write, lambda: seal_journal(open_journals.pop())


def run() -> list[dict[str, Any]]:
    """Return one row for each measurement: `name`, `value`, `target`, `unit` and `ok`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = {steps: recorded_and_sealed(steps, folder) for steps in (20, 200)}
        spent = interleaved(
            [
                (jobs[20][0], 1),
                (jobs[20][1], 1),
                (jobs[200][0], 1),
                (jobs[200][1], 1),
                (theirs(20, folder), 3),
                (theirs(200, folder), 1),
            ]
        )
    write = {20: spent[0] / _RUNS[20], 200: spent[2] / _RUNS[200]}
    seal = {20: spent[1] / _RUNS[20], 200: spent[3] / _RUNS[200]}
    peer = {20: spent[4], 200: spent[5]}
    return [
        at_most("CPU to seal a run of 20 steps", seal[20] * 1e3, SEAL_TARGET_MS, "ms"),
        *(
            at_least(
                f"recording and sealing a run of {steps} steps, vcrpy append+save",
                peer[steps] / (write[steps] + seal[steps]),
                target,
                "x less CPU",
            )
            for steps, target in VCR_TARGETS.items()
        ),
    ]


def main() -> int:
    """Print the rows; the exit code says whether every target holds."""
    rows = run()
    for row in rows:
        mark = "ok  " if row["ok"] else "MISS"
        print(
            f"{mark} {row['name']:<66} {row['value']:>8,.2f} {row['unit']} (target {row['sign']} {row['target']})"
        )
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
