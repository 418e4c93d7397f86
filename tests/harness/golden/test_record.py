"""Recording golden tasks: nothing is written by accident, and a worse run replaces nothing."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cassette.golden_cassette import read_cassette
from harness.cassette.store import iter_recordings, read_recording
from harness.errors import CassetteError, RecordingStopped, TaskError
from harness.golden.loader import load_task
from harness.golden.project import Project
from harness.golden.record import TaskRecording, record_task
from harness.golden.runner import run_task
from harness.sessions.replay import replay_run
from runtime.testing import ScriptedModel, calls

MODULE = "shop_under_record"
CODE = '''
from runtime import Agent, Budget, Policy, tool
from pathlib import Path

LOG = Path(__file__).with_name("writes.log")


def log(text):
    with LOG.open("a") as file:
        file.write(text + "\\n")


@tool
async def look(item: str) -> str:
    """Look."""
    log(f"look {item}")
    return f"3 of {item}"


@tool(write=True)
async def pay(cents: int) -> str:
    """Pay."""
    log(f"pay {cents}")
    return f"paid {cents}"


@tool(children=True)
async def delegate(what: str, ctx) -> str:
    """Have a clerk do it."""
    done = await ctx.child(clerk(), what)
    return f"{done.stop_reason}: {done.output}"


def clerk():
    return Agent(name="clerk", model="m1", instructions="You are the clerk.", tools=(look, pay),
                 policy=Policy(allow="any"))


def build():
    return Agent(name="shop", model="m1", instructions="Sell.", tools=(look, pay, delegate),
                 policy=Policy(allow="any", approve=APPROVE), budget=Budget(max_steps=8))


def pretend(cents):
    log("pretend")
    return f"pretended {cents}"
'''
Make = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project whose agent looks, pays and delegates; what it really did stands in `writes.log`."""
    (tmp_path / "golden" / "shop").mkdir(parents=True)
    _code(tmp_path)
    yield Project(tmp_path)
    sys.modules.pop(MODULE, None)


def _code(root: Path, approve: str = "()") -> None:
    (root / f"{MODULE}.py").write_text(CODE.replace("APPROVE", approve), encoding="utf-8")
    sys.modules.pop(MODULE, None)


def _task(project: Project, more: str = "expect: {stop_reason: finish}", environment: str = "test") -> Any:
    path = project.golden / "shop" / "sale.golden.yaml"
    head = f"""\
        schema: golden/1
        task: shop/sale
        agent: {MODULE}:build
        input: {{prompt: sell, environment: {environment}}}
        """
    path.write_text(textwrap.dedent(head) + textwrap.dedent(more) + "\n", encoding="utf-8")
    return load_task(path)


def _did(project: Project) -> list[str]:
    log = project.root / "writes.log"
    done = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    log.unlink(missing_ok=True)
    return done


def _record(task: Any, project: Project, script: list[Any], **options: Any) -> TaskRecording:
    return record_task(task, project, model=ScriptedModel(script), **options)


SALE = [calls(("look", {"item": "pear"})), calls(("pay", {"cents": 5})), "sold"]


def test_a_write_that_no_cassette_holds_stops_the_recording_before_it_is_made(project: Project) -> None:
    task = _task(project)

    with pytest.raises(RecordingStopped, match=r'would make the write pay\({"cents":5}\)') as stopped:
        _record(task, project, SALE)

    assert "--allow-writes=pay" in str(stopped.value)
    assert _did(project) == ["look pear"]
    assert not project.cassette_path(task).exists()


def test_an_allowed_write_is_made_once_and_answers_every_later_recording(project: Project) -> None:
    task = _task(project)
    first = _record(task, project, SALE, allow_writes=["pay"])
    assert (first.status, _did(project)) == ("recorded", ["look pear", "pay 5"])

    again = _record(task, project, [SALE[0], SALE[1], "sold, thank you"])

    assert (again.status, _did(project)) == ("recorded", ["look pear"])
    assert read_cassette(again.path).trace().tool_calls[1].result == "paid 5"
    assert run_task(task, project).passed


@pytest.mark.parametrize("second", [{"cents": 6}, {"cents": 5}])
def test_a_write_with_other_arguments_or_once_more_is_not_held(
    project: Project, second: dict[str, int]
) -> None:
    task = _task(project)
    _record(task, project, SALE, allow_writes=["*"])
    before = project.cassette_path(task).read_bytes()
    _did(project)

    with pytest.raises(RecordingStopped, match="would make the write pay"):
        _record(task, project, [SALE[1], calls(("pay", second)), "sold"])

    assert _did(project) == []
    assert project.cassette_path(task).read_bytes() == before


def test_writes_of_prod_need_the_name_of_their_tool(project: Project) -> None:
    task = _task(project, environment="prod")

    with pytest.raises(RecordingStopped, match="the environment is prod"):
        _record(task, project, SALE, allow_writes=["*"])
    assert _did(project) == ["look pear"]

    assert _record(task, project, SALE, allow_writes=["pay"]).status == "recorded"
    assert _did(project) == ["look pear", "pay 5"]


def test_a_write_beside_reads_of_one_turn_stops_them_all(project: Project) -> None:
    task = _task(project)
    turn = calls(("pay", {"cents": 5}), ("look", {"item": "pear"}), ("pay", {"cents": 6}))

    with pytest.raises(RecordingStopped, match=r"cents.:5"):
        _record(task, project, [turn, "sold"])

    assert _did(project) == []


def test_an_approval_that_nobody_answered_stops_the_recording(project: Project) -> None:
    _code(project.root, "('pay',)")
    task = _task(project)

    with pytest.raises(RecordingStopped, match=r"nobody answered the approval of pay") as stopped:
        _record(task, project, SALE, allow_writes=["pay"])

    assert "approvals: {pay: grant}" in str(stopped.value)
    assert _did(project) == ["look pear"]


@pytest.mark.parametrize(
    ("said", "stop", "made"),
    [
        ("grant", "finish", ["look pear", "pay 5"]),
        ("deny", "approval_denied:pay", ["look pear"]),
        ("timeout", "approval_timeout", ["look pear"]),
    ],
)
def test_the_task_answers_approvals_and_the_next_recording_answers_them_alike(
    project: Project, said: str, stop: str, made: list[str]
) -> None:
    _code(project.root, "('pay',)")
    policy = "policy: {on_denied: stop}\n"
    task = _task(project, f"{policy}approvals: {{pay: {said}}}\nexpect: {{stop_reason: '{stop}'}}")
    assert _record(task, project, SALE, allow_writes=["pay"]).result.stop_reason == stop
    assert _did(project) == made

    silent = _task(project, f"{policy}expect: {{stop_reason: '{stop}'}}")
    again = _record(silent, project, [calls(("look", {"item": "apple"})), *SALE[1:]])

    assert (again.status, again.result.stop_reason) == ("recorded", stop)
    assert _did(project) == ["look apple"]


def test_a_stand_in_answers_in_place_of_its_tool(project: Project) -> None:
    task = _task(project, f"stand_ins: {{pay: '{MODULE}:pretend'}}")

    made = _record(task, project, SALE)

    assert _did(project) == ["look pear", "pretend"]
    assert read_cassette(made.path).trace().tool_calls[1].result == "pretended 5"


@pytest.mark.parametrize("section", ["approvals: {pya: grant}", "stand_ins: {pya: 'a:b'}"])
def test_a_misspelt_tool_of_a_section_is_an_error_with_its_line(project: Project, section: str) -> None:
    source = (project.root / f"{MODULE}.py").read_text(encoding="utf-8")
    (project.root / f"{MODULE}.py").write_text(source.replace("pay, delegate)", "pay)"), encoding="utf-8")
    task = _task(project, section)

    with pytest.raises(TaskError, match=r"sale\.golden\.yaml:5: the agent has no tool 'pya'"):
        _record(task, project, SALE)


def test_a_model_over_recorded_tools_carries_out_nothing(project: Project) -> None:
    task = _task(project)
    _record(task, project, SALE, allow_writes=["*"])
    _did(project)

    made = _record(task, project, [*SALE[:2], "another answer"], reads="recorded")

    assert (made.status, _did(project)) == ("recorded", [])
    with pytest.raises(RecordingStopped, match=r"does not hold the call look"):
        _record(task, project, [calls(("look", {"item": "kiwi"})), "sold"], reads="recorded")
    assert _did(project) == []


@pytest.mark.parametrize(
    ("rules", "script", "told"),
    [
        (
            "expect: {stop_reason: finish}",
            [SALE[0]] * 3 + [calls(("look", {"item": "a"}))] * 6,
            "stop_reason",
        ),
        ("expect: {never: [pay]}", [], "the task has no rule that accepts it"),
        ("expect: {never: [look]}", [SALE[0], "sold"], "never"),
    ],
)
def test_a_run_that_the_task_does_not_accept_replaces_nothing(
    project: Project, rules: str, script: list[Any], told: str
) -> None:
    task = _task(project, "expect: {stop_reason: finish}")
    path = _record(task, project, ["hello"]).path
    before = path.read_bytes()

    made = _record(_task(project, rules), project, script)

    assert (made.status, made.path.name) == ("rejected", "sale.cassette.json.rejected")
    assert told in "\n".join(made.problems)
    assert path.read_bytes() == before
    assert read_recording(made.path).trace().stop_reason == made.result.stop_reason
    assert [r.source for r in iter_recordings(project.cassettes)] == [str(path)]


def test_a_good_recording_takes_the_rejected_one_away(project: Project) -> None:
    task = _task(project)
    rejected = _record(task, project, []).path

    made = _record(task, project, ["hello"])

    assert rejected.name.endswith(".rejected")
    assert not rejected.exists()
    assert made.path.exists()


def test_equal_decisions_leave_the_file_untouched(project: Project) -> None:
    task = _task(project)
    path = _record(task, project, SALE, allow_writes=["*"]).path
    before = (path.read_bytes(), path.stat().st_mtime_ns)

    assert _record(task, project, SALE).status == "unchanged"

    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_damaged_cassette_is_never_recorded_over(project: Project) -> None:
    task = _task(project)
    path = _record(task, project, ["hello"]).path
    path.write_text("{}", encoding="utf-8")

    with pytest.raises(CassetteError, match="not a golden cassette"):
        _record(task, project, ["hello"])

    assert path.read_text(encoding="utf-8") == "{}"


def _by_agent(child: list[Any], parent: list[Any]) -> Any:
    """Answer the clerk and the shop from scripts of their own."""
    left = {"You are the clerk.": list(child), "Sell.": list(parent)}

    def answer(request: Any) -> Any:
        text = request.messages[0].parts[0].content
        return left[text].pop(0)

    return ScriptedModel(answer)


HAND_OVER = [calls(("delegate", {"what": "take 5"})), "done"]
CLERK = [calls(("pay", {"cents": 5})), "took 5"]


def test_a_child_run_is_kept_with_its_parent_and_both_replay(project: Project) -> None:
    task = _task(project)

    made = record_task(task, project, model=_by_agent(CLERK, HAND_OVER), allow_writes=["pay"])

    recording = read_cassette(made.path)
    (child,) = recording.children
    assert (recording.header.agent, child.header.agent) == ("shop", "clerk")
    assert child.header.parent == recording.header.request_id
    assert [c.name for c in recording.trace().tool_calls] == ["delegate"]
    assert [c.name for c in child.trace().tool_calls] == ["pay"]
    assert run_task(task, project).passed
    assert replay_run(recording).verdict == "same"
    assert read_recording(f"{made.path}#{child.header.request_id}").header.agent == "clerk"


def test_a_write_of_a_child_run_stops_the_recording_whatever_the_tool_makes_of_it(project: Project) -> None:
    task = _task(project)

    with pytest.raises(RecordingStopped, match="would make the write pay"):
        record_task(task, project, model=_by_agent(CLERK, HAND_OVER))

    assert _did(project) == []


def test_a_write_of_a_child_run_is_answered_from_the_childs_recording(project: Project) -> None:
    task = _task(project)
    record_task(task, project, model=_by_agent(CLERK, HAND_OVER), allow_writes=["pay"])
    assert _did(project) == ["pay 5"]

    made = record_task(task, project, model=_by_agent([CLERK[0], "took five"], HAND_OVER))

    assert (made.status, _did(project)) == ("recorded", [])
    (child,) = read_cassette(made.path).children
    assert child.trace().output == "took five"


def test_a_childs_own_end_is_part_of_the_verdict_of_a_replay(project: Project) -> None:
    task = _task(project)
    made = record_task(task, project, model=_by_agent(CLERK, HAND_OVER), allow_writes=["pay"])
    recording = read_cassette(made.path)
    (child,) = recording.children
    child.interactions.pop()

    replay = replay_run(recording)

    assert replay.verdict == "diverged"
    assert replay.divergences[0].lane.startswith("0.tool0/1>")


SECRET = "zq7-plumtree-41c"


@pytest.mark.parametrize("teller", ["parent", "child"])
def test_a_value_that_one_run_learned_stands_in_none_of_a_cassettes_runs(
    project: Project, teller: str
) -> None:
    task = _task(project)
    plain, named = f"use {SECRET}", f'{{"api_key": "{SECRET}"}}'
    child, parent = [named, plain] if teller == "child" else [plain, named]

    made = record_task(
        task,
        project,
        model=_by_agent(
            [child], [calls(("delegate", {"what": plain if teller == "child" else "go"})), parent]
        ),
    )

    assert SECRET not in made.path.read_text(encoding="utf-8")
    assert made.status == "recorded"
