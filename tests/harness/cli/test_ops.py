"""`goldrun ops` on a control store and an audit log, as an operator uses it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from harness.cli.main import run
from runtime.observability.audit import AuditCheckpoint, AuditLog
from runtime.observability.events import Event

KEY = "a key of at least sixteen bytes"


def _log(path: Path, count: int) -> list[AuditCheckpoint]:
    anchored: list[AuditCheckpoint] = []
    with AuditLog(path, key=KEY.encode(), anchor=anchored.append) as log:
        for i in range(count):
            log.take(
                Event(
                    kind="run_started",
                    request_id=f"r{i}",
                    run_id=f"run{i}",
                    tenant="acme",
                    environment="p",
                    agent="a",
                )
            )
    return anchored


def test_an_audit_log_with_its_checkpoints_is_intact_and_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDRUN_AUDIT_KEY", KEY)
    log, anchors = tmp_path / "audit.jsonl", tmp_path / "anchors.jsonl"
    anchors.write_bytes(b"\n".join(msgspec.json.encode(c) for c in _log(log, 5)))

    good = run(["ops", "audit", str(log), "--checkpoints", str(anchors), "--json"])
    told = json.loads(capsys.readouterr().out)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    cut = run(["ops", "audit", str(log), "--checkpoints", str(anchors)])

    assert (good, cut) == (0, 1)
    assert (told["schema"], told["intact"], told["complete"]) == ("goldrun.ops.audit/1", True, True)
    assert "intact: yes; complete: no" in capsys.readouterr().out


def test_a_changed_audit_line_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDRUN_AUDIT_KEY", KEY)
    log = tmp_path / "audit.jsonl"
    _log(log, 5)
    log.write_bytes(log.read_bytes().replace(b"r2", b"rX"))

    assert run(["ops", "audit", str(log)]) == 1
    assert "line 2" in capsys.readouterr().out


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


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["kill", "everything"], 2),
        (["kill", "tenant"], 2),
        (["disable", "planet", "x"], 2),
        (["approve", "appr_nope"], 3),
        (["runs", "req_nope"], 3),
        (["enable", "planet", "x"], 2),
        (["enable", "global"], 2),
        (["caps", "acme"], 2),
        (["caps", "acme", "--clear", "--usd-day", "1"], 2),
        (["settle", "idem_nope", "--happened"], 3),
        (["settle", "idem_nope"], 2),
        (["settle", "idem_nope", "--happened", "--did-not-happen"], 2),
        (["settle", "idem_nope", "--did-not-happen", "--result", "x"], 2),
        (["close-breaker", "nothing"], 3),
        (["claims", "--state", "lost"], 2),
    ],
)
def test_wrong_words_and_unknown_names_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int
) -> None:
    store = str(tmp_path / "control.db")
    run(["ops", "kill", "run", "req_1", "--create", "--store", store])
    capsys.readouterr()

    assert run(["ops", *words, "--store", store]) == code
    assert "Traceback" not in capsys.readouterr().err
