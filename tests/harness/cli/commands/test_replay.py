"""`goldrun replay` as users run it: as recorded, and with the agent's code of today."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.harness.cli.commands.shop_runs import printed, run

pytestmark = pytest.mark.usefixtures("working_folder")


def test_recorded_runs_are_the_same_again(segment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("replay", str(segment), "--json") == 0
    assert printed(capsys)["totals"]["same"] == 3


def test_the_code_of_the_working_folder_is_replayed_and_its_path_is_given_back(
    tmp_path: Path, segment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "replayed_shop.py").write_text(
        "from tests.support.agents import Shop, shop_agent\n\ndef build():\n    return shop_agent(Shop())\n"
    )
    before = list(sys.path)

    code = run("replay", f"{segment}#req_1", "--agent", "replayed_shop:build", "--json")

    assert code == 0
    assert printed(capsys)["totals"]["same"] == 1
    assert sys.path == before


def test_code_that_fails_on_import_is_wrong_usage(
    tmp_path: Path, segment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "replayed_broken.py").write_text("1 / 0\n")

    code = run("replay", str(segment), "--agent", "replayed_broken:build")

    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith(
        "UsageError: --agent: module 'replayed_broken' cannot be imported: ZeroDivisionError"
    )
    assert "next: " in error
