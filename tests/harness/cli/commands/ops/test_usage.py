"""Wrong words and unknown names are refused by `goldrun ops`."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import run


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
def test_wrong_words_and_unknown_names_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int
) -> None:
    store = str(tmp_path / "control.db")
    run(["ops", "kill", "run", "req_1", "--create", "--store", store])
    capsys.readouterr()

    assert run(["ops", *words, "--store", store]) == code
    assert "Traceback" not in capsys.readouterr().err
