"""The recorder's one other thread: seals journals, ships segments, clears what is too old.

What fails stays where it is, is counted, and is tried again at the next round.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.cassette.remote import Store, open_store
from harness.record.retention import apply_retention
from harness.record.sealing import SEGMENT_SUFFIX, Sealed, seal_journal, yield_to_others
from harness.record.settings import Settings
from runtime.errors import GoldrunError
from runtime.execution.clock import Clock
from runtime.journal.files import JournalWriter

_ROUND_S = 1.0
_RETENTION_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a recorder counted since it was opened.

    Attributes:
        active: Runs being recorded now.
        runs: Runs that began.
        recorded: Runs recorded to their end.
        dropped: Runs whose recording was dropped because a record could not be written.
        write_failures: Records that could not be written.
        sampled_out: Recorded runs that the sampling rule left out.
        refused: Recorded runs that still looked secret and were left out.
        sealed: Segments written.
        sealed_runs: Runs in them.
        sealed_bytes: Their bytes.
        seal_failures: Attempts to seal or clear that failed and are tried again.
        shipped: Segments that the object store took.
        ship_failures: Attempts to ship that failed and are tried again.
        cleared: Runs that retention deleted.
        last_failure: What the last failure was.
    """

    active: int
    runs: int
    recorded: int
    dropped: int
    write_failures: int
    sampled_out: int
    refused: int
    sealed: int
    sealed_runs: int
    sealed_bytes: int
    seal_failures: int
    shipped: int
    ship_failures: int
    cleared: int
    last_failure: str | None


class Counters:
    """Counts behind `Stats`."""

    def __init__(self) -> None:
        self.runs = self.recorded = self.dropped = self.write_failures = 0
        self.sampled_out: int = 0
        self.refused: int = 0
        self.sealed: int = 0
        self.sealed_runs: int = 0
        self.sealed_bytes: int = 0
        self.seal_failures: int = 0
        self.shipped = self.ship_failures = self.cleared = 0
        self.last_failure: str | None = None

    def stats(self, *, active: int) -> Stats:
        """Return the counts as they are now."""
        return Stats(active=active, **vars(self))

    def add(self, sealed: Sealed) -> None:
        """Count a sealed journal."""
        self.sealed += sealed.path is not None
        self.sealed_runs += sealed.runs
        self.sealed_bytes += sealed.size_bytes
        self.sampled_out += sealed.sampled_out
        self.refused += sealed.refused


@dataclass(frozen=True, slots=True)
class _Job:
    """A journal to seal, and the runs of it that were dropped."""

    journal: Path
    dropped: frozenset[str]


class Janitor:
    """Runs the thread; `tick` is called in each round."""

    def __init__(
        self,
        folder: Path,
        url: str | None,
        settings: Settings,
        clock: Clock,
        counters: Counters,
        tick: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._url = url
        self._settings = settings
        self._clock = clock
        self._counters = counters
        self._tick = tick
        self._store: Store | None = None
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._stopping = False
        self._cleared_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="goldrun-recorder", daemon=True)
        self._thread.start()

    def seal(self, writer: JournalWriter, dropped: frozenset[str]) -> None:
        """Close a journal and have it sealed; returns at once."""
        with self._changed:
            self._jobs.append(_Job(writer.path, dropped))
            # Closed by the thread that writes no more to it; in `power` that waits for a sync.
            writer.close()
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing is left to seal; return whether that was so in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._busy, timeout=timeout_s)

    def stop(self) -> None:
        """Do what is left once, then end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._stopping, timeout=_ROUND_S)
                stopping = self._stopping
                jobs = list(self._jobs)
                self._jobs.clear()
                self._busy = bool(jobs)
            if not stopping:
                self._tick()
            failed = [job for job in jobs if not self._seal(job)]
            self._ship()
            self._clear(force=stopping)
            with self._changed:
                self._jobs.extend(failed)
                self._busy = False
                self._changed.notify_all()
                if stopping:
                    return
                if failed:
                    # The disk may be full: not again at once.
                    self._changed.wait_for(lambda: self._stopping, timeout=_ROUND_S)

    def _seal(self, job: _Job) -> bool:
        try:
            sealed = seal_journal(
                job.journal,
                sampling=self._settings.sampling,
                dropped=job.dropped,
                tenant_blind=self._settings.tenant_blind,
                now=self._clock.now(),
                pause=yield_to_others,
            )
        except (GoldrunError, OSError) as error:
            self._counters.seal_failures += 1
            self._counters.last_failure = str(error)
            return False
        self._counters.add(sealed)
        return True

    def _ship(self) -> None:
        """Send each segment of the spool to the store, also those an earlier worker left."""
        if self._url is None:
            return
        for path in sorted(self._folder.glob(f"*{SEGMENT_SUFFIX}")):
            try:
                self._store = self._store or open_store(self._url)
                self._store.upload(path)
            except GoldrunError as error:
                self._counters.ship_failures += 1
                self._counters.last_failure = str(error)
                return
            self._counters.shipped += 1
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _clear(self, *, force: bool) -> None:
        if not self._settings.retention.is_set:
            return
        now = self._clock.monotonic_s()
        if not force and self._cleared_s is not None and now - self._cleared_s < _RETENTION_S:
            return
        self._cleared_s = now
        try:
            cleared = apply_retention(self._folder, self._settings.retention, now=self._clock.now())
        except GoldrunError as error:
            self._counters.seal_failures += 1
            self._counters.last_failure = str(error)
            return
        self._counters.cleared += cleared.runs
