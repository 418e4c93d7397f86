"""`goldrun ops kill`, `disable`, `enable`, `switches`, as an operator uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.main import run
from runtime.state.control.blocking import BlockingControlStore


def test_switches_are_pulled_listed_and_put_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(tmp_path / "control.db")]

    assert run(["ops", "kill", "tenant", "acme", "--reason", "incident 12", "--create", *store]) == 0
    assert run(["ops", "disable", "tool", "refund.create", "--tenant", "acme", *store]) == 0
    capsys.readouterr()
    assert run(["ops", "switches", "--json", *store]) == 0
    pulled = json.loads(capsys.readouterr().out)["switches"]
    assert run(["ops", "enable", "tenant", "acme", *store]) == 0
    assert run(["ops", "enable", "tool", "refund.create", "--tenant", "acme", *store]) == 0
    capsys.readouterr()
    assert run(["ops", "switches", "--json", *store]) == 0

    assert [(s["scope"], s["name"], s["reason"]) for s in pulled] == [
        ("tenant", "acme", "incident 12"),
        ("tool", "refund.create", ""),
    ]
    assert json.loads(capsys.readouterr().out)["switches"] == []


@pytest.mark.parametrize("words", [["kill", "all"], ["disable", "tool", "pay"]])
def test_a_switch_is_not_pulled_on_a_store_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    path = tmp_path / "mistyped.db"

    code = run(["ops", *words, "--store", str(path)])

    output = capsys.readouterr()
    assert (code, output.out) == (3, "")
    assert str(path) in output.err
    assert not path.exists()
    assert run(["ops", *words, "--store", str(path), "--create"]) == 0


def test_enable_of_what_is_not_pulled_says_so_and_lists_what_is(
    store: BlockingControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["ops", "disable", "tool", "pay", "--tenant", "acme", "--reason", "incident 12"])
    run(["ops", "disable", "tool", "look"])
    capsys.readouterr()

    missed = run(["ops", "enable", "tool", "pay"])
    output = capsys.readouterr().out
    hit = run(["ops", "enable", "tool", "pay", "--tenant", "acme"])

    assert (missed, hit) == (1, 0)
    assert "nothing changed: no switch is pulled for tool pay" in output
    assert "still pulled: tool pay only for tenant acme" in output
    assert "incident 12" in output
    assert "look" not in output
    assert [s.ref.name for s in store.read_switches().switches] == ["look"]


def test_enable_names_the_wider_switch_that_still_stops_it(
    store: BlockingControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["ops", "kill", "all"])
    run(["ops", "kill", "all", "--environment", "prod"])
    capsys.readouterr()

    assert run(["ops", "enable", "all", "--environment", "prod"]) == 0
    assert "still pulled: all, by" in capsys.readouterr().out
