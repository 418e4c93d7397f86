"""The writer of an audit log: one owner per file, and no event is lost silently.

Rules.
1. An event is in the file that carries the log's name, or `take` raises. Before each line the writer looks whether
   that name still leads to its open file, and whether the file is as long as it left it: a log that was renamed,
   removed, replaced or cut under its writer takes nothing more.
2. One writer owns a file; the lock is the kernel's, and a forked child does not inherit it.
3. A torn last line, which a power loss leaves, is no tampering: opening the log cuts it and notes that in the chain.
4. Only the writer rotates (`max_bytes`). The chain runs on through the parts, and each rotation anchors a checkpoint,
   so that old parts can be moved away.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from runtime.core.signatures import checks_arguments
from runtime.errors import JournalError, UsageError
from runtime.observability.audit_chain import (
    GENESIS,
    MAX_LINE_BYTES,
    START,
    AuditCheckpoint,
    AuditVerdict,
    Walk,
    encode_line,
    part_paths,
    verify_audit,
    walk_chain,
)
from runtime.observability.run_events import Event

__all__ = ["GENESIS", "MIN_KEY_BYTES", "AuditCheckpoint", "AuditLog", "AuditVerdict", "verify_audit"]

MIN_KEY_BYTES = 16


class AuditLog:
    """Appends events to an audit log; an `EventSink`.

    A write call's intent is on its way to the disk before the call starts: if it cannot be kept, `take` raises
    and the run ends, because an effect that nobody can see must not happen.
    """

    @checks_arguments
    def __init__(
        self,
        path: Path | str,
        *,
        key: bytes,
        anchor: Callable[[AuditCheckpoint], None] | None = None,
        every: int = 100,
        max_bytes: int | None = None,
    ) -> None:
        """Open or create a log.

        Args:
            path: The file.
            key: Key of the chain; anyone who has it can forge the log.
            anchor: Called with a checkpoint after each `every` lines, at each rotation and at the close.
            every: Lines between checkpoints.
            max_bytes: Size from which the file becomes a part, `NAME.1`, `NAME.2`, ...; without it, it is not rotated.

        Raises:
            UsageError: If another writer has the file open, or the key is short.
            JournalError: If its chain is broken or it cannot be opened.
        """
        if len(key) < MIN_KEY_BYTES:
            raise UsageError(f"the key of an audit log has {len(key)} bytes, it needs {MIN_KEY_BYTES}")
        self.path: Path = Path(path)
        self._key = key
        self._anchor = anchor
        self._every = every
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._fd: int | None = _open_owned(self.path)
        try:
            self._at, self._size = self._resume(self._fd)
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> AuditLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take(self, event: Event) -> None:
        """Append one event.

        Raises:
            JournalError: If it could not be written whole; nothing of it is left in the file then.
        """
        plain = msgspec.to_builtins(event)
        with self._lock:
            self._append(plain)
            due = self._at.count % self._every == 0
            if self._max_bytes is not None and self._size >= self._max_bytes:
                self._rotate()
                due = True
        if due:
            self._send_checkpoint()

    def checkpoint(self) -> AuditCheckpoint:
        """Return what the log looks like now."""
        with self._lock:
            return self._at

    def close(self) -> None:
        """Tell a last checkpoint and close the file; closing it twice is harmless."""
        if self._fd is None:
            return
        try:
            if self._pid == os.getpid():
                self._send_checkpoint()
        finally:
            self._release()

    def _resume(self, fd: int) -> tuple[AuditCheckpoint, int]:
        """Return where the chain stands and how long the file is; cut a torn last line."""
        parts = part_paths(self.path)
        empty = os.fstat(fd).st_size == 0
        if empty and not parts:
            return START, 0
        # An empty file beside parts is what a rotation leaves; the chain then goes on after the last part. Only one
        # file is read, so that a start does not take longer with every year.
        walk = self._read([] if empty else [self.path], parts)
        if not walk.torn_bytes:
            return AuditCheckpoint(count=walk.count, link=walk.link), walk.size
        os.ftruncate(fd, walk.size)
        before = walk if walk.size else self._read([], parts)
        self._at, self._size = AuditCheckpoint(count=before.count, link=before.link), walk.size
        self._append({"kind": "log_mended", "dropped_bytes": walk.torn_bytes})
        return self._at, self._size

    def _read(self, files: list[Path], parts: list[Path]) -> Walk:
        """Return a reading of the file, or where it holds nothing of the last part.

        Raises:
            JournalError: If the chain is broken otherwise than by a torn last line of the file.
        """
        walk = walk_chain(files or parts[-1:], self._key, anywhere=bool(parts))
        if walk.problem is not None and not (files and walk.torn_bytes):
            raise JournalError(
                f"the audit log is broken: {walk.problem}",
                where=str(self.path),
                next_step="keep the file for the inquiry and begin a new one under another name",
            )
        if not files:
            walk.size = 0
        return walk

    def _append(self, event: dict[str, Any]) -> None:
        where = str(self.path)
        if self._fd is None or self._pid != os.getpid():
            why = "is closed" if self._fd is None else "belongs to the process this one was forked from"
            raise JournalError(f"the audit log {why}", where=where)
        line, after = encode_line(self._key, self._at, event)
        if len(line) > MAX_LINE_BYTES:
            raise JournalError(f"an audit line of {len(line)} bytes is too long", where=where)
        self._refuse_other_file(self._fd)
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            raise JournalError(f"audit line not written: {error.strerror}", where=where) from error
        if written != len(line):
            # Half a line would break the chain for every line after it.
            os.ftruncate(self._fd, self._size)
            raise JournalError("audit line not written whole: the disk is full", where=where)
        self._at, self._size = after, self._size + len(line)

    def _refuse_other_file(self, fd: int) -> None:
        """Refuse to write where nobody would look: the name must lead to our file, as we left it.

        Raises:
            JournalError: If it does not.
        """
        own = os.fstat(fd)
        try:
            named = self.path.stat()
        except OSError:
            problem = "was renamed or removed"
        else:
            if (named.st_dev, named.st_ino) != (own.st_dev, own.st_ino):
                problem = "was replaced by another file"
            elif own.st_size != self._size:
                problem = f"has {own.st_size} bytes, and {self._size} were written"
            else:
                return
        raise JournalError(
            f"the audit log {problem} under its writer",
            where=str(self.path),
            next_step="keep all its files for the inquiry, then restart; rotate with max_bytes, never from outside",
        )

    def _rotate(self) -> None:
        """Make the file a part and begin the next one; the chain runs on."""
        parts = part_paths(self.path)
        number = int(parts[-1].name.rpartition(".")[2]) + 1 if parts else 1
        part = self.path.with_name(f"{self.path.name}.{number}")
        try:
            self.path.rename(part)
            fresh = _open_owned(self.path)
        except (OSError, JournalError, UsageError):
            # The log goes on in the file it has; the next line tries again.
            if part.exists() and not self.path.exists():
                part.rename(self.path)
            return
        old, self._fd, self._size = self._fd, fresh, 0
        if old is not None:
            os.close(old)

    def _send_checkpoint(self) -> None:
        if self._anchor is not None:
            self._anchor(self.checkpoint())

    def _release(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _open_owned(path: Path) -> int:
    import fcntl

    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"the audit log cannot be opened: {error.strerror}", where=str(path)) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise UsageError(
            "another writer has this audit log open",
            where=str(path),
            next_step="give each writer its own file",
        ) from error
    return fd
