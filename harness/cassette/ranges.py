"""Where a segment's bytes are: read in ranges, from a local file or anything else that can give a range."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from harness.errors import CassetteError


class Ranges(Protocol):
    """A stored object that is read in ranges.

    Attributes:
        name: What to call it in messages.
    """

    name: str

    def size(self) -> int:
        """Return how many bytes it has."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return some bytes; fewer only where the object ends."""
        ...


class FileRanges:
    """A file on a local disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name: str = str(path)

    def size(self) -> int:
        """Return how many bytes the file has.

        Raises:
            CassetteError: If it cannot be read.
        """
        try:
            return self.path.stat().st_size
        except (OSError, ValueError) as error:
            raise unreadable(error, self.name) from error

    def read(self, offset: int, length: int) -> bytes:
        """Return some bytes of the file.

        Raises:
            CassetteError: If it cannot be read.
        """
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(offset)
                return file.read(length)
        except (OSError, ValueError) as error:
            raise unreadable(error, self.name) from error


def unreadable(error: Exception, where: str) -> CassetteError:
    """Return the error of a file that the system does not give; also for names no file can have."""
    reason = getattr(error, "strerror", None) or str(error)
    return CassetteError(f"cannot be read: {reason}", where=where, next_step="check the path")
