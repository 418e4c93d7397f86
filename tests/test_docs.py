"""Checks that the pages say what the code does: the table of stop reasons and the marked commands of the README."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.core.stop import CLASS_OF, SUBJECT_KINDS, StopKind
from runtime.entry.policy_file import PolicySpec
from runtime.models.price_file import read_price_file
from runtime.tools.tool import ToolOptions
from tests.test_packaging import ci_script

ROOT = Path(__file__).resolve().parents[1]


def stop_rows() -> list[list[str]]:
    """Return the cells of each row of the table of stop reasons."""
    page = (ROOT / "docs" / "stop-reasons.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def test_page_has_one_row_for_each_stop_kind() -> None:
    kinds = [re.split(r"[:`]", row[0])[1] for row in stop_rows()]

    assert sorted(kinds) == sorted(kind.value for kind in StopKind)


def test_page_names_class_and_subject_as_the_code_does() -> None:
    for text, stop_class, cause, next_step in stop_rows():
        kind, _, subject = text.strip("`").partition(":")
        assert stop_class == CLASS_OF[StopKind(kind)]
        assert bool(subject) == (StopKind(kind) in SUBJECT_KINDS), text
        assert cause.endswith("."), text
        assert next_step.endswith("."), text


def test_the_code_of_the_page_of_tools_runs_as_it_stands() -> None:
    page = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    done = subprocess.run(
        [sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    # The page's agent may write and has no store, which is said once.
    assert [line for line in done.stderr.splitlines() if "without a control store" not in line] == []


def test_the_page_of_tools_names_each_option() -> None:
    page = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page.partition("## What a tool can declare")[2], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}

    assert set(ToolOptions.__optional_keys__) <= named


def test_the_policy_file_of_its_page_is_read_as_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    (yaml, python, prices, shell) = re.findall(r"^```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "policy.yaml").write_text(yaml, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = python + "print(policy.approve, budget.max_usd)"

    used = subprocess.run(
        [sys.executable, "-c", told],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    schema = subprocess.run(
        [sys.executable, *shlex.split(shell)[1:]],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (used.stdout, used.stderr) == ("('refund.create',) 0.05\n", "")
    assert set(json.loads(schema.stdout)["properties"]) == {"schema", *PolicySpec.model_fields}
    rates = read_price_file(prices.encode(), where="docs/policy.md")
    assert rates["demo-large", None].cache_write_1h == 5_000_000_000
    assert rates["demo-large", "priority"].output == 20_000_000_000


def readme_command(*names: str, script: Path = ROOT / ".ci" / "readme_command.py") -> tuple[int, str]:
    """Return the exit code and output of the script that reads the README's commands."""
    command = [sys.executable, str(script), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["demo", "tests"])
def test_readme_marks_a_command_that_sets_everything_up(name: str) -> None:
    code, text = readme_command(name)

    assert code == 0, text
    assert text.count("\n") == 1
    assert text.startswith("python3 -m venv .venv && ")


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<!-- command: demo -->\n```sh\none\ntwo\n```\n", "exactly one"),
        ("<!-- command: demo -->\n\nno block\n", "no fenced block"),
        ("<!-- command: demo -->\n```sh\none\n```\n" * 2, "stands twice"),
        ("# nothing\n", "marks no command"),
    ],
)
def test_unclear_command_is_refused(tmp_path: Path, page: str, expected: str) -> None:
    script = tmp_path / ".ci" / "readme_command.py"
    script.parent.mkdir()
    script.write_bytes((ROOT / ".ci" / "readme_command.py").read_bytes())
    (tmp_path / "README.md").write_text(page, encoding="utf-8")

    code, text = readme_command("demo", script=script)

    assert code != 0
    assert expected in text


def test_the_picture_of_how_a_run_ends_is_drawn_from_the_code() -> None:
    script = ROOT / ".ci" / "draw_concepts.py"

    done = subprocess.run([sys.executable, str(script), "--check"], timeout=60, check=False)

    assert done.returncode == 0, "docs/concepts.md is out of date: run `python .ci/draw_concepts.py`"


def test_the_page_of_public_names_is_drawn_from_the_code() -> None:
    script = ROOT / ".ci" / "draw_api.py"

    done = subprocess.run([sys.executable, str(script), "--check"], timeout=60, check=False)

    assert done.returncode == 0, "docs/api.md is out of date: run `python .ci/draw_api.py`"


@pytest.mark.parametrize("listed", ["entry.agent entry.gone", ""])
def test_a_public_module_without_a_job_and_a_job_without_one_are_refused(
    monkeypatch: pytest.MonkeyPatch, listed: str
) -> None:
    script = ci_script("draw_api")
    monkeypatch.setitem(script.JOBS, "runtime", {"Run an agent": listed})

    with pytest.raises(LookupError, match=r"differ in runtime\.entry\.(gone|agent)$"):
        script.grouped("runtime", {"Agent": "runtime.entry.agent"})


def test_the_page_of_concepts_explains_each_word_in_two_sentences() -> None:
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    entries = re.findall(r"^\*\*([\w ]+)\.\*\* (.*?)(?=\n\n)", page, re.MULTILINE | re.DOTALL)

    words = [
        "Run",
        "Step",
        "Effect",
        "Outcome",
        "Lane",
        "Key",
        "Journal",
        "Cassette",
        "Baseline",
        "Divergence",
        "Deploy",
    ]
    assert {word for word, _ in entries} == {*words, "Golden task"}
    assert {word: len(re.findall(r"[.](?:\s|$)", text)) for word, text in entries} == {
        word: 2 for word, _ in entries
    }
