"""Both stores side by side: every operation is asked of both, and their answers must be equal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing.ram_store import RamControlStore
from tests.support.counts import FULL, examples

T = TypeVar("T")

MACHINE = settings(
    max_examples=examples(30, 1000),
    stateful_step_count=50 if FULL else 25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""A machine makes thousands of synced commits; what is tested is their meaning, not the disk."""


class TwinMachine(RuleBasedStateMachine):
    """A state machine with two stores and a clock of whole and half seconds that never goes back."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory(prefix="goldrun-twin-", dir=IN_MEMORY)
        self.stores: tuple[BlockingControlStore, ...] = (
            BlockingControlStore(RamControlStore()),
            BlockingControlStore(SqliteControlStore(Path(self.folder.name) / "control.db")),
        )
        self.now = 1000.0

    def both(self, ask: Callable[[BlockingControlStore], T]) -> T:
        """Return the answer that both stores give."""
        memory, sqlite = (ask(store) for store in self.stores)
        assert memory == sqlite
        return memory

    @rule(halves=st.integers(1, 12))
    def advance(self, halves: int) -> None:
        """Let time pass."""
        self.now += halves / 2

    @rule()
    def reopen(self) -> None:
        """Restart the process of the durable store."""
        memory, sqlite = self.stores
        sqlite.close()
        self.stores = (
            memory,
            BlockingControlStore(SqliteControlStore(Path(self.folder.name) / "control.db")),
        )

    def teardown(self) -> None:
        """Remove the file."""
        for store in self.stores:
            store.close()
        self.folder.cleanup()


def case_of(machine: type[TwinMachine]) -> Any:
    """Return the test case of a machine with the settings of this suite."""
    case = machine.TestCase
    case.settings = MACHINE
    return case
