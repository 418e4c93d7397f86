"""The stores that every contract test runs against; a further store joins by one more name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing.ram_store import RamControlStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockingControlStore]:
    """A fresh store."""
    made: BlockingControlStore = (
        BlockingControlStore(RamControlStore())
        if request.param == "memory"
        else BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))
    )
    yield made
    made.close()
