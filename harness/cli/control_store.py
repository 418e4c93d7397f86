"""Open the control store that a command acts on, and log each operator act in it."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import DataError

if TYPE_CHECKING:
    from runtime.state.control.blocking import BlockingControlStore


class open_store:  # noqa: N801 - reads as a function where it is used
    """A control store for one command."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Check that the file exists.

        Raises:
            DataError: If it does not exist, and `create` is false.
        """
        if not create and not path.is_file():
            raise DataError(
                "there is no control store here, so nothing was done",
                where=str(path.absolute()),
                next_step="name the store of the service with --store or GOLDRUN_CONTROL_STORE",
            )
        self._path = path

    def __enter__(self) -> BlockingControlStore:
        from runtime.state.control.blocking import BlockingControlStore
        from runtime.state.control.sqlite_store import SqliteControlStore

        self._store = BlockingControlStore(SqliteControlStore(self._path))
        return self._store

    def __exit__(self, *exc: object) -> None:
        self._store.close()


def note(store: BlockingControlStore, action: str, subject: str, reason: str) -> None:
    """Log an operator's act: who, when, what and why."""
    from runtime.ports.control_values import Act

    store.note_act(Act(at=now(), by=operator(), action=action, subject=subject, reason=reason))


def operator() -> str:
    """Return the name of the user who runs the command."""
    return getpass.getuser()


def now() -> float:
    """Return epoch seconds from `runtime.execution.clock`, the only reader of the wall clock."""
    from runtime.execution.clock import SystemClock

    return SystemClock().now().timestamp()


def time_text(seconds: float) -> str:
    """Return epoch seconds as ISO 8601 UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
