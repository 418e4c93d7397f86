"""A world on a SQLite file for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from tests.runtime.failure_modes.world import World


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@pytest.fixture
def store(path: Path) -> Iterator[BlockingControlStore]:
    made = BlockingControlStore(SqliteControlStore(path))
    yield made
    made.close()


@pytest.fixture
def world(store: BlockingControlStore) -> World:
    return World(store)
