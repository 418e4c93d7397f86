"""`goldrun redact-check`: what stands in files is found by rule, file and record, and never shown."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from harness.cassette.redact_check import check_secrets
from harness.cassette.segment import SegmentWriter
from harness.cli.main import run
from harness.errors import CassetteError
from harness.redaction.redactor import Redactor
from runtime.core.effects import Begin, End, Outcome
from runtime.core.messages import user_message
from runtime.core.run import Header, Totals
from runtime.errors import ExitCode
from runtime.journal.builder import RecordBuilder
from runtime.journal.records import Record

KEY = "ghp_" + "a1B2c3D4e5" * 4
PEM = "-----BEGIN " + "PRIVATE KEY-----\n" + "MIIEow" * 12 + "\n-----END " + "PRIVATE KEY-----"


def records(text: str) -> list[Record]:
    header = Header(
        request_id="req_1",
        run_id="run_1",
        tenant="t",
        environment="e",
        agent="a",
        input=(user_message(text),),
        redaction="none",
    )
    builder = RecordBuilder(cleaner=None)
    end = End(stop_reason="finish", output="x", totals=Totals(), trace_hash="h")
    made = (builder.intent(Begin(header=header)), builder.outcome(end, Outcome(None)))
    return [record for record in made if record is not None]


def found(path: Path) -> list[tuple[str, str, str]]:
    return [(Path(one.file).name, one.record, one.rule) for one in check_secrets(path).findings]


def test_secrets_are_found_in_text_json_lines_and_compressed_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"one\nuse {KEY}\n")
    (tmp_path / "b.jsonl").write_text('{"a": 1}\n{"deep": "{\\"password\\": \\"hunter2\\"}"}\n')
    (tmp_path / "c.json").write_text(json.dumps({"x": 1, "interactions": [{"a": 1}, {"a": KEY}]}))
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(json.dumps({"a": KEY}).encode()))
    (tmp_path / "e.bin").write_bytes(b"\0\xff\xfe" + KEY.encode() + b"\xff")
    (tmp_path / "f.cassette.json").write_text(json.dumps({"text": PEM.splitlines(keepends=True)}))
    (tmp_path / "g.md").write_text("nothing here but <secret#1>")

    assert found(tmp_path) == [
        ("a.txt", "byte 0 and on", "github_token"),
        ("b.jsonl", "line 2", "field"),
        ("c.json", "interactions[1]", "github_token"),
        ("d.jsonl.gz", "line 1", "github_token"),
        ("e.bin", "byte 0 and on", "github_token"),
        ("f.cassette.json", "text", "private_key"),
    ]


def test_secrets_are_found_in_the_runs_of_a_segment(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "runs.seg") as writer:
        writer.add(records(f"use {KEY}"))

    assert found(tmp_path / "runs.seg") == [("runs.seg", "req_1, record 0", "github_token")]


def test_secrets_are_found_in_the_rows_of_a_report(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"run": ["a", "b"], "error": [None, f"refused {KEY}"]})
    parquet.write_table(table, tmp_path / "report.parquet")

    assert found(tmp_path) == [("report.parquet", "row 2", "github_token")]


def test_a_secret_on_the_border_of_two_pieces_is_found(tmp_path: Path) -> None:
    (tmp_path / "big.txt").write_text(" " * ((8 << 20) - 20) + KEY + " " * 100)

    assert {rule for _, _, rule in found(tmp_path)} == {"github_token"}


def test_rules_of_the_caller_decide_what_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ann@example.test")

    assert check_secrets(tmp_path).findings == ()
    personal = check_secrets(tmp_path, make=lambda: Redactor(personal_data=True))
    assert [one.rule for one in personal.findings] == ["email"]


def test_a_missing_or_damaged_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no table")
    (tmp_path / "y.json.gz").write_bytes(b"\x1f\x8b\x08 cut")

    for name in ("missing", "x.parquet", "y.json.gz"):
        with pytest.raises(CassetteError):
            check_secrets(tmp_path / name)


def test_the_command_names_findings_without_the_secret_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE_PASSWORD", "correct horse battery")
    (tmp_path / "a.txt").write_text(f"use {KEY} or correct horse battery")

    assert run(["redact-check", str(tmp_path)]) == ExitCode.CHECK_FAILED

    told = capsys.readouterr().out
    assert "a.txt: byte 0 and on: github_token (1)" in told
    assert "a.txt: byte 0 and on: known_value (1)" in told
    assert "2 findings in 1 files" in told
    assert KEY not in told


def test_the_command_prints_one_json_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("nothing")

    assert run(["redact-check", str(tmp_path), "--json"]) == ExitCode.OK

    assert json.loads(capsys.readouterr().out) == {
        "schema": "goldrun.redact-check/1",
        "files": 1,
        "findings": [],
    }
