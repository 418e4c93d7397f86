"""Time 1,000 recorded golden tasks of 20 steps under pytest against 1,000 empty custom items, and without pytest.

Every measurement is a process of its own, as users start it; what counts is the CPU time of that process, start
included, the least of three. Items and tasks both stand in files of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.workload import STEPS, recorded_run
from harness.cassette.golden_cassette import write_cassette
from runtime.journal.recording import recording_of

ROOT = Path(__file__).resolve().parents[1]
TASKS = 1_000
PYTEST_TARGET, PLAIN_TARGET = 2.5, 0.5
_ROUNDS = 3
_PYTEST = ("-m", "pytest", "-q", "-c", "pytest.ini", "-p", "no:cacheprovider", "-p", "no:goldrun")

_TASK = """\
schema: golden/1
task: bench/task_{number:04d}
agent: recorded
expect:
  stop_reason: finish
  tools:
    mode: superset
    calls:
      - {{tool: kb.search, args: {{q: {{regex: "refund"}}}}}}
      - {{tool: ticket.note, status: ok}}
  counts: {{tool_calls: {calls}, retries: 0, denials: 0}}
  cost: {{max_usd: 0.5}}
  output: {{contains: [refund]}}
"""

_EMPTY_ITEMS = '''\
"""Collects each *.bare file as one item that does nothing."""

import pytest


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".bare":
        return BareFile.from_parent(parent, path=file_path)


class BareFile(pytest.File):
    def collect(self):
        yield BareItem.from_parent(self, name=self.path.stem)


class BareItem(pytest.Item):
    def runtest(self):
        pass
'''


def run() -> list[dict[str, Any]]:
    """Return one row for each measurement: `name`, `ratio`, `target`, `unit`, `ok` and both CPU times in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        bare, golden = Path(folder, "bare"), Path(folder, "suite")
        _write_bare(bare)
        _write_golden(golden)
        best = _least(
            [
                (bare, _PYTEST),
                (golden, (*_PYTEST, "-p", "harness.plugin", "golden")),
                (golden, ("-m", "harness.cli.main", "test", "--no-pytest", "golden")),
            ]
        )
    empty, under_pytest, plain = best
    return [
        _row(f"{TASKS:,} golden tasks under pytest", under_pytest, empty, PYTEST_TARGET, "bare custom items"),
        _row(
            f"{TASKS:,} golden tasks without pytest",
            plain,
            under_pytest,
            PLAIN_TARGET,
            "the same under pytest",
        ),
    ]


def _write_bare(folder: Path) -> None:
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(_EMPTY_ITEMS)
    for number in range(TASKS):
        (folder / f"task_{number:04d}.bare").touch()


def _write_golden(folder: Path) -> None:
    tasks, cassettes = folder / "golden" / "bench", folder / "cassettes" / "bench"
    tasks.mkdir(parents=True)
    cassettes.mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for number in range(TASKS):
        name = f"task_{number:04d}"
        records = recorded_run(task=f"bench/{name}", request_id=f"req_bench_{number}")
        write_cassette(cassettes / f"{name}.cassette.json", recording_of(records))
        (tasks / f"{name}.golden.yaml").write_text(_TASK.format(number=number, calls=STEPS - 1))


def _least(jobs: list[tuple[Path, tuple[str, ...]]]) -> list[float]:
    """Return the least CPU seconds of each job's process; every round runs all jobs, so load falls on all alike."""
    best = [float("inf")] * len(jobs)
    for _ in range(_ROUNDS):
        for at, (folder, arguments) in enumerate(jobs):
            best[at] = min(best[at], _cpu_seconds(folder, arguments))
    return best


def _cpu_seconds(folder: Path, arguments: tuple[str, ...]) -> float:
    # Other pytest plugins of the environment would be charged to both sides and blur the ratio.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    before = os.times()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    after = os.times()
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return after.children_user - before.children_user + after.children_system - before.children_system


def _row(name: str, ours: float, theirs: float, target: float, peer: str) -> dict[str, Any]:
    return {
        "name": name,
        "ratio": round(ours / theirs, 2),
        "target": target,
        "unit": f"x the CPU of {peer}, at most",
        "ok": ours / theirs <= target,
        "ours_s": round(ours, 2),
        "peer_s": round(theirs, 2),
    }


def main() -> int:
    """Print the rows; the exit code says whether every target holds."""
    from benchmarks.run_all import print_rows

    rows = run()
    print_rows(rows)
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
