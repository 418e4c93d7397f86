"""Golden tasks of agents of other frameworks: recorded, replayed through their own code, judged."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import load_task, record_http, run_task
from harness.errors import TaskError
from harness.golden.http_task import record_http_task
from harness.golden.project import Project, project_of
from harness.golden.task import GoldenTask
from harness.golden.update import update_baseline
from harness.wire.http_recording import read_http
from tests.harness.cli.commands.shop_runs import printed, run
from tests.support.http_agents import ask_parcels, parcel_provider

AGENT = """
import os
from tests.support.http_agents import ask_parcels

def parcels(prompt):
    return ask_parcels(prompt, os.environ["PARCELS_URL"], system=os.environ.get("PARCELS_SYSTEM", "Help."))

async def later(prompt):
    return parcels(prompt)

def fails(prompt):
    raise RuntimeError("no such shop")

def leaves(prompt):
    raise SystemExit(0)

def silent(prompt):
    return "nothing"
"""
TASK = """
schema: golden/1
task: parcels/lost
agent: {http: parcel_agent:parcels}
input: {prompt: Where is parcel 8812?}
expect:
  stop_reason: finish
  tools: {mode: exact, calls: [{tool: lookup, args: {id: "8812"}}, lookup]}
  output: {contains: [lost]}
"""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A recorded task in a project of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parcel_agent.py").write_text(AGENT)
    path = tmp_path / "golden" / "parcels" / "lost.golden.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TASK)
    with parcel_provider() as url:
        monkeypatch.setenv("PARCELS_URL", url)
        record_http_task(*loaded(path))
    yield path
    sys.modules.pop("parcel_agent", None)


def loaded(path: Path) -> tuple[GoldenTask, Project]:
    return load_task(path), project_of(path)


def test_a_recorded_task_replays_through_the_agents_own_code_and_passes(task: Path) -> None:
    outcome = run_task(*loaded(task))

    assert outcome.passed, outcome
    assert [c.name for s in outcome.trace.steps for c in s.tool_calls] == ["lookup", "lookup"]
    assert (outcome.trace.task, outcome.trace.source) == ("parcels/lost", "golden")


def test_a_coroutine_is_run_to_its_end(task: Path) -> None:
    task.write_text(TASK.replace(":parcels}", ":later}"))

    assert run_task(*loaded(task)).passed


def test_a_changed_prompt_is_a_divergence_with_its_cause(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELS_SYSTEM", "Help. Be brief.")

    outcome = run_task(*loaded(task))

    assert not outcome.passed
    first = outcome.divergences[0]
    assert (first.cause, first.path) == ("prompt", "$.messages[0].content")
    assert all(d.tainted for d in outcome.divergences[1:])


def test_rules_for_requests_stand_in_the_task(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELS_SYSTEM", "Help. Be brief.")
    task.write_text(TASK + 'replay: {match: {http: {ignore: {json: ["$.messages[0].content"]}}}}\n')

    assert run_task(*loaded(task)).passed


def test_a_rule_that_does_not_hold_fails_the_task(task: Path) -> None:
    task.write_text(TASK.replace("contains: [lost]", "contains: [found]"))

    (failure,) = run_task(*loaded(task)).failures

    assert "output.contains" in failure.message


def test_a_baseline_of_an_http_task_is_written_and_compared(task: Path) -> None:
    task.write_text(TASK + "  trace: baseline\n")
    update_baseline(*loaded(task), new=True, changed=False)

    assert run_task(*loaded(task)).passed


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("fails", "the agent raised RuntimeError: no such shop"),
        ("leaves", "the agent raised SystemExit: 0"),
        ("missing", "has no 'missing'"),
    ],
)
def test_an_agent_that_cannot_run_is_an_error_of_its_task(task: Path, agent: str, message: str) -> None:
    task.write_text(TASK.replace(":parcels}", f":{agent}}}"))

    with pytest.raises(TaskError, match=message):
        run_task(*loaded(task))


def test_an_agent_that_asks_no_model_leaves_the_recording_unused(task: Path) -> None:
    task.write_text(TASK.replace(":parcels}", ":silent}"))

    outcome = run_task(*loaded(task))

    assert [d.verdict for d in outcome.divergences] == ["missing"] * 3


def test_a_recording_that_fails_leaves_the_cassette_as_it_was(task: Path) -> None:
    read = project_of(task).cassette_path(load_task(task)).read_bytes
    before = read()
    task.write_text(TASK.replace(":parcels}", ":fails}"))

    with pytest.raises(TaskError, match="no such shop"):
        record_http_task(*loaded(task))

    assert read() == before
    assert sorted(p.name for p in (task.parents[2] / "cassettes" / "parcels").iterdir()) == ["lost.jsonl"]


def test_the_commands_take_http_tasks(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("test") == 0
    with parcel_provider() as url:
        os.environ["PARCELS_URL"] = url
        assert run("record", "parcels/lost") == 0
    assert (
        "recorded parcels/lost: finish, 2 tool calls -> cassettes/parcels/lost.jsonl"
        in capsys.readouterr().out
    )
    assert run("test") == 0


def test_an_http_run_is_promoted_to_a_task_of_the_agents_own_code(
    task: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        parcel_provider() as url,
        record_http("prod.jsonl", mode="record", tenant="acme", request_id="req_9"),
    ):
        monkeypatch.setenv("PARCELS_URL", url)
        ask_parcels("Another run?", url)
        ask_parcels("Where is parcel 7?", url, system="Help.")

    assert run("promote", "prod.jsonl", "--task", "prod/seven") == 2  # no function is named
    assert (
        run("promote", "prod.jsonl", "--task", "prod/seven", "--agent", "parcel_agent:parcels") == 2
    )  # two runs
    capsys.readouterr()
    code = run(
        "promote", "prod.jsonl#req_9.3", "--task", "prod/seven", "--agent", "parcel_agent:parcels", "--json"
    )

    assert code == 0, capsys.readouterr()
    report = printed(capsys)
    assert report["passed"]
    promoted = load_task(Path("golden/prod/seven.golden.yaml"))
    assert (promoted.input.prompt, promoted.input.tenant) == ("Where is parcel 7?", "acme")
    assert len(read_http(Path("cassettes/prod/seven.jsonl")).exchanges) == 3
    monkeypatch.setenv("PARCELS_SYSTEM", "Help. Be brief.")
    assert run("test", "golden/prod") == 1
