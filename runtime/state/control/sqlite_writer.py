"""The one writer of a control file: a thread that commits pending operations in groups.

Theory of operation. An operation is a function of a connection. A caller, on any event loop, puts it into a queue
and waits for a future. The writer thread takes all that are pending, begins one transaction, runs each operation
in a savepoint of its own (one alone needs none), commits, and only then answers them all. So a commit is paid once for
many, an operation that raises undoes itself alone, and none is answered before it is stored.

    operation -> queue -> [BEGIN; SAVEPOINT, operation, RELEASE; ...; COMMIT] -> answer

If one of them must survive a power loss the commit is synced (`FULL`), else it survives the death of the process
(`NORMAL`).

Another process may hold the lock of the file for long. The writer then tries again and again, but no caller waits
longer than the deadline: a timer of its own loop refuses the operation, and the writer skips abandoned operations. So
a refused operation has not taken place, unless its deadline passed in the moment it was committed.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]

MOST_TOGETHER = 64
"""Operations in one transaction: more would keep the lock of the file from other processes for long."""


class WriterFile(Protocol):
    """What the writer needs of the file."""

    def writable(self) -> sqlite3.Connection:
        """Return the writer's connection, once the file was looked at.

        Raises:
            ControlUnavailable: If the file cannot be used, or is not the one that was opened.
        """
        ...

    def drop_writable(self) -> None:
        """Close the writer's connection; SQLite rolls back what it had begun."""
        ...

    def fault(self, error: sqlite3.Error) -> Exception:
        """Return the store's own error for one of SQLite's."""
        ...


class _Job:
    """A pending operation; `abandoned` once nobody waits for it."""

    __slots__ = ("abandoned", "answer", "durable", "error", "future", "loop", "operation")

    def __init__(self, operation: Operation[Any], *, durable: bool, loop: asyncio.AbstractEventLoop) -> None:
        self.operation = operation
        self.durable = durable
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.abandoned = False
        self.answer: Any = None
        self.error: BaseException | None = None

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Abandon the operation: its deadline passed."""
        if not self.future.done():
            self.abandoned = True
            self.future.set_exception(error())

    def resolve(self) -> None:
        """Resolve the future, on its loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.answer)


class GroupWriter:
    """Carries out the write operations of one process on one control file."""

    def __init__(self, file: WriterFile, *, deadline_s: float, late: Callable[[], Exception]) -> None:
        """Stand ready; the thread begins with the first operation.

        Args:
            file: Gives the connection.
            deadline_s: Seconds after which an operation is refused.
            late: Makes the error of an operation that is refused for that.
        """
        self._file = file
        self._deadline_s = deadline_s
        self._late = late
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._synced: bool | None = None
        self._ended = False

    async def do(self, operation: Operation[T], *, durable: bool) -> T:
        """Return the answer of an operation that is stored.

        Raises:
            ControlUnavailable: If it could not be stored, or not within the deadline.
        """
        loop = asyncio.get_running_loop()
        job = _Job(operation, durable=durable, loop=loop)
        if self._thread is None:
            self._begin()
        self._queue.put(job)
        timer = loop.call_later(self._deadline_s, job.refuse, self._late)
        try:
            answer: T = await job.future
        except asyncio.CancelledError:
            job.abandoned = True
            raise
        finally:
            timer.cancel()
        return answer

    def close(self) -> None:
        """End the thread once it has done what was asked; one that waits for a lock is left behind."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(self._deadline_s)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                # A daemon: a writer that waits for a lock must not keep the process from ending.
                self._thread = threading.Thread(target=self._work, name="goldrun-control-writer", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while not self._ended:
            first = self._queue.get()
            if first is None:
                break
            jobs = [first]
            self._commit(jobs)
            _resolve(jobs)
        self._file.drop_writable()

    def _gather(self, jobs: list[_Job]) -> None:
        """Add what waits to some jobs."""
        try:
            while len(jobs) < MOST_TOGETHER and not self._ended:
                job = self._queue.get_nowait()
                if job is None:
                    self._ended = True
                else:
                    jobs.append(job)
        except Empty:
            return

    def _commit(self, jobs: list[_Job]) -> None:
        """Carry out jobs in one transaction; each has its answer or its error afterwards."""
        db: sqlite3.Connection | None = None
        try:
            while any(not job.abandoned for job in jobs):
                self._gather(jobs)  # also what came while another process had the lock
                db = self._file.writable()
                if self._has_begun(db, durable=any(job.durable for job in jobs)):
                    self._carry_out(db, jobs)
                    return
        except sqlite3.Error as error:
            self._failed(jobs, self._file.fault(error))
        except Exception as error:  # noqa: BLE001 - the edge of the thread: it becomes the answer
            self._failed(jobs, error)

    def _failed(self, jobs: list[_Job], error: Exception) -> None:
        self._synced = None
        self._file.drop_writable()
        for job in jobs:
            job.answer, job.error = None, error

    def _has_begun(self, db: sqlite3.Connection, *, durable: bool) -> bool:
        """Begin a transaction; return whether the lock was got in the time that a connection waits for it."""
        if self._synced != durable:
            db.execute("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
            self._synced = durable
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return False
            raise
        return True

    def _carry_out(self, db: sqlite3.Connection, jobs: list[_Job]) -> None:
        if len(jobs) == 1:
            self._alone(db, jobs[0])
            return
        for job in jobs:
            if job.abandoned:
                continue
            db.execute("SAVEPOINT operation")
            if not _run(db, job):
                db.execute("ROLLBACK TO operation")
            db.execute("RELEASE operation")
        db.execute("COMMIT")

    def _alone(self, db: sqlite3.Connection, job: _Job) -> None:
        db.execute("COMMIT" if not job.abandoned and _run(db, job) else "ROLLBACK")


def _run(db: sqlite3.Connection, job: _Job) -> bool:
    """Run an operation; return whether what it did is to be kept.

    Raises:
        sqlite3.Error: If the file failed, and with it the whole transaction.
    """
    try:
        job.answer = job.operation(db)
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.InterfaceError) as error:
        job.error = error  # a bug of ours in this operation alone
        return False
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - the edge of the thread: it becomes the answer
        job.error = error
        return False
    return True


def _resolve(jobs: list[_Job]) -> None:
    """Resolve the futures of jobs; each loop is woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, of_loop in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve_each, of_loop)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _resolve_each(jobs: list[_Job]) -> None:
    for job in jobs:
        job.resolve()
