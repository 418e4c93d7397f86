"""`goldrun ops stop` and `resume`: workers stop also where the store cannot be reached; each act says who and why."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.cli.main import run
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.stop_file import stop_path


def acts(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, str]]:
    """Return action, how and reason of each act, the first first."""
    capsys.readouterr()
    assert run(["ops", "acts", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["acts"]
    return [(row["action"], row["how"], row["reason"]) for row in reversed(rows)]


def test_stop_pulls_the_switch_on_everything_and_resume_puts_it_back(
    store: BlockingControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    how = f"uid {os.getuid()}"

    stopped = run(["ops", "stop", "--reason", "incident 12"])
    board = store.read_switches()
    resumed = run(["ops", "resume", "--reason", "mended"])
    again = run(["ops", "resume"])

    assert (stopped, resumed, again) == (0, 0, 1)
    assert [s.ref.scope for s in board.switches] == ["global"]
    assert store.read_switches().switches == ()
    assert acts(capsys) == [("stop", how, "incident 12"), ("resume", how, "mended")]


@pytest.mark.parametrize("damage", ["noise", "nothing"])
def test_stop_of_a_store_that_cannot_be_reached_writes_the_stop_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    path = tmp_path / "control.db"
    monkeypatch.setenv("GOLDRUN_STORE", str(path))
    if damage == "noise":
        path.write_bytes(os.urandom(9000))

    code = run(["ops", "stop", "--reason", "incident 12"])
    written = json.loads(stop_path(path).read_bytes())
    output = capsys.readouterr()

    assert code == 0
    assert (written["reason"], written["ref"]["scope"]) == ("incident 12", "global")
    assert f"(uid {os.getuid()})" in written["by"]
    assert "cannot be reached" in output.err
    assert str(stop_path(path)) in output.out


def test_a_stop_file_is_a_switch_on_everything_and_its_removal_is_an_act(
    store: BlockingControlStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["ops", "stop", "--by-file", "--reason", "disk"])
    pulled = store.read_switches().switches
    resumed = run(["ops", "resume", "--reason", "mended"])

    assert [(s.ref.scope, s.reason) for s in pulled] == [("global", "disk")]
    assert resumed == 0
    assert store.read_switches().switches == ()
    assert not stop_path(tmp_path / "control.db").exists()
    assert [(action, reason) for action, _, reason in acts(capsys)] == [
        ("stop", "disk"),
        ("resume", "mended"),
    ]


def test_a_stop_file_that_cannot_be_read_stops_all_the_same(
    store: BlockingControlStore, tmp_path: Path
) -> None:
    stop_path(tmp_path / "control.db").write_bytes(b"{half")

    assert [s.ref.scope for s in store.read_switches().switches] == ["global"]


def test_the_variable_names_the_store_as_the_option_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDRUN_STORE", str(tmp_path / "other.db"))

    assert run(["ops", "kill", "all", "--create"]) == 0
    assert (tmp_path / "other.db").is_file()
