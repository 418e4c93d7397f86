"""SIGKILL while eight runs record: what was acknowledged is there, and every file can be read."""

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cassette.segment import read_segment
from harness.redaction.pseudonyms import KEY_FILE
from harness.sessions.recover import orphan_journals, recover_journal
from runtime.journal.files import read_journal

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")


class Worker:
    """The helper process, which forks a recording worker for each folder."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).with_name("killed_worker.py")), str(writer)],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(writer,),
        )  # fmt: skip
        os.close(writer)

    def kill_after(self, folder: Path, appends: int) -> set[tuple[str, int]]:
        """Let a worker record until it told of some appends, kill it, and return what it acknowledged."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        told = b""
        give_up = time.monotonic() + 60
        while told.count(b"\n") < appends and time.monotonic() < give_up:
            told += self._read(1.0)
        os.kill(child, signal.SIGKILL)
        assert self.process.stdout.readline() == "dead\n"
        while rest := self._read(0.0):
            told += rest
        lines = told.decode().split("\n")[:-1]
        return {(run, int(seq)) for run, seq in (line.split() for line in lines)}

    def _read(self, wait_s: float) -> bytes:
        ready, _, _ = select.select([self.reader], [], [], wait_s)
        return os.read(self.reader, 1 << 16) if ready else b""

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()
        os.close(self.reader)


def found_in(folder: Path) -> tuple[dict[str, int], int]:
    """Return how many records of each run are there, and how many files have a torn tail."""
    found: dict[str, int] = {}
    torn = 0
    for path in folder.glob("*.jsonl"):
        if path.stat().st_size:
            reader = read_journal(path)
            found |= {run.run: max(len(run.records), found.get(run.run, 0)) for run in reader}
            torn += reader.torn_bytes > 0
    for path in folder.glob("*.seg"):
        segment = read_segment(path)
        for entry in segment.runs:
            found[entry.run_id] = max(len(segment.records(entry)), found.get(entry.run_id, 0))
    return found, torn


def test_every_acknowledged_record_survives_a_kill(
    tmp_path: Path, full: bool, say: Callable[[str], None]
) -> None:
    kills = 1000 if full else 4
    chance = random.Random(20261122)
    worker = Worker()
    lost: list[tuple[int, str, int]] = []
    acknowledged = torn_files = 0

    try:
        for number in range(kills):
            folder = tmp_path / str(number)
            acks = worker.kill_after(folder, chance.randrange(1, 900))
            found, torn = found_in(folder)
            acknowledged += len(acks)
            torn_files += torn
            lost += [(number, run, seq) for run, seq in acks if found.get(run, 0) <= seq]
            assert torn <= 1
    finally:
        worker.close()

    say(f"{kills} kills, {acknowledged} acknowledged records, {len(lost)} lost, {torn_files} torn tails")
    assert acknowledged > kills
    assert lost == []


def test_what_a_killed_worker_leaves_is_recovered(tmp_path: Path) -> None:
    worker = Worker()
    try:
        acks = worker.kill_after(tmp_path, 700)
    finally:
        worker.close()

    for journal in orphan_journals(tmp_path):
        recover_journal(journal)

    found, _ = found_in(tmp_path)
    assert {p.suffix for p in tmp_path.iterdir() if p.name != KEY_FILE} == {".seg"}
    assert {run for run, _ in acks} <= set(found)
