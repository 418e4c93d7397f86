"""The audit log: events in a keyed chain, with checkpoints kept elsewhere.

Each line holds its number, the link before it and an HMAC over both and its event, so an edit, insertion,
deletion or reordering breaks the chain at a line that can be named. A chain alone cannot show that its tail was
cut: checkpoints (count and link) anchored somewhere else can. So `verify_audit` gives two verdicts, intact and
complete. One writer owns a file; the lock is the kernel's.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from runtime.errors import JournalFault, UsageFault
from runtime.observability.events import Event

GENESIS = "goldrun.audit/1"
_MAX_LINE_BYTES = 1_000_000


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
        complete: Whether it holds all that the checkpoints say was written; `None` without a checkpoint.
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
            UsageFault: If another writer has the file open.
            JournalFault: If its chain is broken.
        """
        self.path = Path(path)
        self._key = key
        self._anchor = anchor
        self._every = every
        self._lock = threading.Lock()
        self._fd = _open_owned(self.path)
        verdict = verify_audit(self.path, key=key)
        if not verdict.intact:
            os.close(self._fd)
            raise JournalFault(f"the audit log is broken: {verdict.problem}", where=str(self.path))
        self._seq = verdict.lines
        self._link = _last_link(self.path, verdict.lines, key)

    def take(self, event: Event) -> None:
        """Append one event.

        Raises:
            JournalFault: If it could not be written whole.
        """
        plain = msgspec.to_builtins(event)
        with self._lock:
            link = _link(self._key, self._seq, self._link, plain)
            line = msgspec.json.encode(_Line(seq=self._seq, prev=self._link, event=plain, link=link)) + b"\n"
            try:
                written = os.write(self._fd, line)
            except OSError as error:
                raise JournalFault(
                    f"audit line not written: {error.strerror}", where=str(self.path)
                ) from error
            if written != len(line):
                raise JournalFault("audit line not written whole: the disk is full", where=str(self.path))
            self._seq, self._link = self._seq + 1, link
            due = self._seq % self._every == 0
        if due:
            self._tell()

    def checkpoint(self) -> Checkpoint:
        """Return what the log looks like now."""
        with self._lock:
            return Checkpoint(count=self._seq, link=self._link)

    def close(self) -> None:
        """Tell a last checkpoint and close the file."""
        self._tell()
        os.close(self._fd)

    def _tell(self) -> None:
        if self._anchor is not None:
            self._anchor(self.checkpoint())


def verify_audit(path: Path | str, *, key: bytes, checkpoints: tuple[Checkpoint, ...] = ()) -> AuditVerdict:
    """Return whether a log is intact, and whether it is complete as far as its checkpoints tell."""
    link, count = GENESIS, 0
    problem: str | None = None
    links: dict[int, str] = {0: GENESIS}
    wanted = {c.count for c in checkpoints}
    try:
        with Path(path).open("rb") as file:
            while line := file.readline(_MAX_LINE_BYTES):
                problem = _check(line, count, link, key)
                if problem is not None:
                    break
                link, count = msgspec.json.decode(line, type=_Line).link, count + 1
                if count in wanted:
                    links[count] = link
    except FileNotFoundError:
        problem = "the file is missing"
    intact = problem is None
    if not checkpoints:
        return AuditVerdict(
            intact=intact, complete=None, lines=count, first_bad=None if intact else count, problem=problem
        )
    held = all(links.get(c.count) == c.link for c in checkpoints)
    if intact and not held:
        most = max(c.count for c in checkpoints)
        problem = (
            f"a checkpoint saw {most} lines, there are {count}"
            if most > count
            else "a checkpoint saw other lines"
        )
    return AuditVerdict(
        intact=intact, complete=held, lines=count, first_bad=None if intact else count, problem=problem
    )


def _check(raw: bytes, seq: int, prev: str, key: bytes) -> str | None:
    try:
        line = msgspec.json.decode(raw, type=_Line)
    except (msgspec.DecodeError, RecursionError):
        return f"line {seq} is no audit line"
    if line.seq != seq or line.prev != prev:
        return f"line {seq} does not follow the one before it"
    if not hmac.compare_digest(line.link, _link(key, seq, prev, line.event)):
        return f"line {seq} was changed"
    return None


def _link(key: bytes, seq: int, prev: str, event: dict[str, Any]) -> str:
    body = msgspec.json.encode([seq, prev, event], order="sorted")
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def _last_link(path: Path, lines: int, key: bytes) -> str:
    if not lines:
        return GENESIS
    with path.open("rb") as file:
        last = b""
        for last in file:
            pass
    return msgspec.json.decode(last, type=_Line).link


def _open_owned(path: Path) -> int:
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise UsageFault(
            "another writer has this audit log open",
            where=str(path),
            next_step="give each writer its own file",
        ) from error
    return fd
