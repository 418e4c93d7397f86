"""Group commit: a thread fsyncs a file behind its appends, so that only the appends that need it wait for the disk."""

from __future__ import annotations

import os
import threading

from runtime.errors import JournalError

_SYNC_WAIT_S = 30.0


class Syncer:
    """Syncs a file behind its appends; callers that must wait share one sync."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._changed = threading.Condition()
        self._wanted = self._synced = 0
        self._stopping = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="goldrun-journal-sync", daemon=True)
        self._thread.start()

    def ask(self, size: int, *, wait: bool) -> None:
        """Request a sync of the first `size` bytes; with `wait` return when it is done."""
        with self._changed:
            self._wanted = max(self._wanted, size)
            self._changed.notify_all()
            if wait and not self._changed.wait_for(lambda: self._done(size), timeout=_SYNC_WAIT_S):
                raise JournalError(f"the disk did not confirm a record within {_SYNC_WAIT_S:g} s")
            if self._error is not None:
                raise JournalError(f"record not synced: {self._error}") from self._error

    def stop(self) -> None:
        """Sync what was requested and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def _done(self, size: int) -> bool:
        return self._synced >= size or self._error is not None

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted > self._synced or self._stopping)
                if self._wanted <= self._synced or self._error is not None:
                    return
                wanted = self._wanted
            error: OSError | None = None
            try:
                os.fsync(self._fd)
            except OSError as caught:
                error = caught
            with self._changed:
                self._synced, self._error = wanted, error
                self._changed.notify_all()
