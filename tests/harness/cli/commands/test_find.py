"""`goldrun find` as users run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cassette.store import read_recording
from tests.harness.cli.commands.shop_runs import printed, run

pytestmark = pytest.mark.usefixtures("working_folder")


def test_find_tells_where_a_run_is(segment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run("find", "req_1", "--root", str(segment.parent), "--index", "--json")

    (row,) = printed(capsys)["runs"]
    assert code == 0
    assert read_recording(row["target"]).header.request_id == "req_1"
    assert run("find", "req_nowhere", "--root", str(segment.parent)) == 3
