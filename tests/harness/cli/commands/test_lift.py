"""`goldrun lift` as users run it: exit codes, one JSON document, warnings that name what was not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import run

ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
ANSWERED = {
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0},
}


def _recording(folder: Path, name: str, url: str = "https://api.openai.com/v1/chat/completions") -> Path:
    path = folder / name
    exchange = {
        "request": {"method": "POST", "url": url, "json": ASKED},
        "response": {"status": 200, "json": ANSWERED},
    }
    path.write_text(json.dumps(exchange), encoding="utf-8")
    return path


def test_a_folder_is_one_document_and_a_damaged_file_is_named_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _recording(tmp_path, "a.json")
    (tmp_path / "b.json").write_text('{"log": {"entries": [}', encoding="utf-8")
    _recording(tmp_path, "c.json")

    code = run(["lift", str(tmp_path), "--json"])

    out, err = capsys.readouterr()
    document: dict[str, Any] = json.loads(out)
    assert code == 3
    assert document["schema"] == "goldrun.lift/1"
    assert [bool(file["error"]) for file in document["files"]] == [False, True, False]
    assert "b.json: damaged JSON" in err
    (exchange,) = document["files"][0]["exchanges"]
    assert (exchange["text"], exchange["cost_source"]) == ("hello", "tokens")
    assert float(exchange["cost_usd"]) == 0.15
    assert document["files"][0]["traces"][0]["price_table"].startswith("genai-prices")


def test_an_unknown_endpoint_is_named_and_read_once_its_dialect_is_stated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _recording(tmp_path, "a.json", "https://gateway.test/llm/generate")

    assert run(["lift", str(path)]) == 0
    assert "not decoded: gateway.test /llm/generate" in capsys.readouterr().err

    assert run(["lift", str(path), "--dialect", "openai-chat", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["exchanges"][0]["text"] == "hello"


def test_a_wrong_dialect_names_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _recording(tmp_path, "a.json")

    assert run(["lift", str(path), "--dialect", "openai", "--json"]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert "'openai' is no dialect" in err
    assert "openai-chat" in err


def test_a_folder_without_recordings_is_an_error_and_its_other_files_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lift", str(tmp_path)]) == 3
    assert "there is no recording to lift" in capsys.readouterr().err

    (tmp_path / "package.json").write_text("{}", encoding="utf-8")
    _recording(tmp_path, "a.json")

    assert run(["lift", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "1 exchanges in 1 files became 1 traces" in out
    assert "1 files in the folders are not recordings and were skipped" in err
