"""The workflows run nothing that a contributor cannot run, pin what they use, and may do little."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_packaging import ci_script

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_USES = re.compile(r"^\s*(?:- )?uses: (?P<action>\S+)(?P<comment> # v\d+\.\d+\.\d+\b.*)?$", re.MULTILINE)
_INSTALL = "python -m pip install -c .ci/constraints.txt nox"
_MATRIX = re.compile(r"\$\{\{ matrix\.(\w+) \}\}")


def jobs(text: str) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load(text)["jobs"].values()


def commands(job: dict[str, Any]) -> Iterator[str]:
    """Yield what a job runs, once for each value of its matrix."""
    matrix = job.get("strategy", {}).get("matrix", {})
    for step in job["steps"]:
        if "run" not in step:
            continue
        line = str(step["run"])
        used = _MATRIX.search(line)
        if used is None:
            yield line
            continue
        values = [*matrix.get(used[1], []), *(row.get(used[1], "") for row in matrix.get("include", []))]
        assert values, f"{line} uses a matrix that is not there"
        yield from (_MATRIX.sub(str(value), line) for value in values)


def sessions() -> set[str]:
    """Return the names of the nox sessions."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {
        f.name for f in functions if any(ast.unparse(d).startswith("nox.session") for d in f.decorator_list)
    }


def unknown_command(line: str) -> str | None:
    """Return what a command names that is not there; `None` if all is."""
    words = line.split()
    match words:
        case _ if line == _INSTALL:
            return None
        case ["nox", "-s", *names]:
            wanted = names[: names.index("--")] if "--" in names else names
            return next((name for name in wanted or ["nothing"] if name not in sessions()), None)
        case ["bash" | "python", script, *_] if script.startswith(".ci/"):
            return None if (ROOT / script).is_file() else script
        case _:
            return line


def broken_pins(text: str) -> list[str]:
    """Return the actions that have no commit hash, or no version beside it."""
    used = list(_USES.finditer(text))
    assert len(used) == len(re.findall(r"^\s*(?:- )?uses:", text, re.MULTILINE))
    return [m["action"] for m in used if not _PINNED.fullmatch(m["action"]) or not m["comment"]]


def test_there_are_workflows_for_changes_weeks_and_releases() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "release", "weekly"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_command_names_a_session_or_script_that_is_there(path: Path) -> None:
    lines = [line for job in jobs(path.read_text(encoding="utf-8")) for line in commands(job)]

    assert [(line, unknown) for line in lines if (unknown := unknown_command(line)) is not None] == []


def test_each_session_for_full_counts_runs_every_week() -> None:
    text = (ROOT / ".github/workflows/weekly.yml").read_text(encoding="utf-8")
    lines = [line for job in jobs(text) for line in commands(job)]
    source = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    full = {
        f.name
        for f in source.body
        if isinstance(f, ast.FunctionDef) and "_run_full(session" in ast.unparse(f)
    }
    full -= {"_run_full"}

    assert full == {"reliability", "properties", "full_counts"}
    assert {f"nox -s {name}" for name in full} <= set(lines)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_action_is_pinned_by_hash_with_its_version(path: Path) -> None:
    assert broken_pins(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_job_ends_in_time_and_may_only_read_the_repository(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = yaml.safe_load(text)

    assert found["permissions"] == {"contents": "read"}
    assert "concurrency" in found
    assert [job for job in jobs(text) if not 0 < job.get("timeout-minutes", 0) <= 60] == []
    writing = [job["permissions"] for job in jobs(text) if "permissions" in job]
    assert writing == ([{"id-token": "write"}] if path.stem == "release" else [])


def test_all_pythons_that_we_name_are_tested() -> None:
    found = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))

    assert (
        found["jobs"]["tests"]["strategy"]["matrix"]["python"]
        == ci_script("refresh_constraints").supported_pythons()
    )


@pytest.mark.parametrize(
    "line", ["nox -s lint nothing", "nox", "bash .ci/nowhere", "pip install x", "pytest -q"]
)
def test_a_command_that_nobody_else_can_run_is_found(line: str) -> None:
    assert unknown_command(line) is not None


@pytest.mark.parametrize(
    "line",
    ["- uses: actions/checkout@v5", f"- uses: actions/checkout@{'0a' * 20}", "- uses: a/b@main # v1.2.3"],
)
def test_an_action_that_is_not_pinned_is_found(line: str) -> None:
    assert len(broken_pins(f"steps:\n  {line}\n")) == 1


@pytest.mark.parametrize("name", ["run", "tests"])
def test_each_shell_script_of_the_checks_can_be_run(name: str) -> None:
    path = ROOT / ".ci" / name

    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert os.access(path, os.X_OK)


def test_the_whole_check_names_sessions_that_are_there() -> None:
    lines = re.findall(
        r"^ *(?:\S*/)?(nox -s .*)$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert {name for line in lines for name in line.split()[2:]} >= {
        "lint",
        "types",
        "docs_check",
        "build",
        "sdk",
        "reliability",
    }
    assert [line for line in lines if unknown_command(line) is not None] == []


def test_hooks_run_tools_of_the_environment_on_paths_that_are_there() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    entries = [hook["entry"].split() for repository in repositories for hook in repository["hooks"]]
    named = [word for words in entries for word in words[1:] if "/" in word or word.endswith(".py")]

    assert [repository["repo"] for repository in repositories] == ["local"]
    assert {words[0] for words in entries} == {".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/python"}
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert len(named) > 3


CHANGELOG = """\
# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-28

- Fixed: it.

## [1.1.0] - 2026-10-01

- New.
"""
PYPROJECT = '[project]\nversion = "1.2.0"\n'


def test_a_release_whose_tag_version_and_changelog_agree_is_let_through() -> None:
    assert ci_script("check_release").disagreements("v1.2.0", PYPROJECT, CHANGELOG) == []


@pytest.mark.parametrize(
    ("tag", "changelog", "words"),
    [
        ("1.2.0", CHANGELOG, "tag v1.2.0"),
        ("v1.3.0", CHANGELOG, "the tag is 'v1.3.0'"),
        ("v1.2.0", CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"), "unreleased changes"),
        ("v1.2.0", CHANGELOG.replace("1.2.0", "1.1.9"), "is '1.1.9', not '1.2.0'"),
        ("v1.2.0", CHANGELOG.replace(" - 2026-11-28", ""), "has no day"),
        ("v1.2.0", CHANGELOG.replace("- Fixed: it.\n", ""), "is empty"),
        ("v1.2.0", "# Changelog\n", "is None, not '1.2.0'"),
    ],
)
def test_a_release_that_disagrees_with_itself_is_refused(tag: str, changelog: str, words: str) -> None:
    found = ci_script("check_release").disagreements(tag, PYPROJECT, changelog)

    assert len(found) == 1
    assert words in found[0]
