"""One SQLite file used by many event loops and processes: its connections, its threads, forks and faults.

Theory of operation. No operation works on an event loop. What is written goes through the one writer thread of the
process (`sqlite_writer`), which has a connection of its own. What is read goes to a few reader threads, each operation
with a connection that nobody else uses meanwhile: in WAL mode a reader is never held up by a writer, of whatever
process. One more connection, the anchor, is never used after the file was opened. It keeps SQLite from removing the
log of the file while this process has it open.

A process that finds it was forked leaves the inherited connections alone (closing them would touch the parent's locks)
and opens its own.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from runtime.errors import DataError
from runtime.ports.control_values import ControlUnavailable
from runtime.state.control.file_identity import FileIdentity
from runtime.state.control.reader_threads import ReaderThreads
from runtime.state.control.sqlite_schema import prepare
from runtime.state.control.sqlite_writer import GroupWriter, Operation

T = TypeVar("T")
P = ParamSpec("P")

DEADLINE_S = 5.0
READERS = 3
_SLICE_S = 0.05
"""How long the writer waits for a lock before it looks again who still waits for it."""
_INHERITED: list[object] = []
"""Connections of a parent process; kept so that they are never closed here."""


class SqliteFile:
    """A control file; made with its tables if it is not there."""

    def __init__(self, path: Path, *, deadline_s: float = DEADLINE_S) -> None:
        """Open or make the file.

        Args:
            path: The file; its folder must exist. Not on a network file system.
            deadline_s: Seconds within which an operation is answered or refused.

        Raises:
            ControlUnavailable: If it cannot be opened.
            DataError: If it is something else, or of a newer version.
        """
        self.path = path
        self._deadline_s = deadline_s
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        """Open the file for this process."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._writing: dict[bool, sqlite3.Connection] = {}
        self._anchor: sqlite3.Connection | None = None
        self._readers = ReaderThreads(READERS, deadline_s=self._deadline_s, late=self._late)
        self._writer = GroupWriter(self, deadline_s=self._deadline_s, late=self._late)
        anchor = self._connect(self._deadline_s)
        try:
            prepare(anchor, self.path)
            self._identity = FileIdentity(self.path)
        except sqlite3.Error as error:
            anchor.close()
            raise self.fault(error) from error
        except DataError:
            anchor.close()
            raise
        self._anchor = anchor

    async def write(self, operation: Operation[T], *, durable: bool) -> T:
        """Return the answer of an operation once it is stored.

        Args:
            operation: What to do with a connection; it may be one of many in a transaction.
            durable: Whether it must survive a power loss, and not only the death of the process.

        Raises:
            ControlUnavailable: If it could not be stored, or not within the deadline.
        """
        self._check_usable()
        return await self._writer.do(operation, durable=durable)

    async def read(self, operation: Operation[T]) -> T:
        """Return the answer of an operation that only reads; each of its statements sees the latest commit.

        Raises:
            ControlUnavailable: If the file could not be read, or not within the deadline.
        """
        return await self.look(lambda: self.read_now(operation))

    async def look(self, work: Callable[[], T]) -> T:
        """Return what some work gives that is done in a reader thread, without a connection.

        Raises:
            ControlUnavailable: If it is not done within the deadline.
        """
        self._check_usable()
        return await self._readers.do(work)

    def close(self) -> None:
        """Close the file once what was asked is done; closing it twice is harmless."""
        if self._closed or self._pid != os.getpid():
            self._closed = True
            return
        self._closed = True
        self._writer.close()
        self._readers.close()
        with self._lock:
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()
        if self._anchor is not None:
            self._anchor.close()
            self._identity.release()

    def writable(self, *, durable: bool) -> sqlite3.Connection:
        """Return a connection of the writer: one that syncs each commit, or one that does not."""
        self._identity.check()
        db = self._writing.get(durable)
        if db is None:
            db = self._connect(_SLICE_S)
            try:
                db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            except sqlite3.Error:
                db.close()
                raise
            self._writing[durable] = db
        return db

    def drop_writable(self) -> None:
        """Close the writer's connections; SQLite rolls back what they had begun."""
        writing, self._writing = self._writing, {}
        for db in writing.values():
            db.close()

    def fault(self, error: sqlite3.Error) -> ControlUnavailable:
        """Return the store's own error for one of SQLite's."""
        return ControlUnavailable(
            f"the control store cannot be used: {error}",
            where=str(self.path),
            next_step="check that the file can be written and is on a local disk; calls are refused until then",
        )

    def _late(self) -> ControlUnavailable:
        return ControlUnavailable(
            f"the control store did not answer within {self._deadline_s:g} s: it is locked, or its disk hangs",
            where=str(self.path),
            next_step="look which process holds the file; calls are refused until then",
        )

    def read_now(self, operation: Operation[T]) -> T:
        """Return the answer of an operation that only reads; in the thread of the caller."""
        self._identity.check()
        with self._lock:
            db = self._idle.pop() if self._idle else None
        if db is None:
            db = self._connect(self._deadline_s)
        try:
            answer = operation(db)
        except sqlite3.Error as error:
            db.close()
            if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.InterfaceError):
                raise
            raise self.fault(error) from error
        except BaseException:
            db.close()
            raise
        with self._lock:
            self._idle.append(db)
        return answer

    def _check_usable(self) -> None:
        if self._closed:
            raise ControlUnavailable(
                "the control store is closed", where=str(self.path), next_step="open it again"
            )
        if self._pid != os.getpid():
            _INHERITED.append((self._idle, self._writing, self._anchor, self._readers, self._writer))
            self._begin()

    def _connect(self, timeout_s: float) -> sqlite3.Connection:
        try:
            return sqlite3.connect(
                self.path, timeout=timeout_s, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self.fault(error) from error


class OnFile(Protocol):
    """A part of a store that works on a control file."""

    _file: SqliteFile


S = TypeVar("S", bound=OnFile)
_Operation = Callable[Concatenate[S, sqlite3.Connection, P], T]
if TYPE_CHECKING:
    # What `async def` gives; the class cannot be subscripted while a program runs.
    _Method = Callable[Concatenate[S, P], CoroutineType[Any, Any, T]]
else:
    _Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


def reads(operation: _Operation[S, P, T]) -> _Method[S, P, T]:
    """Make a method of the store of an operation that only reads."""

    @wraps(operation)
    async def ask(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._file.read(lambda db: operation(self, db, *args, **kwargs))

    return cast("_Method[S, P, T]", ask)


def writes(operation: _Operation[S, P, T]) -> _Method[S, P, T]:
    """Make a method of the store of an operation that survives the death of the process."""

    @wraps(operation)
    async def ask(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._file.write(lambda db: operation(self, db, *args, **kwargs), durable=False)

    return cast("_Method[S, P, T]", ask)


def writes_durably(operation: _Operation[S, P, T]) -> _Method[S, P, T]:
    """Make a method of the store of an operation that survives a power loss."""

    @wraps(operation)
    async def ask(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._file.write(lambda db: operation(self, db, *args, **kwargs), durable=True)

    return cast("_Method[S, P, T]", ask)
