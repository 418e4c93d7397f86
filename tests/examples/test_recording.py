"""Recording the examples is deterministic, and what is committed is what a recording gives."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from examples.record_all import record_all
from harness.cassette.golden_cassette import read_cassette
from harness.golden.loader import find_tasks
from harness.golden.project import Project
from harness.golden.record import decisions

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE_SUITES = ("support", "oncall")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project with the repository's example tasks and baselines, and no cassettes."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # loading an agent adds the project's folder
    for suite in EXAMPLE_SUITES:
        shutil.copytree(ROOT / "golden" / suite, tmp_path / "golden" / suite)
    return Project(tmp_path)


def _cassettes(root: Path) -> dict[str, Path]:
    found = sorted(p for suite in EXAMPLE_SUITES for p in (root / "cassettes" / suite).glob("*.json"))
    return {path.relative_to(root).as_posix(): path for path in found}


def _without_prices(path: Path) -> dict[str, object]:
    # The installed price table may be newer than the one a cassette was recorded under.
    return {name: what for name, what in decisions(read_cassette(path)).items() if name != "prices"}


def test_recording_anew_gives_the_committed_cassettes_and_baselines(project: Project) -> None:
    committed = _cassettes(ROOT)
    baselines = {path: path.read_bytes() for path in sorted(project.golden.rglob("*.trace.json"))}

    recorded = record_all(project)

    assert len(recorded) == len(find_tasks(project.golden)) >= 9
    assert {name: _without_prices(path) for name, path in _cassettes(project.root).items()} == {
        name: _without_prices(path) for name, path in committed.items()
    }
    assert len(baselines) >= 5
    assert {path: path.read_bytes() for path in baselines} == baselines


def test_recording_twice_leaves_equal_cassettes_as_they_are(project: Project) -> None:
    first = record_all(project)
    before = {name: path.read_bytes() for name, path in _cassettes(project.root).items()}

    second = record_all(project)

    assert all(each.has_new_cassette for each in first)
    assert not any(each.has_new_cassette or each.has_new_baseline for each in second)
    assert {name: path.read_bytes() for name, path in _cassettes(project.root).items()} == before


def test_recording_with_force_decides_the_same_again(project: Project) -> None:
    record_all(project)
    before = {name: decisions(read_cassette(path)) for name, path in _cassettes(project.root).items()}

    forced = record_all(project, force=True)

    assert all(each.has_new_cassette for each in forced)
    assert {name: decisions(read_cassette(path)) for name, path in _cassettes(project.root).items()} == before
