"""A run killed behind any of its records goes on where it was: done once, same trace, in-flight writes in doubt."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.cassette.store import read_recording
from harness.sessions.resume import World, resume_run
from runtime.core.effects import EffectKind
from runtime.entry.run import RunResult
from runtime.journal.recording import Recording
from runtime.testing import ScriptedModel
from tests.reliability.cut_run import ledger_agent, record, script

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")


def cut_runs(tmp_path: Path, boundaries: range) -> dict[int, Path]:
    """Run and kill behind each record; return the journals."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    journals = {last: tmp_path / f"{last}.jsonl" for last in boundaries}
    lines = "".join(f"{path} {path.with_suffix('.ledger')} {last}\n" for last, path in journals.items())
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("cut_run.py"))],
        env=environment, input=lines, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(journals)
    return journals


def in_flight(recording: Recording) -> tuple[bool, int]:
    """Return whether a write was in flight, and how many model calls were answered."""
    open_writes = [i for i in recording.interactions if not i.answered and i.record.write]
    answered = [i for i in recording.interactions if i.kind is EffectKind.MODEL and i.answered]
    return bool(open_writes), len(answered)


async def resumed(journal: Path) -> tuple[RunResult, Recording]:
    recording = read_recording(journal)
    _, answered = in_flight(recording)
    agent = ledger_agent(journal.with_suffix(".ledger"))
    world = World(model=ScriptedModel(script()[answered:]))
    return await resume_run(recording, agent, world, out=journal.with_suffix(".resumed.jsonl")), recording


def test_a_run_killed_at_any_record_boundary_is_carried_to_the_same_end(tmp_path: Path) -> None:
    whole = asyncio.run(record(tmp_path / "whole.jsonl", tmp_path / "whole.ledger"))
    records = len((tmp_path / "whole.jsonl").read_bytes().splitlines())
    expected = Counter((tmp_path / "whole.ledger").read_text().splitlines())
    assert whole.stop_reason == "finish"
    in_doubt = same = 0

    for last, journal in cut_runs(tmp_path, range(records - 1)).items():
        result, before = asyncio.run(resumed(journal))

        done = Counter(journal.with_suffix(".ledger").read_text().splitlines())
        again = read_recording(journal.with_suffix(".resumed.jsonl"))
        assert again.trace().trace_hash == result.trace.trace_hash
        assert all(count == 1 for line, count in done.items() if line.startswith("pay")), (
            f"behind {last}: {done}"
        )
        if in_flight(before)[0]:
            assert result.stop_reason == "in_doubt:pay", f"behind record {last}"
            in_doubt += 1
        else:
            assert done == expected, f"behind record {last}"
            assert result.trace.trace_hash == whole.trace.trace_hash, f"behind record {last}"
            same += 1

    assert in_doubt == sum(line.startswith("pay") for line in expected)
    assert same + in_doubt == records - 1
