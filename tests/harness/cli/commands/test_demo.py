"""Tests of `goldrun demo`, run as a user would: in a process of its own, away from the source tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.cli.commands import demo
from harness.cli.demo_show import shortened
from harness.cli.demo_stages import SETTINGS, DemoProject, Edit
from runtime.errors import BugError, CheckFailed, UsageError

ROOT = Path(__file__).resolve().parents[4]
LIMIT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDemo:
    """One run of the demo."""

    folder: Path
    code: int
    out: str
    err: str
    seconds: float


def goldrun(*arguments: str, cwd: Path, home: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `goldrun` from a folder with the packages of another; no proxy, key or setting helps it."""
    return subprocess.run(
        [sys.executable, "-m", "harness.cli.main", *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(home)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def shown_demo(tmp_path_factory: pytest.TempPathFactory) -> ShownDemo:
    """Run the demo once, from copies of the two packages, as a wheel installs them."""
    base = tmp_path_factory.mktemp("demo")
    for package in ("runtime", "harness"):
        shutil.copytree(ROOT / package, base / "site" / package)
    before = os.times()
    done = goldrun("demo", "--keep", "shop-demo", cwd=base, home=base / "site")
    after = os.times()
    # Processor time, because wall time carries whatever else the machine does; the demo hardly waits.
    seconds = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return ShownDemo(
        folder=base / "shop-demo", code=done.returncode, out=done.stdout, err=done.stderr, seconds=seconds
    )


def test_demo_succeeds_within_its_time(shown_demo: ShownDemo) -> None:
    assert (shown_demo.code, shown_demo.err) == (0, ""), shown_demo.out
    assert shown_demo.seconds < LIMIT_S


def test_demo_numbers_its_stages(shown_demo: ShownDemo) -> None:
    stages = re.findall(r"^(\d+) (\w[\w-]*)", shown_demo.out, re.MULTILINE)

    words = ["The", "Record", "v1", "v2-schema", "v3-retries", "Diff", "Report", "What"]
    assert stages == [(str(number), word) for number, word in enumerate(words, 1)]


def test_suite_names_a_cause_for_each_bad_deploy(shown_demo: ShownDemo) -> None:
    verdicts = [line.strip() for line in shown_demo.out.splitlines() if line.lstrip().startswith("verdict:")]

    assert verdicts == [
        "verdict: ok: 4 of 4 tasks as expected",
        "verdict: failed: 0 of 4 tasks as expected; causes: tool schema; 4 failed",
        "verdict: failed: 3 of 4 tasks as expected; causes: count; 1 failed",
        "verdict: regressed",
    ]
    assert "recorded -> now: tool executions 4 -> 6" in shown_demo.out
    assert (
        "validation errors of order.lookup: order_id: not allowed; order_number: required" in shown_demo.out
    )


def test_reports_name_the_numbers(shown_demo: ShownDemo) -> None:
    assert "REGRESSED: v2-schema against v1: cost" in shown_demo.out
    assert "loop_detected 0 -> 14" in shown_demo.out
    assert "REGRESSED: v3-retries against v1:" in shown_demo.out
    assert "v3-retries    18        18        0          42          66       24" in shown_demo.out


def test_output_is_short_plain_and_narrow(shown_demo: ShownDemo) -> None:
    lines = shown_demo.out.splitlines()

    assert len(lines) <= 145
    # The last stage names the folder, which may be long.
    assert max(len(line) for line in lines if str(shown_demo.folder) not in line) <= 110
    assert "\x1b" not in shown_demo.out
    assert [line for line in lines if line != line.rstrip()] == []


def test_shown_commands_work_in_the_kept_folder(shown_demo: ShownDemo) -> None:
    last = shown_demo.out[shown_demo.out.index("What now") :]
    commands = re.findall(r"^ *\$ goldrun (.*)$", last, re.MULTILINE)

    done = [goldrun(*command.split(), cwd=shown_demo.folder) for command in commands]

    # The kept project stands at a bad deploy, whose policy is another, and the diff shows a regression.
    assert [command.split()[0] for command in commands] == ["show", "test", "diff"]
    assert [(each.returncode, each.stderr) for each in done] == [(0, ""), (1, ""), (1, "")]


def test_loop_is_gone_with_the_field_name_restored(shown_demo: ShownDemo, tmp_path: Path) -> None:
    project = DemoProject(shutil.copytree(shown_demo.folder, tmp_path / "shop-demo"))
    project.change(Edit(file=SETTINGS, before="CARRIER_ATTEMPTS = 4", after="CARRIER_ATTEMPTS = 2"))

    runs = project.serve("v4-fixed")
    suite = project.suite()

    assert {run.stop_reason for run in runs} == {"finish"}
    assert sum(run.totals.loops for run in runs) == 0
    assert suite.failed == ()


def test_model_loops_on_validation_errors_of_the_renamed_field(shown_demo: ShownDemo) -> None:
    run = DemoProject(shown_demo.folder).run_of("v2-schema", "req_where_is_7302")

    calls = [call for step in run.steps for call in step.tool_calls]
    assert run.stop_reason == "loop_detected"
    assert {call.name for call in calls} == {"order.lookup"}
    assert {call.status for call in calls[:-1]} == {"invalid_arguments"}


def test_demo_fails_when_the_story_does_not_come_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    harmless = Edit(file=SETTINGS, before=demo.SCHEMA.edit.before, after=demo.SCHEMA.edit.before)
    monkeypatch.setattr(demo, "SCHEMA", replace(demo.SCHEMA, edit=harmless))

    code = demo.run_demo(tmp_path / "shop-demo")

    errors = capsys.readouterr().err
    assert code == 1
    assert "the golden suite does not fail on v2-schema" in errors
    assert "the report on v2-schema says" in errors


def test_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    done = goldrun("demo", "--keep", str(tmp_path), cwd=tmp_path)

    assert done.returncode == 2
    assert "is not an empty folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_missing_test_side_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("harness.cli.demo_stages.NEEDED", ("pytest", "no_such_package"))

    with pytest.raises(UsageError, match=r"no_such_package cannot be imported\n  next: .*goldrun\[harness\]"):
        DemoProject.create(tmp_path)


def test_broken_command_is_named_with_its_last_words(tmp_path: Path) -> None:
    project = DemoProject.create(tmp_path / "shop-demo")
    (project.root / "shop" / "provider.py").write_text("policy = 1 / 0\n", encoding="utf-8")

    with pytest.raises(CheckFailed, match=r"exit code 1(.|\n)*ZeroDivisionError"):
        project.serve("v1")


def test_edit_that_fits_no_line_is_refused(tmp_path: Path) -> None:
    project = DemoProject.create(tmp_path)

    with pytest.raises(BugError, match="exactly once"):
        project.change(Edit(file=SETTINGS, before="SOMETHING = 1", after="SOMETHING = 2"))


def test_temporary_folder_is_removed_when_the_demo_breaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(DemoProject, "record", _break)

    with pytest.raises(CheckFailed):
        demo.run_demo(None)

    assert list(tmp_path.iterdir()) == []


def _break(project: DemoProject) -> str:
    raise CheckFailed(f"broken in {project.root.name}")


def test_shortened_output_drops_what_it_is_named_to() -> None:
    text = "head\n\nwhy:\n  - a\n  - b\n  - c\n\nend\n"

    assert shortened(text, first="why", until=("end",), without=("- b",)) == ["why:", "  - a", "  - c"]
    assert shortened(text, limit=2) == ["head", "... 5 more lines"]
    assert shortened(text, first="no such line") == ["head", "why:", "  - a", "  - b", "  - c", "end"]
