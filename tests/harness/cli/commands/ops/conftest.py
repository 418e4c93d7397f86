"""A control store that the commands find by its variable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockingControlStore]:
    monkeypatch.setenv("GOLDRUN_CONTROL_STORE", str(tmp_path / "control.db"))
    made = BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))
    yield made
    made.close()
