"""Commands that are given what is no file of theirs end with one error and exit code 2 or 3, never as our bug."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import run

COMMANDS = [
    ["test", "--no-pytest"],
    ["migrate"],
    ["replay"],
    ["show"],
    ["lift"],
    ["import", "tau-bench", "--out", "out"],
    ["import", "nothing", "--out", "out"],
    ["ingest", "--deploy", "v1"],
    ["recover"],
    ["verify"],
    ["resume", "--agent", "a:b"],
    ["promote", "--task", "a/b"],
    ["redact-check"],
    ["record"],
    ["diff", "nothing"],
    ["history", "compact", "--history"],
    ["history", "rebuild", "--history"],
    ["history", "rm", "v1", "--history"],
    ["history", "show", "v1", "--history"],
    ["report", "--baseline", "a", "--candidate", "b", "--history"],
    ["ops", "runs", "--store"],
    ["ops", "switches", "--store"],
    ["ops", "claims", "--store"],
    ["ops", "audit"],
    ["demo", "--keep"],
]
FILES = {
    "junk.jsonl": b"\0\xff{\n",
    "empty.jsonl": b"",
    "bad.cassette.json": b'{"a": 1}',
    "open.json": b"[[[[",
    "short.golden.yaml": b"schema: golden/1\n",
    "junk.seg": b"x" * 50,
    "junk.db": b"no database" * 100,
    "latin.yaml": b"schema: policy/1\nx: \xe9\n",
    "junk.json.gz": b"\x1f\x8bxx",
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_hostile_path_is_reported_as_our_bug(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    paths = [*FILES, "missing", "a\x01b", "x#y"]

    if command[0] == "demo":
        paths = [*FILES]  # into a new folder it would run

    ended = {path: (run([*command, path]), "".join(capsys.readouterr())) for path in paths}

    assert {path: said for path, (code, said) in ended.items() if code not in {0, 1, 2, 3}} == {}
    assert {path for path, (code, said) in ended.items() if code in {2, 3} and not said} == set()
