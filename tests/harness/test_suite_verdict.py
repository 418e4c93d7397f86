"""The end of a golden run: every task counted, every failure named by its cause, at 1, 20 and 200 of them."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cli.commands.shop_runs import run
from tests.harness.test_plugin import ROOT, Ran, _in_process_of_its_own, _loaded, project, run_pytest

RunPytest = Callable[..., Ran]
pytest_plugins = ["pytester"]
__all__ = ["_loaded", "project", "run_pytest"]


@pytest.fixture
def suite(project: Path) -> Callable[..., None]:
    """Give a function that fills the project with copies of a good task."""
    shutil.rmtree(project / "golden")
    text = (ROOT / "golden/support/unknown_order.golden.yaml").read_text(encoding="utf-8")

    def fill(
        number: int, *, agent: str = "examples.support:build", more: str = "", folder: str = "many"
    ) -> None:
        target = project / "golden" / folder
        target.mkdir(parents=True, exist_ok=True)
        for i in range(number):
            task = text.replace("support/unknown_order", f"{folder}/t{i:03d}").replace(
                "examples.support:build", agent
            )
            task = f"{task}cassette: support/unknown_order\n{more}"
            (target / f"t{i:03d}.golden.yaml").write_text(task, encoding="utf-8")

    return fill


def change_prompt(project: Path) -> None:
    agent = project / "examples/support/agent.py"
    source = agent.read_text(encoding="utf-8")
    assert "a small shop" in source
    agent.write_text(source.replace("a small shop", "a little shop"), encoding="utf-8")


def verdict(done: Ran) -> str:
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("verdict:")]
    return line


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = run(*arguments)
    return code, capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("number", [1, 20, 200])
def test_failures_of_one_cause_are_one_block(
    project: Path,
    suite: Any,
    run_pytest: RunPytest,
    monkeypatch: pytest.MonkeyPatch,
    snapshot: Any,
    number: int,
    columns: int,
) -> None:
    suite(number)
    change_prompt(project)
    monkeypatch.setenv("COLUMNS", str(columns))

    done = run_pytest("golden")

    assert done.returncode == 1
    screen = done.stdout[done.stdout.index("= FAILURES =") :].partition("\n")[2]
    assert re.sub(r"in \d+\.\d+s[^=]*=+", "in TIME", screen) == snapshot
    assert max(map(len, screen.splitlines())) <= 120
    assert screen.count("first divergence") == 1


def test_the_short_summary_carries_the_cause(project: Path, suite: Any, run_pytest: RunPytest) -> None:
    suite(2)
    change_prompt(project)

    done = run_pytest("golden")

    lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(lines) == 2
    assert all("- prompt: instr" in line for line in lines)


def test_double_verbose_shows_every_failure(project: Path, suite: Any, run_pytest: RunPytest) -> None:
    suite(3)
    change_prompt(project)

    done = run_pytest("golden", "-vv")

    assert len(re.findall(r"^_+ t\d{3} _+$", done.stdout, re.MULTILINE)) == 3


def test_the_verdict_counts_every_collected_task(project: Path, suite: Any, run_pytest: RunPytest) -> None:
    suite(3)
    suite(1, folder="lost", more="policy: {allow: [order.lokup]}\n")
    suite(1, folder="gone")
    suite(1, folder="held", more="quarantine: {reason: flaky, owner: ann, until: 2099-01-01}\n")
    for folder in ("gone", "held"):
        task = project / f"golden/{folder}/t000.golden.yaml"
        text = task.read_text(encoding="utf-8")
        task.write_text(text.replace("model_calls: 2", "model_calls: 7"), encoding="utf-8")

    done = run_pytest("golden")

    counts = "1 failed, 1 could not run, 1 quarantined"
    assert verdict(done) == f"verdict: failed: 3 of 6 tasks as expected; causes: expectation; {counts}"


def test_a_missing_cassette_is_no_ok(project: Path, suite: Any, run_pytest: RunPytest) -> None:
    suite(2)
    task = project / "golden/many/t001.golden.yaml"
    task.write_text(
        task.read_text(encoding="utf-8").replace("cassette: support/", "cassette: nowhere/"), "utf-8"
    )

    done = run_pytest("golden")

    assert done.returncode == 1
    assert verdict(done) == "verdict: failed: 1 of 2 tasks as expected; 1 could not run"
    assert (
        "could not run: the cassette 'cassettes/nowhere/unknown_order.cassette.json' is missing"
        in done.stdout
    )


def test_a_wrong_file_is_counted(project: Path, suite: Any, run_pytest: RunPytest) -> None:
    suite(2)
    (project / "golden/many/t001.golden.yaml").write_text(
        "schema: golden/1\ntask: many/x\nagnt: a:b\n", "utf-8"
    )

    done = run_pytest("golden", "--continue-on-collection-errors")

    assert verdict(done) == "verdict: failed: 1 of 2 tasks as expected; 1 could not run"


def test_tasks_that_were_never_reached_are_counted(project: Path, suite: Any, run_pytest: RunPytest) -> None:
    suite(4)
    change_prompt(project)

    done = run_pytest("golden", "-x")

    assert verdict(done) == "verdict: failed: 0 of 4 tasks as expected; causes: prompt; 1 failed, 3 not run"


def test_a_failed_quarantine_is_not_called_ok(project: Path, suite: Any, run_pytest: RunPytest) -> None:
    suite(1, more="quarantine: {reason: flaky, owner: ann, until: 2099-01-01}\n")
    change_prompt(project)

    done = run_pytest("golden")

    assert done.returncode == 0
    assert verdict(done) == "verdict: quarantined: 0 of 1 tasks as expected; 1 quarantined"


def test_workers_count_every_task_once(project: Path, suite: Any) -> None:
    suite(6)
    change_prompt(project)
    suite(2, folder="other", agent="recorded")

    done = _in_process_of_its_own(project, "golden", "-n", "2")

    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert verdict(ran) == "verdict: failed: 2 of 8 tasks as expected; causes: prompt; 6 failed"
    assert "2 of them check the cassette, not your code (agent: recorded)" in done.stdout
    assert "6 tasks, same behaviour over the recorded replies:" in done.stdout


def test_two_files_with_one_task_name_are_refused(
    project: Path,
    suite: Any,
    run_pytest: RunPytest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suite(1)
    shutil.copy(project / "golden/many/t000.golden.yaml", project / "golden/many/copy.golden.yaml")

    done = run_pytest("golden")
    monkeypatch.chdir(project)
    code, shown = command(capsys, "test", "golden", "--no-pytest")

    assert done.returncode == 1
    assert verdict(done) == "verdict: failed: 1 of 2 tasks as expected; 1 could not run"
    assert "task 'many/t000' is also in golden/many/copy.golden.yaml:3" in done.stdout
    assert code == 3
    assert "task 'many/t000' is also in golden/many/copy.golden.yaml:3" in shown


def test_two_services_with_one_module_name_are_each_tested_with_their_own(
    project: Path, suite: Any, run_pytest: RunPytest
) -> None:
    suite(1)
    for name in ("alpha", "beta"):
        service = project / "services" / name
        shutil.copytree(project / "golden", service / "golden")
        shutil.copytree(project / "cassettes", service / "cassettes")
        task = service / "golden/many/t000.golden.yaml"
        task.write_text(
            task.read_text("utf-8").replace("examples.support:build", "desk_agent:build"), "utf-8"
        )
        word = "small" if name == "alpha" else "little"
        (service / "desk_agent.py").write_text(
            "import dataclasses\nfrom examples.support import build as real\n\n"
            "def build():\n    agent = real()\n"
            f"    return dataclasses.replace(agent, instructions=agent.instructions.replace('small', {word!r}))\n",
            "utf-8",
        )

    done = run_pytest("services")

    assert verdict(done) == "verdict: failed: 1 of 2 tasks as expected; causes: prompt; 1 failed"
    assert "FAILED services/beta/golden" in done.stdout


@pytest.mark.parametrize("body", ["import sys; sys.exit(0)", "raise ValueError('no key')", "print('hi')"])
def test_a_factory_that_exits_raises_or_prints_fails_its_task_only(
    project: Path,
    suite: Any,
    run_pytest: RunPytest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    body: str,
) -> None:
    suite(2)
    (project / "odd_factory.py").write_text(
        f"from examples.support import build as real\n\ndef build():\n    {body}\n    return real()\n",
        "utf-8",
    )
    suite(1, folder="odd", agent="odd_factory:build")

    done = run_pytest("golden")
    monkeypatch.chdir(project)
    code, shown = command(capsys, "test", "golden", "--no-pytest", "--json")

    assert verdict(done) == "verdict: failed: 2 of 3 tasks as expected; 1 could not run"
    document = json.loads(shown)
    assert code == 3
    assert document["verdict"] == "failed"
    assert document["totals"] == {
        "tasks": 3, "passed": 2, "failed": 0, "could_not_run": 1, "quarantined": 0, "skipped": 0, "not_run": 0
    }  # fmt: skip


def test_an_unverified_check_fails_its_test(project: Path, run_pytest: RunPytest) -> None:
    (project / "test_own.py").write_text(
        textwrap.dedent(
            """
            from harness import check, load_task, run_task
            from harness.golden.project import project_of
            from pathlib import Path

            FILE = Path("golden/support/unknown_order.golden.yaml").resolve()

            def trace():
                return run_task(load_task(FILE), project_of(FILE)).trace

            def test_forgets():
                check(trace()).never("order.lookup")

            def test_forgets_what_holds():
                kept = check(trace()).never("refund.create")

            def test_verifies():
                check(trace()).never("refund.create").verify()
            """
        ),
        "utf-8",
    )

    done = run_pytest("test_own.py")

    assert "2 failed, 1 passed" in done.stdout
    assert "a check was never verified: call verify()" in done.stdout
    assert "expected: no call of order.lookup" in done.stdout


def test_the_fixture_golden_fails_a_test_whose_task_diverges(project: Path, run_pytest: RunPytest) -> None:
    (project / "test_own.py").write_text(
        textwrap.dedent(
            """
            FILE = "golden/support/unknown_order.golden.yaml"

            def test_judged(golden):
                golden(FILE)

            def test_looked_at(golden):
                assert golden(FILE, judge=False).cause == "prompt"
            """
        ),
        "utf-8",
    )
    change_prompt(project)

    done = run_pytest("test_own.py")

    assert "1 failed, 1 passed" in done.stdout
    assert "prompt: instructions 'small' -> 'little'" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_rows_of_a_report_say_what_passed_and_which_rules_failed(
    project: Path, suite: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    suite(2)
    task = project / "golden/many/t001.golden.yaml"
    text = task.read_text(encoding="utf-8")
    task.write_text(text.replace("model_calls: 2", "model_calls: 7"), encoding="utf-8")
    monkeypatch.chdir(project)

    command(capsys, "test", "golden", "--no-pytest", "--report", "out", "--deploy", "v1")

    rows = [
        r
        for path in (project / "out/history/runs").rglob("*.parquet")
        for r in pq.read_table(path).to_pylist()
    ]
    found = {r["task"]: (r["passed"], r["failed_rules"]) for r in rows}
    assert found == {"many/t000": (True, []), "many/t001": (False, ["expect.counts.model_calls"])}
