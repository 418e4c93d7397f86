"""Whether a control file is still the one that was opened: a store that was replaced, cut or lost is no store.

SQLite keeps pages in memory and its files by descriptor. So a process would go on for long in a file that nobody else
can see: with a kill switch that no operator reaches, and claims that no other worker knows. Before each use of the file
its path is looked at:

- it leads to the same file, as do those of its log (`-wal`) and its index (`-shm`), which a file in use never loses;
- the file is as long as it was, because it never shrinks;
- it begins as it did.

Damage elsewhere in the file is left to SQLite, which notices it when it reads the page.

POSIX gives up all locks of a process on a file as soon as the process closes any descriptor of it, also those that
SQLite holds by other descriptors. So the one that is opened here is shared by all stores of the process, and closed
after their last connection.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from runtime.ports.control_values import ControlUnavailable

_HEAD_BYTES = 20
"""The magic string, the page size, and the two bytes that say WAL: they never change."""

_Inode = tuple[int, int]
_LOCK = threading.Lock()
_OPEN: dict[_Inode, list[int]] = {}
"""Descriptor and number of users, by file."""


class FileIdentity:
    """A control file as it was opened."""

    def __init__(self, path: Path) -> None:
        """Remember a file that is open, and has its log and its index.

        Raises:
            ControlUnavailable: If it cannot be looked at.
        """
        self._path = path
        self._beside = tuple(Path(f"{path}{suffix}") for suffix in ("-wal", "-shm"))
        try:
            stat = path.stat()
            self._inode: _Inode = (stat.st_dev, stat.st_ino)
            self._size = stat.st_size
            self._inodes = tuple(_inode(each) for each in self._beside)
            self._fd = _acquire(path, self._inode)
        except OSError as error:
            raise self._lost(f"cannot be looked at: {error.strerror}") from error
        self._head = os.pread(self._fd, _HEAD_BYTES, 0)

    def check(self) -> None:
        """Refuse a file that is not the one that was opened.

        Raises:
            ControlUnavailable: Says what became of it.
        """
        try:
            stat = self._path.stat()
            inodes = tuple(_inode(each) for each in self._beside)
        except OSError:
            raise self._lost("was renamed or removed") from None
        if (stat.st_dev, stat.st_ino) != self._inode or inodes != self._inodes:
            raise self._lost("was replaced by another file")
        if stat.st_size < self._size:
            raise self._lost(f"was cut from {self._size} to {stat.st_size} bytes")
        if os.pread(self._fd, _HEAD_BYTES, 0) != self._head:
            raise self._lost("was overwritten")
        self._size = stat.st_size

    def release(self) -> None:
        """Let go of the file, after its connections were closed."""
        _release(self._inode)

    def _lost(self, what: str) -> ControlUnavailable:
        return ControlUnavailable(
            f"the control store {what} under its process",
            where=str(self._path),
            next_step="keep the files for the inquiry; put the store back and restart its processes",
        )


def _inode(path: Path) -> _Inode:
    stat = path.stat()
    return (stat.st_dev, stat.st_ino)


def _acquire(path: Path, inode: _Inode) -> int:
    with _LOCK:
        found = _OPEN.get(inode)
        if found is None:
            found = _OPEN[inode] = [os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0]
        found[1] += 1
        return found[0]


def _release(inode: _Inode) -> None:
    with _LOCK:
        found = _OPEN[inode]
        found[1] -= 1
        if not found[1]:
            os.close(_OPEN.pop(inode)[0])
