"""`goldrun replay` as users run it: as recorded, and with the agent's code of today."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from harness.cassette.golden_cassette import write_cassette
from harness.sessions.recordings import iter_recordings
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


def _assert_only(source: Path, target: Path) -> None:
    """Copy a segment's runs into a journal whose headers say that they cannot be replayed."""
    lines = []
    for recording in iter_recordings(str(source)):
        header = msgspec.structs.replace(recording.header, assert_only="the tools' schemas were not recorded")
        recording.header = header
        lines.append(recording)
    for number, recording in enumerate(lines):
        write_cassette(target / f"r{number}.cassette.json", recording)


def test_runs_that_cannot_be_replayed_are_counted_and_say_why(
    tmp_path: Path, segment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _assert_only(segment, tmp_path / "foreign")

    code = run("replay", str(tmp_path / "foreign"))

    shown = capsys.readouterr().out
    assert code == 3
    assert "assert-only: " in shown
    assert "the tools' schemas were not recorded" in shown
    assert "verdict: assert-only: 0 of 3 runs are the same; 3 assert-only" in shown


def test_a_run_that_cannot_be_replayed_beside_others_is_counted_and_fails_nothing(
    tmp_path: Path, segment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _assert_only(segment, tmp_path / "foreign")

    code = run("replay", str(tmp_path / "foreign"), str(segment), "--json")

    document = printed(capsys)
    assert code == 0
    assert {k: document["totals"][k] for k in ("runs", "same", "assert_only", "errors")} == {
        "runs": 6,
        "same": 3,
        "assert_only": 3,
        "errors": 0,
    }
    assert {r["verdict"] for r in document["runs"]} == {"same", "assert-only"}
