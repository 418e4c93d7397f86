"""Carry a cut-off run on once: a mark beside its recording says that it was, and where the rest is.

A control store knows that for a governed run. Without one the mark is all there is: it is made before the first call
that a resumed run carries out, and keeps a second resume from doing the same calls again. It cannot know of a copy
of the recording in another folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.cassette.store import kind_of
from harness.errors import CassetteError
from runtime.core.canonical import digest
from runtime.errors import JournalError, UsageError
from runtime.journal.files import hold_journal

_NAME_CHARS = 12


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep the writer of a journal away while its run is carried on.

    Raises:
        UsageError: If a process still writes to it: the run is alive.
        CassetteError: If it cannot be opened.
    """
    if not path.is_file() or kind_of(path) != "journal":
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_journal(path))
        except UsageError as error:
            raise UsageError(
                "another writer has this journal open, so its runs are alive",
                where=error.where,
                next_step="stop its process first",
            ) from error
        except JournalError as error:
            raise CassetteError(error.what, where=error.where, next_step=error.next_step) from error
        yield


class ResumeMark:
    """The mark of one run of a recording.

    Attributes:
        path: The mark's file; the same for a journal and the segment it was sealed to.
    """

    def __init__(self, recording: Path, run_id: str, *, out: Path) -> None:
        stem = recording.name.removesuffix(recording.suffix)
        name = digest(run_id.encode())[:_NAME_CHARS]
        self.path: Path = recording.with_name(f"{stem}.{name}.resumed")
        self._out = out

    def check(self) -> None:
        """Refuse a run that was carried on before.

        Raises:
            UsageError: Names the journal that holds the rest.
        """
        try:
            first = json.loads(self.path.read_bytes())["out"]
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError):
            first = "a file that the mark does not name"
        raise UsageError(
            f"this run was carried on before; {first} holds the whole of it",
            where=str(self.path),
            next_step="if that was cut off too, resume it from there; remove the mark only if its calls never ran",
        )

    def put(self) -> None:
        """Make the mark, before the first call is carried out.

        Raises:
            UsageError: If another resume was first, or the mark cannot be written.
        """
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            self.check()
            raise
        except OSError as error:
            raise UsageError(
                f"the mark that the run is carried on cannot be written: {error.strerror}",
                where=str(self.path),
                next_step="copy the recording to a folder that can be written, and resume it there",
            ) from error
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump({"out": str(self._out.absolute())}, file)
            file.flush()
            os.fsync(file.fileno())
