"""The audit log: events in a keyed chain, with checkpoints kept elsewhere.

Each line holds its number, the link before it and an HMAC over both and its event, so an edit, insertion,
deletion or reordering breaks the chain at a line that can be named; a line is compared byte by byte, so nothing can
be slipped in beside what is hashed. A chain alone cannot show that its tail was cut: checkpoints (count and link)
anchored somewhere else can. So `verify_audit` gives two verdicts, intact and complete. One writer owns a file; the
lock is the kernel's, and a forked child does not inherit it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from runtime.errors import JournalError, UsageError
from runtime.observability.events import Event

GENESIS = "goldrun.audit/1"
_MAX_LINE_BYTES = 1_000_000
MIN_KEY_BYTES = 16


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the log looked like at one time; worth something where the log's writer cannot change it.

    Attributes:
        count: Lines there were.
        link: Link of the last of them.
    """

    count: int
    link: str


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    prev: str
    event: dict[str, Any]
    link: str


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a log is what was written.

    Attributes:
        intact: Whether every line is as it was written and follows the one before it.
        complete: Whether it is shown to hold all that the checkpoints say was written; `None` without a checkpoint.
            A chain that breaks before a checkpoint shows nothing about it.
        lines: Lines that are in order.
        first_bad: Number of the first line that is not, from 0.
        problem: What is wrong, in words.
    """

    intact: bool
    complete: bool | None
    lines: int
    first_bad: int | None = None
    problem: str | None = None


class AuditLog:
    """Appends events to an audit log; an `EventSink`.

    A write call's intent is on its way to the disk before the call starts: if it cannot be kept, `take` raises
    and the run ends, because an effect that nobody can see must not happen.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        key: bytes,
        anchor: Callable[[Checkpoint], None] | None = None,
        every: int = 100,
    ) -> None:
        """Open or create a log.

        Args:
            path: The file.
            key: Key of the chain; whoever has it can forge the log.
            anchor: Told a checkpoint after each `every` lines and at the close.
            every: Lines between checkpoints.

        Raises:
            UsageError: If another writer has the file open, or the key is short.
            JournalError: If its chain is broken or it cannot be opened.
        """
        if len(key) < MIN_KEY_BYTES:
            raise UsageError(f"the key of an audit log has {len(key)} bytes, it needs {MIN_KEY_BYTES}")
        self.path = Path(path)
        self._key = key
        self._anchor = anchor
        self._every = every
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._fd: int | None = _open_owned(self.path)
        walk = _walk(self.path, key, frozenset())
        if walk.problem is not None:
            self._release()
            raise JournalError(
                f"the audit log is broken: {walk.problem}",
                where=str(self.path),
                next_step="keep the file for the inquiry and begin a new one under another name",
            )
        self._seq, self._link, self._size = walk.count, walk.link, walk.size

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
            link = _link(self._key, self._seq, self._link, plain)
            line = msgspec.json.encode(_Line(seq=self._seq, prev=self._link, event=plain, link=link)) + b"\n"
            self._append(line)
            self._seq, self._link, self._size = self._seq + 1, link, self._size + len(line)
            due = self._seq % self._every == 0
        if due:
            self._tell()

    def checkpoint(self) -> Checkpoint:
        """Return what the log looks like now."""
        with self._lock:
            return Checkpoint(count=self._seq, link=self._link)

    def close(self) -> None:
        """Tell a last checkpoint and close the file; closing it twice is harmless."""
        if self._fd is None:
            return
        try:
            if self._pid == os.getpid():
                self._tell()
        finally:
            self._release()

    def _append(self, line: bytes) -> None:
        where = str(self.path)
        if self._fd is None or self._pid != os.getpid():
            why = "is closed" if self._fd is None else "belongs to the process this one was forked from"
            raise JournalError(f"the audit log {why}", where=where)
        if len(line) > _MAX_LINE_BYTES:
            raise JournalError(f"an audit line of {len(line)} bytes is too long", where=where)
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            raise JournalError(f"audit line not written: {error.strerror}", where=where) from error
        if written != len(line):
            # Half a line would break the chain for every line after it.
            os.ftruncate(self._fd, self._size)
            raise JournalError("audit line not written whole: the disk is full", where=where)

    def _tell(self) -> None:
        if self._anchor is not None:
            self._anchor(self.checkpoint())

    def _release(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def verify_audit(path: Path | str, *, key: bytes, checkpoints: tuple[Checkpoint, ...] = ()) -> AuditVerdict:
    """Return whether a log is intact, and whether it is complete as far as its checkpoints tell."""
    walk = _walk(Path(path), key, frozenset(c.count for c in checkpoints))
    held = all(walk.links.get(c.count) == c.link for c in checkpoints)
    problem = walk.problem
    if problem is None and not held:
        most = max(c.count for c in checkpoints)
        problem = (
            f"a checkpoint saw {most} lines, there are {walk.count}"
            if most > walk.count
            else "a checkpoint saw other lines"
        )
    return AuditVerdict(
        intact=walk.problem is None,
        complete=held if checkpoints else None,
        lines=walk.count,
        first_bad=None if walk.problem is None else walk.count,
        problem=problem,
    )


class _Walk(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of a log up to its end or its first bad line."""

    count: int
    link: str
    size: int
    links: dict[int, str]
    problem: str | None


def _walk(path: Path, key: bytes, wanted: frozenset[int]) -> _Walk:
    """Check a log line by line; `wanted` are the counts whose links are kept."""
    link, count, size = GENESIS, 0, 0
    links = {0: GENESIS}
    problem: str | None = None
    try:
        with path.open("rb") as file:
            while raw := file.readline(_MAX_LINE_BYTES):
                line, problem = _check(raw, count, link, key)
                if line is None:
                    break
                link, count, size = line.link, count + 1, size + len(raw)
                if count in wanted:
                    links[count] = link
    except FileNotFoundError:
        problem = "the file is missing"
    except OSError as error:
        raise JournalError(f"the audit log cannot be read: {error.strerror}", where=str(path)) from error
    return _Walk(count=count, link=link, size=size, links=links, problem=problem)


def _check(raw: bytes, seq: int, prev: str, key: bytes) -> tuple[_Line | None, str | None]:
    """Return the line if it is as it was written, else what is wrong with it."""
    try:
        line = msgspec.json.decode(raw, type=_Line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None, f"line {seq} is no audit line"
    if line.seq != seq or line.prev != prev:
        return None, f"line {seq} does not follow the one before it"
    # Compared whole: fields that the line's type does not have, or has twice, are in no link.
    if msgspec.json.encode(line) + b"\n" != raw:
        return None, f"line {seq} was changed"
    if not hmac.compare_digest(line.link.encode(), _link(key, seq, prev, line.event).encode()):
        return None, f"line {seq} was changed"
    return line, None


def _link(key: bytes, seq: int, prev: str, event: dict[str, Any]) -> str:
    body = msgspec.json.encode([seq, prev, event], order="sorted")
    return hmac.new(key, body, hashlib.sha256).hexdigest()


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
