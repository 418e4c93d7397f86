"""Resuming with the runtime alone: in a process where nothing of `harness` can be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

ALONE = """
import asyncio, os, sys
from pathlib import Path

class NoHarness:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "harness":
            raise ImportError("harness is not here")

sys.meta_path.insert(0, NoHarness())
from runtime import Agent, Governor, Request, ScriptedModel, SqliteControlStore, run_agent, tool
from runtime.state.control.blocking import BlockingControlStore
from runtime.entry.resume import resume_from
from runtime.execution.world import World
from runtime.journal.files import JournalWriter, read_journal
from runtime.journal.recording_performer import JournalSink, RecordingPerformer
from runtime.journal.recording import recording_of
from runtime.testing import calls
from runtime.models.prices import PriceTable
from runtime.ports.control_values import RunKey

folder = Path(sys.argv[1])
store = BlockingControlStore(SqliteControlStore(folder / "control.db"))
governor = Governor(store.store)
paid = folder / "paid"

@tool(write=True, takes_key=True)
async def pay(order: int) -> str:
    with paid.open("a") as file:
        file.write(f"{order}\\n")
    if order == 2 and sys.argv[2] == "cut":
        os._exit(9)
    return f"order {order} is paid"

agent = Agent(name="clerk", model="m1", tools=(pay,))
turns = [calls(("pay", {"order": 1})), calls(("pay", {"order": 2})), "both are paid"]

def recording_to(journal):
    return lambda inner: RecordingPerformer(inner, JournalSink(journal), cleaner=None)

class Journals:
    '''The run archive of this service: one journal.'''

    def find(self, key):
        return next((r for r in self.runs(tenant=key.tenant, environment=key.environment)
                     if r.header.request_id == key.request_id), None)

    def runs(self, *, tenant, environment):
        for run in read_journal(folder / "run.jsonl"):
            recording = recording_of(run.records)
            if (recording.header.tenant, recording.header.environment) == (tenant, environment):
                yield recording

key = RunKey(tenant="acme", environment="prod", request_id="req_1")
if sys.argv[2] == "cut":
    request = Request(prompt="pay both", tenant="acme", environment="prod", request_id="req_1")
    with JournalWriter(folder / "run.jsonl") as journal:
        run_agent(agent, request, model=ScriptedModel(turns), governor=governor, wrap=recording_to(journal))
else:
    store.sweep_runs(now=governor.now() + 3600)
    with JournalWriter(folder / "more.jsonl") as journal:
        world = World(model=ScriptedModel(turns[2:]), governor=governor, wrap=recording_to(journal))
        result = asyncio.run(resume_from(Journals(), key, agent, world))
    print(result.stop_reason, *(call.result for call in result.trace.tool_calls), sep="|")
    (entry,) = store.find_runs("req_1")
    print(entry.stop_reason, entry.fencing, sep="|")
assert not any(name.partition(".")[0] == "harness" for name in sys.modules)
"""


def alone(folder: Path, part: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE, str(folder), part]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="the journal of a dead process is held there")
def test_a_run_is_recorded_cut_off_and_resumed_where_harness_cannot_be_imported(tmp_path: Path) -> None:
    cut = alone(tmp_path, "cut")
    resumed = alone(tmp_path, "resume")

    assert cut.returncode == 9, cut.stderr
    assert resumed.returncode == 0, resumed.stderr
    run, entry = resumed.stdout.splitlines()
    assert run == "finish|order 1 is paid|order 2 is paid"
    assert entry == "finish|2"
    # The second payment was in flight: its tool takes the key, so it is made again under the same one.
    assert (tmp_path / "paid").read_text().split() == ["1", "2", "2"]
