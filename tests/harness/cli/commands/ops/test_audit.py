"""`goldrun ops audit` on an audit log, as an operator uses it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from harness.cli.main import run
from runtime.observability.audit import AuditCheckpoint, AuditLog
from runtime.observability.run_events import Event

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
    output = json.loads(capsys.readouterr().out)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    cut = run(["ops", "audit", str(log), "--checkpoints", str(anchors)])

    assert (good, cut) == (0, 1)
    assert (output["schema"], output["intact"], output["complete"]) == ("goldrun.ops.audit/1", True, True)
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
