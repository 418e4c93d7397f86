"""One SQLite file used by many threads and processes: connections, transactions, forks, faults.

Theory of operation. Connections wait in a pool; an operation takes one, so each is used by one thread at a time and
there are as many as operations ever ran at once. A process that finds it was forked leaves the inherited connections
alone (closing them would touch the parent's locks) and opens its own. Writers begin with BEGIN IMMEDIATE, so a
transaction that has begun never fails to get a lock; SQLite's busy handler waits for it. In WAL mode
`synchronous=NORMAL` survives the death of the process, `FULL` also a power loss; a connection switches between them.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any

from runtime.errors import DataError
from runtime.ports.control_values import ControlUnavailable
from runtime.state.control.sqlite_schema import APPLICATION_ID, SCHEMA, VERSION

BUSY_TIMEOUT_S = 10.0
_OPEN_ATTEMPTS = 50
_INHERITED: list[object] = []
"""Connections of a parent process; kept so that they are never closed here."""


class _Link:
    """A connection and whether it syncs each commit now."""

    __slots__ = ("db", "syncs")

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db: sqlite3.Connection = db
        self.syncs: bool = False


class Use:
    """A connection in use: a write transaction, or reads one by one."""

    __slots__ = ("_file", "_link", "_syncs", "_writes")

    def __init__(self, file: SqliteFile, *, writes: bool, syncs: bool) -> None:
        self._file = file
        self._writes = writes
        self._syncs = syncs

    def __enter__(self) -> sqlite3.Connection:
        link = self._link = self._file.take()
        if not self._writes:
            return link.db
        try:
            if link.syncs != self._syncs:
                link.db.execute("PRAGMA synchronous=FULL" if self._syncs else "PRAGMA synchronous=NORMAL")
                link.syncs = self._syncs
            link.db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._file.drop(link)
            raise self._file.fault(error) from error
        except BaseException:  # an interrupted begin must not keep the lock
            self._file.drop(link)
            raise
        return link.db

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        link = self._link
        try:
            if error is None and self._writes:
                link.db.execute("COMMIT")
            elif link.db.in_transaction:
                link.db.execute("ROLLBACK")
        except sqlite3.Error as failed:
            self._file.drop(link)
            raise self._file.fault(failed) from failed
        if isinstance(error, sqlite3.Error):
            self._file.drop(link)
            if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.InterfaceError):
                return
            raise self._file.fault(error) from error
        self._file.give(link)


class SqliteFile:
    """A control file; made with its tables if it is not there."""

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Open or make the file.

        Args:
            path: The file; its folder must exist. Not on a network file system.
            busy_timeout_s: Seconds to wait for another writer before the store counts as unavailable.

        Raises:
            ControlUnavailable: If it cannot be opened.
            DataError: If it is something else, or of another version.
        """
        self.path = path
        self._timeout_s = busy_timeout_s
        self._pid = os.getpid()
        self._idle: list[_Link] = []
        self._links: set[_Link] = set()
        self._closed = False
        link = self._connect()
        try:
            _prepare(link.db, path)
        except sqlite3.Error as error:
            self.drop(link)
            raise self.fault(error) from error
        except DataError:
            self.drop(link)
            raise
        self._idle.append(link)

    def read(self) -> Use:
        """Return a context whose connection reads; each statement sees the latest commit."""
        return Use(self, writes=False, syncs=False)

    def write(self) -> Use:
        """Return a context that is one write transaction and survives the death of the process."""
        return Use(self, writes=True, syncs=False)

    def write_synced(self) -> Use:
        """Return a context that is one write transaction and survives a power loss."""
        return Use(self, writes=True, syncs=True)

    def take(self) -> _Link:
        """Return a connection that nobody else uses.

        Raises:
            ControlUnavailable: If there is none and none can be made.
        """
        if self._pid != os.getpid():
            _INHERITED.append((self._idle, self._links))
            self._idle, self._links, self._pid = [], set(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def give(self, link: _Link) -> None:
        """Put a connection back."""
        if self._closed:
            self.drop(link)
        else:
            self._idle.append(link)

    def drop(self, link: _Link) -> None:
        """Close a connection that failed; SQLite rolls back what it had begun."""
        self._links.discard(link)
        link.db.close()

    def close(self) -> None:
        """Close the connections that are not in use; the others when they come back."""
        self._closed = True
        if self._pid != os.getpid():
            return
        while self._idle:
            self.drop(self._idle.pop())

    def fault(self, error: sqlite3.Error) -> ControlUnavailable:
        """Return the store's own error for one of SQLite's."""
        return ControlUnavailable(
            f"the control store cannot be used: {error}",
            where=str(self.path),
            next_step="check that the file can be written and is on a local disk; calls are refused until then",
        )

    def _connect(self) -> _Link:
        if self._closed:
            raise ControlUnavailable(
                "the control store is closed", where=str(self.path), next_step="open it again"
            )
        try:
            db = sqlite3.connect(
                self.path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self.fault(error) from error
        try:
            db.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error as error:
            db.close()
            raise self.fault(error) from error
        link = _Link(db)
        self._links.add(link)
        return link


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or check that they are ours.

    Raises:
        DataError: If the file is something else, or of another version.
    """
    if _pragma(db, "user_version") == 0:
        _check_empty(db, path)
        db.execute("PRAGMA page_size=2048")  # rows are small; a commit writes whole pages
        _switch_to_wal(db)
        db.execute("BEGIN IMMEDIATE")
        if _pragma(db, "user_version") == 0:
            for statement in SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")
    if _pragma(db, "application_id") != APPLICATION_ID:
        raise _foreign(path)
    version = _pragma(db, "user_version")
    if version != VERSION:
        raise DataError(
            f"the control file has version {version!r}, this program reads version {VERSION}",
            where=str(path),
            next_step="use the release that wrote it, or name a new file",
        )


def _check_empty(db: sqlite3.Connection, path: Path) -> None:
    db.execute("BEGIN")  # one snapshot: another process may be making the tables
    try:
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and _pragma(db, "user_version") == 0:
            raise _foreign(path)
    finally:
        db.execute("COMMIT")


def _foreign(path: Path) -> DataError:
    return DataError(
        "this is a database, but not one of control state", where=str(path), next_step="name another file"
    )


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """Switch to WAL; SQLite does not wait for that lock, so wait for the write lock instead."""
    for attempt in range(_OPEN_ATTEMPTS):
        try:
            if _pragma(db, "journal_mode") == "wal" or _pragma(db, "journal_mode=WAL") == "wal":
                return
        except sqlite3.OperationalError:
            if attempt == _OPEN_ATTEMPTS - 1:
                raise
        db.execute("BEGIN IMMEDIATE")
        db.execute("COMMIT")


def _pragma(db: sqlite3.Connection, name: str) -> Any:
    return db.execute(f"PRAGMA {name}").fetchone()[0]
