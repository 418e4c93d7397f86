"""The golden suite turns red with the right cause on the two regressions it is there for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the examples with their tasks and cassettes."""
    for folder in ("examples", "golden/support", "golden/oncall", "cassettes/support", "cassettes/oncall"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=NOT_COPIED)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n", encoding="utf-8")
    return tmp_path


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def _run_golden(project: Path) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    paths = os.pathsep.join([str(project), str(ROOT)])
    options = ["-p", "no:goldrun", "-p", "harness.plugin", "-p", "no:cacheprovider", "-q"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "golden", *options],
        cwd=project,
        env={**kept, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "160", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _tasks(project: Path, suites: str = "*") -> int:
    return len(list(project.glob(f"golden/{suites}/*.golden.yaml")))


def test_the_untouched_copy_is_green(project: Path) -> None:
    run = _run_golden(project)

    assert run.returncode == 0, run.stdout + run.stderr
    total = _tasks(project)
    assert f"verdict: ok: {total} of {total} tasks as expected" in run.stdout


def test_a_renamed_schema_field_is_red_with_cause_tool_schema(project: Path) -> None:
    tools = project / "examples" / "support" / "tools.py"
    _edit(tools, '@tool(name="carrier.track", timeout_s=5.0)', _RENAMED)

    run = _run_golden(project)

    assert run.returncode == 1, run.stdout + run.stderr
    total, others = _tasks(project), _tasks(project, "oncall")
    assert f"verdict: failed: {others} of {total} tasks as expected; causes: tool schema" in run.stdout
    assert "cause: tool schema" in run.stdout
    assert "tools[2].parameters.properties.tracking" in run.stdout
    assert "tracking_number: required" in run.stdout
    assert "FAILED golden/oncall" not in run.stdout


def test_a_retry_tweak_is_red_with_cause_count(project: Path) -> None:
    _edit(project / "examples" / "support" / "agent.py", "RetryPolicy(attempts=2", "RetryPolicy(attempts=4")

    run = _run_golden(project)

    assert run.returncode == 1, run.stdout + run.stderr
    total = _tasks(project)
    assert f"verdict: failed: {total - 1} of {total} tasks as expected; causes: count" in run.stdout
    assert "FAILED golden/support/flaky_carrier.golden.yaml" in run.stdout
    assert "tool 'carrier.track' repeated (cause: count)" in run.stdout
    assert "tool executions 4 -> 6" in run.stdout


_RENAMED = '@tool(name="carrier.track", timeout_s=5.0, rename={"tracking": "tracking_number"})'
