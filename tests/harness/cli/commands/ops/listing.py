"""The rows that a command of `goldrun ops` lists."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.cli.main import run


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run(["ops", *words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (rows,) = (value for name, value in document.items() if name != "schema")
    return list(rows)
