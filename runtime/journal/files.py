"""Journals on disk: append records to a `*.jsonl` file and read them back, run by run.

Rules.
1. One record is one line is one unbuffered `write`: a killed process leaves whole lines and at most one torn tail.
2. One writer owns a file; the lock is the kernel's and ends with the process.
   A run of which one record was refused gets no further one: a gap would make the whole file unreadable.
3. A reader drops a torn tail and says so. Whatever else does not fit is an error naming file and record.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from runtime.errors import JournalError, UsageError
from runtime.journal.open_runs import OpenRun, RunRecords
from runtime.journal.records import (
    MAX_RECORD_BYTES,
    Chain,
    Record,
    decode_payload,
    encode_payload,
    open_line,
    seal_line,
)
from runtime.journal.syncing import Syncer

if sys.platform != "win32":
    import fcntl

Durability = Literal["process", "power"]
_NAME = re.compile(rb'\{"run":("[^"\\]*")')


class JournalWriter:
    """Appends records of one or more runs to a file; safe to share between threads.

    With `durability="process"` a record is acknowledged when `append` returns: SIGKILL loses nothing. With
    `"power"` a thread syncs the file behind the appends, and the intent of a write call waits for its sync.
    """

    def __init__(self, path: str | Path, *, durability: Durability = "process") -> None:
        """Open or create the file.

        Raises:
            UsageError: If another writer has the file open.
            JournalError: If the file cannot be opened, or ends in a torn record.
        """
        self.path: Path = Path(path)
        self._lock = threading.Lock()
        self._chains: dict[str, Chain] = {}
        self._extents: dict[str, array[int]] = {}
        self._refused: set[str] = set()
        self._broken: str | None = None
        self._fd = _open_for_append(self.path)
        self._size = os.fstat(self._fd).st_size
        self._names = _names_in(self.path) if self._size else set()
        self._syncer = Syncer(self._fd) if durability == "power" else None

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self._size

    @property
    def is_broken(self) -> bool:
        """Whether the file takes no more records, because a write failed or it is closed."""
        return self._broken is not None

    def claim(self, run: str) -> str:
        """Return a name for a run that no other run of the file has: its own, or with `~2`, `~3`, ... behind."""
        with self._lock:
            name, number = run, 1
            while name in self._names:
                number += 1
                name = f"{run}~{number}"
            self._names.add(name)
        return name

    def append(self, record: Record) -> int:
        """Append one record; it is acknowledged when this returns.

        Returns:
            Bytes it takes in the file.

        Raises:
            JournalError: If it could not be written whole; the file then ends with the record before it, and
                takes no further record of this run.
        """
        payload = encode_payload(record)
        line = seal_line(payload)
        with self._lock:
            if self._broken is not None:
                raise JournalError(f"the journal takes no more records: {self._broken}", where=str(self.path))
            if record.run in self._refused:
                raise JournalError("an earlier record of this run was not written", where=str(self.path))
            try:
                begin = self._size
                self._write(line)
            except JournalError:
                self._refused.add(record.run)
                raise
            if record.phase == "end":
                self._chains.pop(record.run, None)
                self._extents.pop(record.run, None)
            else:
                if record.phase != "hide":
                    self._extents.setdefault(record.run, array("Q")).extend((begin, len(line)))
                chain = self._chains.get(record.run)
                if chain is None:
                    chain = self._chains[record.run] = Chain()
                chain.extend(payload)
            size = self._size
        if self._syncer is not None:
            self._syncer.ask(size, wait=record.write and record.phase == "intent")
        return len(line)

    def root(self, run: str) -> str:
        """Return the chain's root over the run's records so far, which its end record states."""
        with self._lock:
            return self._chains.get(run, Chain()).root

    def payloads(self, run: str) -> Iterator[bytes]:
        """Yield the payloads of a run's records so far, as they stand in the file; its end closes them."""
        with self._lock:
            extents = list(self._extents.get(run, ()))
        with self.path.open("rb") as file:
            for begin, size in zip(extents[::2], extents[1::2], strict=True):
                file.seek(begin)
                yield open_line(file.read(size)[:-1], where=str(self.path))

    def close(self) -> None:
        """Sync in `power`, then close; closing twice is harmless."""
        with self._lock:
            if self._broken == "it is closed":
                return
            self._broken = "it is closed"
        if self._syncer is not None:
            self._syncer.stop()
        os.close(self._fd)

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        if len(line) > MAX_RECORD_BYTES:
            raise JournalError(
                f"record of {len(line)} bytes passes the limit of {MAX_RECORD_BYTES}", where=str(self.path)
            )
        try:
            written = os.write(self._fd, line)
            if written == len(line):
                self._size += written
                return
            reason = f"only {written} of {len(line)} bytes fitted"
        except OSError as error:
            reason = error.strerror or str(error)
        # A half-written record would make the file unreadable for those who append after us.
        self._broken = reason
        with suppress(OSError):
            os.ftruncate(self._fd, self._size)
        raise JournalError(
            f"record not written: {reason}", where=str(self.path), next_step="free some space, then go on"
        )


class JournalReader:
    """Yields a journal's runs: each when its end is read, those that were cut off last.

    Only runs that are open at one place of the file are held in memory.

    Attributes:
        path: The file.
        torn_bytes: Bytes of the torn tail that were dropped; known when the iteration is over.
        runs: Runs yielded so far.
    """

    def __init__(self, path: str | Path, *, pause: Callable[[], None] | None = None) -> None:
        self.path: Path = Path(path)
        self.torn_bytes: int = 0
        self.runs: int = 0
        self._pause = pause

    def __iter__(self) -> Iterator[RunRecords]:
        open_runs: dict[str, OpenRun] = {}
        ended: set[str] = set()
        self.torn_bytes = self.runs = 0
        for number, line in self._lines():
            where = f"{self.path}, record {number}"
            payload = open_line(line, where=where)
            record = decode_payload(payload, where=where)
            if self._pause is not None:
                self._pause()
            if record.run in ended:
                raise JournalError(f"run {record.run!r} goes on after its end", where=where)
            run = open_runs.setdefault(record.run, OpenRun())
            run.take(record, payload, where=where)
            if record.phase == "end":
                ended.add(record.run)
                self.runs += 1
                yield open_runs.pop(record.run).close(record.run, ended=True, where=where)
        for name, run in open_runs.items():
            self.runs += 1
            yield run.close(name, ended=False, torn=self.torn_bytes > 0, where=str(self.path))
        if self.runs == 0:
            raise JournalError(
                "the journal holds no whole record" if self.torn_bytes else "the journal is empty",
                where=str(self.path),
                next_step="record the run again; nothing can be read from this file",
            )

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            file = self.path.open("rb")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise JournalError(f"cannot be read: {reason}", where=str(self.path)) from error
        with file:
            number = 0
            while line := file.readline(MAX_RECORD_BYTES + 2):
                number += 1
                if not line.endswith(b"\n"):
                    if len(line) > MAX_RECORD_BYTES:
                        raise JournalError(
                            f"record passes the limit of {MAX_RECORD_BYTES} bytes",
                            where=f"{self.path}, record {number}",
                        )
                    self.torn_bytes = _tail_bytes(file, line)
                    return
                yield number, line[:-1]


def read_journal(path: str | Path, *, pause: Callable[[], None] | None = None) -> JournalReader:
    """Return the reader of a journal: iterate it for its runs, then look at `torn_bytes`.

    Iterating raises `JournalError` for an empty, damaged or foreign file, naming file and record.

    Args:
        path: The file.
        pause: Called after each record, for readers that must not hold up other threads.
    """
    return JournalReader(path, pause=pause)


def _names_in(path: Path) -> set[str]:
    """Return the names of the runs that a file holds already, without checking anything else."""
    with path.open("rb") as file:
        found = {match[1] for line in file if (match := _NAME.match(line))}
    return {msgspec.json.decode(name, type=str) for name in found}


def _tail_bytes(file: BinaryIO, line: bytes) -> int:
    if file.read(1):
        raise JournalError(f"record passes the limit of {MAX_RECORD_BYTES} bytes", where=file.name)
    return len(line)


@contextmanager
def hold_journal(path: Path) -> Iterator[None]:
    """Keep writers away from a journal while it is sealed.

    Raises:
        UsageError: If a writer has it open.
        JournalError: If it cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDWR)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JournalError(f"cannot be opened: {reason}", where=str(path)) from error
    try:
        _lock(fd, path)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, path: Path) -> None:
    try:
        if sys.platform != "win32":
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            "another writer has this journal open", where=str(path), next_step="give each writer its own file"
        ) from error


def _open_for_append(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags, 0o600)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JournalError(f"cannot be opened: {reason}", where=str(path)) from error
    try:
        _lock(fd, path)
        size = os.lseek(fd, 0, os.SEEK_END)
        os.lseek(fd, max(size - 1, 0), os.SEEK_SET)
        if size and os.read(fd, 1) != b"\n":
            raise JournalError(
                "ends in a torn record; what follows it could not be read",
                where=str(path),
                next_step="seal it with `goldrun recover`, or write to a new file",
            )
    except OSError as error:
        os.close(fd)
        raise JournalError(f"cannot be opened: {error.strerror}", where=str(path)) from error
    except BaseException:
        os.close(fd)
        raise
    return fd
