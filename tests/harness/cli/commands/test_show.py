"""`goldrun show` as users run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.cli.commands.shop_runs import printed, run

pytestmark = pytest.mark.usefixtures("working_folder")


@pytest.mark.parametrize("as_url", [False, True])
def test_show_finds_a_run_by_its_request_id(
    segment: Path, capsys: pytest.CaptureFixture[str], as_url: bool
) -> None:
    root = segment.parent.as_uri() if as_url else str(segment.parent)

    assert run("show", "req_2", "--root", root, "--json") == 0
    assert printed(capsys)["request_id"] == "req_2"
    assert run("show", "req_nowhere", "--root", root) == 3
    assert "req_nowhere" in capsys.readouterr().err


def test_show_takes_a_missing_file_for_a_file(segment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "missing.seg") == 3
    assert "missing.seg" in capsys.readouterr().err
