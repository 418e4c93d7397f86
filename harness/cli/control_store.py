"""The control store that a command acts on, and the acts that are kept in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.operator import operator
from runtime.errors import DataError

if TYPE_CHECKING:
    from runtime.ports.control_values import Act
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
                next_step="name the store of the service with --store or GOLDRUN_STORE",
            )
        self._path = path

    def __enter__(self) -> BlockingControlStore:
        from runtime.state.control.blocking import BlockingControlStore
        from runtime.state.control.sqlite_store import SqliteControlStore

        self._store = BlockingControlStore(SqliteControlStore(self._path))
        return self._store

    def __exit__(self, *exc: object) -> None:
        self._store.close()


def act_of(action: str, subject: str, reason: str) -> Act:
    """Return what the operator does now, with who, how that is known, when and why."""
    from runtime.ports.control_values import Act

    by = operator()
    return Act(at=now(), by=by.name, how=by.how, action=action, subject=subject, reason=reason)


def in_force(store: BlockingControlStore, epoch: int) -> str:
    """Wait until switches are in force everywhere; return that in words."""
    from runtime.execution.acknowledgement import acknowledged
    from runtime.execution.clock import SystemClock

    answer = store.ask(acknowledged(store.store, epoch, SystemClock()))
    silent = f", {len(answer.silent)} did not answer and may start nothing more" if answer.silent else ""
    return f"nothing of it starts any more; {answer.workers} workers acknowledged it{silent}"


def now() -> float:
    """Return epoch seconds from `runtime.execution.clock`, the only reader of the wall clock."""
    from runtime.execution.clock import SystemClock

    return SystemClock().now().timestamp()


def time_text(seconds: float) -> str:
    """Return epoch seconds as ISO 8601 UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
