"""A recorder that was made, or used, before its workers were forked loses nothing and seals everything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cassette.store import iter_recordings
from harness.record import ProductionRecorder
from runtime.entry.agent import Agent
from runtime.entry.run import Request, run_agent
from runtime.testing.scripted import ScriptedModel, says

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def run_one(recorder: ProductionRecorder, request_id: str) -> None:
    request = Request(prompt="hello", request_id=request_id)
    run_agent(
        Agent(name="demo", model="m1"), request, model=ScriptedModel([says("done")]), wrap=recorder.wrap
    )


def in_child(recorder: ProductionRecorder, name: str) -> int:
    """Run one run in a forked process and close the recorder there; return the child's exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run_one(recorder, name)
            code = 0 if recorder.flush(timeout_s=30.0) else 2
            recorder.close()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("used_before", [False, True])
def test_runs_of_forked_workers_are_recorded_and_sealed(tmp_path: Path, used_before: bool) -> None:
    recorder = ProductionRecorder(tmp_path)
    if used_before:
        run_one(recorder, "req_parent_1")

    codes = [in_child(recorder, f"req_child_{n}") for n in range(3)]
    run_one(recorder, "req_parent_2")
    recorder.close()

    found = {recording.header.request_id for recording in iter_recordings(tmp_path)}
    assert codes == [0, 0, 0]
    assert found >= {"req_parent_2", "req_child_0", "req_child_1", "req_child_2"}
    assert ("req_parent_1" in found) == used_before
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_parent_that_sealed_takes_no_run_of_its_child_away(tmp_path: Path) -> None:
    recorder = ProductionRecorder(tmp_path)
    run_one(recorder, "req_parent")
    to_child, from_parent = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.read(to_child, 1)
            run_one(recorder, "req_child")
            recorder.close()
            code = 0
        finally:
            os._exit(code)

    recorder.close()
    os.write(from_parent, b"x")
    status = os.waitpid(child, 0)[1]

    assert os.waitstatus_to_exitcode(status) == 0
    assert {r.header.request_id for r in iter_recordings(tmp_path)} == {"req_parent", "req_child"}
