"""The chain of an audit log as a file format: its lines, its parts, and what a reading of them shows.

Each line holds its number, the link before it and an HMAC over both and its event, so an edit, insertion,
deletion or reordering breaks the chain at a line that can be named; a line is compared byte by byte, so nothing can
be slipped in beside what is hashed. A chain alone cannot show that its tail was cut: checkpoints (count and link)
anchored somewhere else can. So `verify_audit` gives two verdicts, intact and complete.

A log that was rotated consists of parts, `NAME.1`, `NAME.2`, ... and `NAME`, through which one chain runs. Where
the oldest parts were moved away, the chain may begin at an anchored checkpoint.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from runtime.core.signatures import checks_arguments
from runtime.errors import JournalError

GENESIS = "goldrun.audit/1"
MAX_LINE_BYTES = 1_000_000


class AuditCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the log looked like at one time; worth something where the log's writer cannot change it.

    Attributes:
        count: Lines there were.
        link: Link of the last of them.
    """

    count: int
    link: str


START = AuditCheckpoint(count=0, link=GENESIS)


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log."""

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
        lines: Lines that are in order, counted from the first that was ever written.
        first_bad: Number of the first line that is not, from 0.
        problem: What is wrong, in words.
        unanchored: Lines after the last checkpoint: the chain shows that they are whole, nothing shows that no
            others followed them. `None` without a checkpoint.
    """

    intact: bool
    complete: bool | None
    lines: int
    first_bad: int | None = None
    problem: str | None = None
    unanchored: int | None = None


class Walk(msgspec.Struct, kw_only=True):
    """One reading of a log up to its end or its first bad line.

    Attributes:
        count: Lines in order.
        link: Link of the last of them.
        size: Bytes of the last file that are in order.
        torn_bytes: Bytes after them without a line end, where nothing else is wrong.
        links: Links at the requested counts.
        problem: What is wrong.
    """

    count: int
    link: str
    size: int = 0
    torn_bytes: int = 0
    links: dict[int, str]
    problem: str | None = None


def encode_line(key: bytes, at: AuditCheckpoint, event: dict[str, Any]) -> tuple[bytes, AuditCheckpoint]:
    """Return the next line of a chain, and where the chain stands after it."""
    link = _link(key, at.count, at.link, event)
    line = msgspec.json.encode(AuditLine(seq=at.count, prev=at.link, event=event, link=link)) + b"\n"
    return line, AuditCheckpoint(count=at.count + 1, link=link)


def part_paths(path: Path) -> list[Path]:
    """Return the rotated parts of a log, the oldest first; not the file that is written now."""
    prefix = f"{path.name}."
    found = []
    if path.parent.is_dir():
        for other in path.parent.iterdir():
            number = other.name.removeprefix(prefix)
            if other.name.startswith(prefix) and number.isascii() and number.isdigit():
                found.append((int(number), other))
    return [other for _, other in sorted(found)]


@checks_arguments
def verify_audit(
    path: Path | str, *, key: bytes, checkpoints: tuple[AuditCheckpoint, ...] = ()
) -> AuditVerdict:
    """Return whether a log is intact, and whether it is complete as far as its checkpoints tell.

    Args:
        path: The file that is written now; its rotated parts are read too.
        key: Key of the chain.
        checkpoints: What was anchored elsewhere, in any order.
    """
    file = Path(path)
    walk = walk_chain([*part_paths(file), file], key, checkpoints)
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
        unanchored=max(0, walk.count - max(c.count for c in checkpoints)) if checkpoints else None,
    )


def walk_chain(
    paths: list[Path], key: bytes, checkpoints: tuple[AuditCheckpoint, ...] = (), *, anywhere: bool = False
) -> Walk:
    """Check the lines of some files, which are one chain.

    Args:
        paths: In order.
        key: Key of the chain.
        checkpoints: Where the chain may begin if not at its start; their links are kept.
        anywhere: Whether it may begin at any line; for the writer, which goes on after the last one.

    Raises:
        JournalError: If a file cannot be read.
    """
    wanted = {c.count for c in checkpoints}
    walk = Walk(count=0, link=GENESIS, links={0: GENESIS})
    begun = False
    for path in paths:
        walk.size = 0
        try:
            with path.open("rb") as file:
                for raw in _raw_lines(file):
                    at = AuditCheckpoint(count=walk.count, link=walk.link)
                    if not begun:
                        at = _start(raw, checkpoints, anywhere=anywhere)
                        walk.count, walk.link, begun = at.count, at.link, True
                        walk.links |= {c.count: c.link for c in checkpoints if c.count < at.count}
                        walk.links[at.count] = at.link
                    line, problem = _check(raw, at, key)
                    if line is None:
                        walk.problem = problem
                        walk.torn_bytes = 0 if raw.endswith(b"\n") or file.read(1) else len(raw)
                        return walk
                    walk.count, walk.link, walk.size = line.seq + 1, line.link, walk.size + len(raw)
                    if walk.count in wanted:
                        walk.links[walk.count] = walk.link
        except FileNotFoundError:
            walk.problem = "the file is missing"
        except OSError as error:
            raise JournalError(f"the audit log cannot be read: {error.strerror}", where=str(path)) from error
    return walk


def _raw_lines(file: Any) -> Iterator[bytes]:
    while raw := file.readline(MAX_LINE_BYTES):
        yield raw


def _start(raw: bytes, checkpoints: tuple[AuditCheckpoint, ...], *, anywhere: bool) -> AuditCheckpoint:
    """Return where the chain begins: at the start, or where a checkpoint proves what came before."""
    try:
        line = msgspec.json.decode(raw, type=AuditLine)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return START
    at = AuditCheckpoint(count=line.seq, link=line.prev)
    return at if anywhere or at in checkpoints else START


def _check(raw: bytes, at: AuditCheckpoint, key: bytes) -> tuple[AuditLine | None, str | None]:
    """Return the line if it is as it was written, else what is wrong with it."""
    if not raw.endswith(b"\n"):
        return None, f"line {at.count} is torn: it has no end"
    try:
        line = msgspec.json.decode(raw, type=AuditLine)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None, f"line {at.count} is no audit line"
    if line.seq != at.count or line.prev != at.link:
        return None, f"line {at.count} does not follow the one before it"
    # Compared whole: fields that the line's type does not have, or has twice, are in no link.
    if msgspec.json.encode(line) + b"\n" != raw:
        return None, f"line {at.count} was changed"
    if not hmac.compare_digest(line.link.encode(), _link(key, line.seq, line.prev, line.event).encode()):
        other_key = ", or the key is not the one it was written with" if at == START else ""
        return None, f"line {at.count} was changed{other_key}"
    return line, None


def _link(key: bytes, seq: int, prev: str, event: dict[str, Any]) -> str:
    body = msgspec.json.encode([seq, prev, event], order="sorted")
    return hmac.new(key, body, hashlib.sha256).hexdigest()
