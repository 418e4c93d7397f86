"""Bad input gets one clear error: what, where, what to do next; the right exit code; nothing written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import run

ROOT = Path(__file__).resolve().parents[3]


def _says(capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    error = capsys.readouterr().err
    for part in parts:
        assert part in error, error
    assert "Traceback" not in error


def test_an_empty_cassette_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.cassette.json"
    path.write_bytes(b"")

    assert run(["replay", str(path)]) == 3
    _says(capsys, "empty", str(path), "next:")
    assert path.read_bytes() == b""


def test_a_truncated_cassette_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (ROOT / "cassettes/support/late_parcel.cassette.json").read_bytes()
    path = tmp_path / "cut.cassette.json"
    path.write_bytes(whole[: len(whole) // 2])

    assert run(["replay", str(path)]) == 3
    _says(capsys, str(path), "next:")


def test_a_folder_without_recordings_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", str(tmp_path)]) == 3
    _says(capsys, "no recording", str(tmp_path), "goldrun record")


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", str(tmp_path / "absent.cassette.json")]) == 3
    _says(capsys, "absent.cassette.json")


def test_an_unknown_deploy_names_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = str(tmp_path / "history")
    cassettes = str(ROOT / "cassettes" / "support")
    assert run(["ingest", cassettes, "--deploy", "v1", "--history", history]) == 0
    capsys.readouterr()

    code = run(["report", "--baseline", "v1", "--candidate", "v2", "--history", history])

    assert code == 3
    _says(capsys, "'v2'", "v1", "goldrun ingest")


@pytest.mark.parametrize("label", ["..", "."])
def test_a_deploy_label_that_is_no_name_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str
) -> None:
    cassettes = str(ROOT / "cassettes" / "support")

    code = run(["ingest", cassettes, "--deploy", label, "--history", str(tmp_path / "history")])

    assert code == 2
    _says(capsys, f"'{label}'")
    assert not (tmp_path / "history" / "runs").exists()


def test_an_unreadable_import_is_named_after_the_others_were_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text('{"messages": [', encoding="utf-8")
    (tmp_path / "other.json").write_text('{"hello": 1}', encoding="utf-8")

    code = run(["import", "agentdojo", str(tmp_path), "--out", str(tmp_path / "out")])

    assert code == 3
    _says(capsys, "bad.json", "other.json", "skipped")


def test_an_unknown_import_format_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "nonsense", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    _says(capsys, "'nonsense'", "agentdojo")


def test_a_recording_that_is_no_yaml_is_named_by_lift(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("interactions: [", encoding="utf-8")

    assert run(["lift", str(path), "--json"]) == 3
    _says(capsys, "broken.yaml")


def test_an_unknown_option_or_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "--nonsense", "x"]) == 2
    assert run(["nonsense"]) == 2
    _says(capsys, "nonsense")


def test_diffing_a_file_of_many_runs_asks_for_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(ROOT / "cassettes" / "support")

    assert run(["diff", folder, folder]) == 2
    _says(capsys, "FILE#REQUEST_ID")


def test_a_task_with_wrong_yaml_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = tmp_path / "golden"
    golden.mkdir()
    task = golden / "wrong.golden.yaml"
    task.write_text("schema: golden/1\ntask: [unclosed\n", encoding="utf-8")

    code = run(["test", str(golden), "--no-pytest"])

    assert code == 3
    assert "wrong.golden.yaml:" in capsys.readouterr().out


def test_an_empty_selection_of_golden_tasks_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", str(tmp_path), "--no-pytest"]) == 3
    _says(capsys, "no golden task")
