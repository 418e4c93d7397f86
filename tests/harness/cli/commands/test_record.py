"""`goldrun record TASK` as users run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.cli.commands.shop_runs import run

pytestmark = pytest.mark.usefixtures("working_folder")

CODE = """
from runtime import Agent, Policy, tool
from runtime.testing import calls


@tool(write=True)
async def pay(cents: int) -> str:
    "Pay."
    with open("paid.log", "a") as file:
        file.write(f"{cents}\\n")
    return "paid"


def build():
    return Agent(name="shop", model="m1", instructions="Sell.", tools=(pay,), policy=Policy(allow="any"))


def policy(request):
    paid = any(message.role == "tool" for message in request.messages)
    return "paid" if paid or "talk" in str(request.messages) else calls(("pay", {"cents": 5}))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a task that pays and one that only talks."""
    name = f"record_cli_{tmp_path.name}"
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{name}.py").write_text(CODE, encoding="utf-8")
    for task in ("pay", "talk"):
        path = tmp_path / "golden" / "shop" / f"{task}.golden.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"schema: golden/1\ntask: shop/{task}\nagent: {name}:build\n"
            f"input: {{prompt: {task}}}\nexpect: {{stop_reason: finish}}\n",
            encoding="utf-8",
        )
    return tmp_path


def _record(project: Path, *words: str) -> int:
    return run("record", *words, "--script", f"record_cli_{project.name}:policy")


@pytest.mark.parametrize(
    "names", [("golden/shop",), ("shop/*",), ("shop",), ("shop/pay", "golden/shop/talk.golden.yaml")]
)
def test_folders_patterns_and_names_stand_for_their_tasks(
    project: Path, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _record(project, *names, "--allow-writes") == 0

    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines()] == ["shop/pay:", "shop/talk:"]
    assert (project / "paid.log").read_text(encoding="utf-8") == "5\n"


def test_a_stopped_task_is_exit_code_one_and_the_others_are_recorded(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _record(project, "shop/*") == 1

    shown = capsys.readouterr()
    assert "would make the write pay" in shown.err
    assert "recorded shop/talk" in shown.out
    assert not (project / "paid.log").exists()


def test_a_dead_endpoint_leaves_the_good_cassette_and_is_exit_code_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _record(project, "shop/talk") == 0
    path = project / "cassettes" / "shop" / "talk.cassette.json"
    good = path.read_bytes()

    code = run("record", "shop/talk", "--base-url", "http://127.0.0.1:9/v1")

    assert code == 1
    assert "rejected: model_error_exhausted" in capsys.readouterr().err
    assert path.read_bytes() == good


def test_a_pattern_that_no_task_has_is_wrong_usage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _record(project, "shpo/*") == 2

    assert "known tasks: shop/pay, shop/talk" in capsys.readouterr().err
