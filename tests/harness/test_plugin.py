"""The pytest plugin as users run it: a project of their own, then exit code, output and files.

Most runs happen in this process, with the plugin of this process: a process of their own for each took a third of the
time of the whole suite. What depends on a process has one: how the plugin is found, workers, libraries in C.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

RunPytest = Callable[..., "Ran"]
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a pytest run."""

    returncode: int
    stdout: str
    stderr: str


pytest_plugins = ["pytester"]


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Load what the plugin loads when it needs it: pytester forgets the modules that a run was the first to load."""
    import harness.golden

    for found in pkgutil.iter_modules(harness.golden.__path__):
        importlib.import_module(f"harness.golden.{found.name}")
    for name in ("examples.support", "yaml"):
        importlib.import_module(name)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a green, a red and a broken golden task, in which pytest can run without a process of its own."""
    for name in [name for name in os.environ if name.startswith(("PYTEST_ADDOPTS", "PYTEST_XDIST", "CI"))]:
        monkeypatch.delenv(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "examples"]:
        monkeypatch.delitem(sys.modules, name)  # the project has a copy of its own
    monkeypatch.setenv("NO_COLOR", "1")
    tmp_path = pytester.path
    for name in ("examples", "cassettes"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    golden = tmp_path / "golden" / "support"
    golden.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\npythonpath = ["."]\n', encoding="utf-8"
    )
    green = (ROOT / "golden/support/unknown_order.golden.yaml").read_text(encoding="utf-8")
    (golden / "unknown_order.golden.yaml").write_text(green, encoding="utf-8")
    red = (ROOT / "golden/support/flaky_carrier.golden.yaml").read_text(encoding="utf-8")
    assert "stop_reason: finish" in red
    (golden / "flaky_carrier.golden.yaml").write_text(
        red.replace("stop_reason: finish", "stop_reason: max_usd"), encoding="utf-8"
    )
    (golden / "broken.golden.yaml").write_text(
        "schema: golden/1\ntask: support/broken\nagent: examples.support:build\ninput: {prompt: hi}\nexpekt: {}\n",
        encoding="utf-8",
    )
    return tmp_path


@pytest.fixture
def run_pytest(project: Path, pytester: pytest.Pytester) -> RunPytest:
    """Run pytest in the project, in this process."""

    def run(*arguments: str) -> Ran:
        done = pytester.runpytest_inprocess(
            *_plugin(), "-p", "no:hypothesispytest", "-p", "no:xdist", *arguments
        )
        return Ran(int(done.ret), done.stdout.str(), done.stderr.str())

    return run


def _in_process_of_its_own(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "CI"))}
    path = os.pathsep.join([str(ROOT), plain.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "pytest", *_plugin(), *arguments],
        cwd=project,
        env={**plain, "PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _plugin() -> list[str]:
    """Load the plugin by name where the checkout is not installed."""
    import importlib.metadata

    points = importlib.metadata.entry_points(group="pytest11")
    return [] if any(p.value == "harness.plugin" for p in points) else ["-p", "harness.plugin"]


def _without_broken(project: Path) -> None:
    (project / "golden/support/broken.golden.yaml").unlink()


def test_a_green_a_red_and_a_broken_task_are_told_apart(project: Path) -> None:
    done = _in_process_of_its_own(project, "golden")

    assert done.returncode == 2
    assert "broken.golden.yaml:5: expekt: unknown field" in done.stdout
    assert "1 error" in done.stdout


def test_a_red_task_shows_rule_file_line_expected_and_actual(project: Path, run_pytest: RunPytest) -> None:
    _without_broken(project)

    done = run_pytest("golden")

    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "task: support/flaky_carrier" in done.stdout
    assert "expected: max_usd" in done.stdout
    assert "actual:   finish" in done.stdout
    assert "Traceback" not in done.stdout
    assert "verdict: failed: 1 of 2 tasks as expected" in done.stdout


def test_dash_k_and_node_ids_select_tasks(project: Path, run_pytest: RunPytest) -> None:
    _without_broken(project)

    by_name = run_pytest("golden", "-k", "unknown_order")
    by_id = run_pytest("golden/support/unknown_order.golden.yaml::unknown_order")
    by_task = run_pytest("golden", "-k", "support/unknown_order")
    by_tag = run_pytest("golden", "-m", "not writes", "--collect-only", "-q")

    assert (by_name.returncode, by_id.returncode, by_task.returncode) == (0, 0, 0)
    assert "1 passed" in by_name.stdout
    assert "1 passed" in by_id.stdout
    assert "unknown_order.golden.yaml::unknown_order" in by_tag.stdout


def test_dash_dash_lf_runs_the_failed_task_again(project: Path, run_pytest: RunPytest) -> None:
    _without_broken(project)
    run_pytest("golden")

    again = run_pytest("golden", "--lf")

    assert again.returncode == 1
    assert "1 failed" in again.stdout
    assert "1 passed" not in again.stdout


def test_two_workers_give_the_same_verdict_and_summary(project: Path) -> None:
    pytest.importorskip("xdist")
    _without_broken(project)

    done = _in_process_of_its_own(project, "golden", "-n", "2")

    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "verdict: failed: 1 of 2 tasks as expected" in done.stdout


def test_junit_xml_carries_the_figures_and_the_failure(project: Path, run_pytest: RunPytest) -> None:
    _without_broken(project)

    run_pytest("golden", "--junit-xml", "out.xml")

    cases = {case.get("name"): case for case in ET.parse(project / "out.xml").iter("testcase")}
    green = cases["unknown_order"]
    figures = {p.get("name"): p.get("value") for p in green.iter("property")}
    failure = cases["flaky_carrier"].find("failure")
    assert figures["stop_reason"] == "finish"
    assert figures["tool_calls"] == "1"
    assert failure is not None
    assert "expected: max_usd" in (failure.text or "")


def test_a_golden_report_and_a_deploy_label_make_a_history(project: Path) -> None:
    _without_broken(project)

    done = _in_process_of_its_own(
        project, "golden", "-k", "unknown", "--golden-report", "out", "--deploy", "v7"
    )

    listed = json.loads((project / "out/history/manifest.json").read_text(encoding="utf-8"))
    assert done.returncode == 0
    assert "v7" in json.dumps(listed)


def test_a_missing_baseline_fails_and_update_new_writes_it_once(project: Path, run_pytest: RunPytest) -> None:
    _without_broken(project)
    task = project / "golden/support/unknown_order.golden.yaml"
    task.write_text(task.read_text(encoding="utf-8") + "  trace: baseline\n", encoding="utf-8")
    baseline = project / "golden/support/unknown_order.trace.json"

    missing = run_pytest("golden", "-k", "unknown")
    written = run_pytest("golden", "-k", "unknown", "--golden-update", "new")
    before = baseline.read_bytes()
    kept = run_pytest("golden", "-k", "unknown")

    assert (missing.returncode, written.returncode, kept.returncode) == (1, 0, 0)
    assert "the baseline 'unknown_order.trace.json' is missing" in missing.stdout
    assert baseline.read_bytes() == before


def test_unused_baselines_go_only_when_asked_for(project: Path, run_pytest: RunPytest) -> None:
    _without_broken(project)
    stray = project / "golden/support/gone.trace.json"
    stray.write_text("{}", encoding="utf-8")

    run_pytest("golden", "-k", "unknown")
    still_there = stray.exists()
    run_pytest("golden", "-k", "unknown", "--golden-update", "unused")

    assert still_there
    assert not stray.exists()


def test_recording_is_refused_where_ci_is_set(
    project: Path, run_pytest: RunPytest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    _without_broken(project)

    done = run_pytest("golden", "--golden-mode", "record")

    assert done.returncode == 4
    assert "refused where CI is set" in done.stderr


def test_a_missing_cassette_says_which_and_how_to_record_it(project: Path, run_pytest: RunPytest) -> None:
    _without_broken(project)
    (project / "cassettes/support/unknown_order.cassette.json").unlink()

    done = run_pytest("golden", "-k", "unknown")

    assert done.returncode == 1
    assert "cassettes/support/unknown_order.cassette.json' is missing" in done.stdout
    assert "goldrun record support/unknown_order" in done.stdout


def test_a_truncated_cassette_is_an_error_and_is_left_as_it_is(project: Path, run_pytest: RunPytest) -> None:
    _without_broken(project)
    cassette = project / "cassettes/support/unknown_order.cassette.json"
    cut = cassette.read_bytes()[:900]
    cassette.write_bytes(cut)

    done = run_pytest("golden", "-k", "unknown")

    assert done.returncode == 1
    assert "could not run: not JSON, or cut off" in done.stdout
    assert cassette.read_bytes() == cut


def test_a_misspelt_tool_is_an_error_with_a_suggestion(project: Path, run_pytest: RunPytest) -> None:
    _without_broken(project)
    task = project / "golden/support/unknown_order.golden.yaml"
    task.write_text(
        task.read_text(encoding="utf-8").replace("never: [", "never: [order.lokup, "), encoding="utf-8"
    )

    done = run_pytest("golden", "-k", "unknown")

    assert done.returncode == 1
    assert "order.lokup" in done.stdout
    assert "order.lookup" in done.stdout


def test_a_quarantined_task_is_run_and_tolerated_until_its_day_is_over(
    project: Path, run_pytest: RunPytest
) -> None:
    _without_broken(project)
    task = project / "golden/support/flaky_carrier.golden.yaml"
    red = task.read_text(encoding="utf-8")
    quarantine = 'quarantine: {reason: carrier is down, owner: "@ops", until: %s}\n'

    task.write_text(red + quarantine % "2999-01-01", encoding="utf-8")
    tolerated = run_pytest("golden", "-k", "flaky")
    task.write_text(red + quarantine % "2020-01-01", encoding="utf-8")
    expired = run_pytest("golden", "-k", "flaky")

    assert (tolerated.returncode, expired.returncode) == (0, 1)
    assert "1 xfailed" in tolerated.stdout


def test_a_task_that_asks_for_a_live_channel_is_refused_with_its_line(
    project: Path, run_pytest: RunPytest
) -> None:
    _without_broken(project)
    task = project / "golden/support/unknown_order.golden.yaml"
    task.write_text(task.read_text(encoding="utf-8") + "replay: {model: live}\n", encoding="utf-8")

    done = run_pytest("golden", "-k", "unknown")

    assert done.returncode == 1
    assert "unknown_order.golden.yaml:14" in done.stdout
    assert "replay.model is live" in done.stdout


def test_the_plugin_is_silent_where_there_are_no_golden_tasks(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text("def test_one():\n    assert 1 + 1 == 2\n", encoding="utf-8")

    done = _in_process_of_its_own(tmp_path)

    assert done.returncode == 0
    assert "golden" not in done.stdout
