"""The production recorder: many runs into one journal a worker, rotated, sealed and shipped in the background.

Theory of operation.
1. A run takes part in the journal that is current when it begins, and stays there until its end: its numbers and
   its chain are the file's. So a rotation is for new runs; the old journal is sealed when its last run has ended.
2. The thread of a run does nothing but append. Sealing, sampling, retention and shipping happen in one other
   thread, which gives way after each record.
3. What cannot be written fails the run or drops its recording, by setting. A dropped run is left out when its
   journal is sealed: no file holds half of it and calls it a run.
"""

from __future__ import annotations

import os
import secrets
import threading
import warnings
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from harness.cassette.remote import is_url
from harness.record.janitor import Counters, Janitor, Stats
from harness.record.sealing import JOURNAL_SUFFIX
from harness.record.settings import OnFailure, Settings
from harness.redaction.pseudonyms import KEY_FILE, KEY_VARIABLE, Keyed
from harness.redaction.redactor import process_redactor, redaction_key
from runtime.core.effects import Performer
from runtime.core.run import Header
from runtime.errors import JournalError, UsageError
from runtime.execution.clock import Clock, SystemClock
from runtime.journal.files import JournalWriter
from runtime.journal.recording_performer import RecordingPerformer
from runtime.journal.records import Record


class ProductionRecorder:
    """Records the runs of one worker; pass `recorder.wrap` to each run.

    Usage: `with ProductionRecorder("recordings") as recorder: await run_agent_async(..., wrap=recorder.wrap)`.

    Args:
        target: Folder for journals and segments, or URL of an object store that sealed segments are shipped to.
        spool: Folder for journals and unshipped segments, where the target is a URL.
        settings: How to record.
        worker: Begins the names of this worker's files; letters, digits, `-` and `_`.
        clock: Time; the system's by default.

    Attributes:
        folder: Where the journals are.
    """

    def __init__(
        self,
        target: str | Path,
        *,
        spool: str | Path | None = None,
        settings: Settings | None = None,
        worker: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        url = target if isinstance(target, str) and is_url(target) else None
        if url is not None and spool is None:
            raise UsageError(
                "journals need a local disk",
                where=url,
                next_step="name a folder that survives a crash as `spool`",
            )
        self.folder: Path = Path(target if spool is None else spool)
        self._settings = settings or Settings()
        self._key = _redaction_key(self.folder, self._settings.on_failure) if self._settings.redact else None
        self._clock = clock or SystemClock()
        self._worker = _worker_name(worker)
        self._lock = threading.RLock()
        self._current: _Open | None = None
        self._draining: set[_Open] = set()
        self._serial = 0
        self._closed = False
        self._counters = Counters()
        self._janitor = Janitor(self.folder, url, self._settings, self._clock, self._counters, self._tick)

    def __enter__(self) -> ProductionRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wrap(self, inner: Performer) -> Performer:
        """Return a performer that records around another; one for each run."""
        lease = _Lease(self)
        redactor = None
        if self._key is not None:
            redactor = process_redactor(os.environ, pseudonyms="keyed", key=self._key)
        performer = RecordingPerformer(
            inner, lease, cleaner=redactor, key_id=None if redactor is None else redactor.key_id
        )
        # A run that is abandoned without an end must not keep its journal open for good.
        weakref.finalize(performer, lease.leave).atexit = False
        return performer

    @property
    def stats(self) -> Stats:
        """What was counted since the recorder was opened."""
        with self._lock:
            held = [*self._draining, *([self._current] if self._current else [])]
            return self._counters.stats(active=sum(len(journal.active) for journal in held))

    def rotate(self) -> None:
        """Give new runs a new journal; the old one is sealed when its last run has ended."""
        with self._lock:
            if self._current is not None:
                journal, self._current = self._current, None
                self._draining.add(journal)
                self._seal_if_drained(journal)

    def flush(self, *, timeout_s: float = 60.0) -> bool:
        """Rotate, then wait until every journal without running runs is sealed.

        Returns:
            Whether that was so in time.
        """
        self.rotate()
        return self._janitor.wait(timeout_s)

    def close(self) -> None:
        """Take no more records, seal everything and end the thread; closing twice is harmless.

        Runs still going on are sealed as cut off; their stop reason is `crashed`.
        """
        with self._lock:
            self._closed = True
            self.rotate()
            for journal in list(self._draining):
                journal.active.clear()
                self._seal_if_drained(journal)
        self._janitor.stop()

    def _enter(self, lease: _Lease, header: Header) -> _Open:
        """Return the journal for a new run, opened if there is none that still takes runs."""
        with self._lock:
            if self._closed:
                raise JournalError("the recorder is closed", where=str(self.folder))
            current = self._current
            if current is not None and (
                current.is_full(self._settings, self._clock) or current.writer.is_broken
            ):
                self.rotate()
                current = None
            if current is None:
                current = self._current = self._open()
            lease.name = current.writer.claim(header.run_id)
            current.active.add(lease.name)
            self._counters.runs += 1
            return current

    def _open(self) -> _Open:
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        self._serial += 1
        name = f"{self._worker}-{stamp}-{self._serial:04}-{secrets.token_hex(3)}{JOURNAL_SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"cannot be made: {error.strerror}", where=str(self.folder)) from error
        writer = JournalWriter(self.folder / name, durability=self._settings.durability)
        return _Open(writer, self._clock.monotonic_s())

    def _leave(self, journal: _Open, name: str, *, dropped: bool) -> None:
        with self._lock:
            journal.active.discard(name)
            if dropped:
                journal.dropped.add(name)
            self._seal_if_drained(journal)

    def _seal_if_drained(self, journal: _Open) -> None:
        if journal in self._draining and not journal.active:
            self._draining.discard(journal)
            self._janitor.seal(journal.writer, frozenset(journal.dropped))

    def _tick(self) -> None:
        """Rotate an idle worker's journal when its time is over; called by the janitor."""
        with self._lock:
            if self._current is not None and self._current.is_full(self._settings, self._clock):
                self.rotate()


class _Open:
    """A journal that takes records."""

    def __init__(self, writer: JournalWriter, opened_s: float) -> None:
        self.writer = writer
        self.active: set[str] = set()
        self.dropped: set[str] = set()
        self._opened_s = opened_s

    def is_full(self, settings: Settings, clock: Clock) -> bool:
        """Return whether new runs belong into a new journal."""
        aged = clock.monotonic_s() - self._opened_s >= settings.rotate_s
        return self.writer.size_bytes >= settings.rotate_bytes or (aged and self.writer.size_bytes > 0)


class _Lease:
    """One run's part in a journal: a sink that gives its place back at the run's end."""

    def __init__(self, recorder: ProductionRecorder) -> None:
        self._recorder = recorder
        self._settings = recorder._settings  # noqa: SLF001 - a lease is a part of the recorder
        self._journal: _Open | None = None
        self._bytes = 0
        self._dropped = False
        self.name = ""

    def open(self, header: Header) -> str:
        """Take part in the current journal."""
        try:
            self._journal = self._recorder._enter(self, header)  # noqa: SLF001
        except (JournalError, UsageError) as fault:
            self._fail(fault)
        return self.name

    def append(self, record: Record) -> None:
        """Append a record, or act on the failure as the settings say.

        Raises:
            JournalError: If it could not be written and that fails the run.
        """
        journal = self._journal
        if journal is None:
            if self._dropped:
                return
            raise JournalError("the run's recording has ended", where=str(self._recorder.folder))
        try:
            if self._bytes > self._settings.max_run_bytes:
                raise JournalError(
                    f"the run's records pass the limit of {self._settings.max_run_bytes} bytes",
                    where=str(journal.writer.path),
                )
            self._bytes += journal.writer.append(record)
        except JournalError as fault:
            self._fail(fault)
            return
        if record.phase == "end":
            self._recorder._counters.recorded += 1  # noqa: SLF001
            self.leave()

    def root(self, run: str) -> str:
        """Return the chain over the run's records so far, in hex."""
        return "" if self._journal is None else self._journal.writer.root(run)

    def payloads(self, run: str) -> Iterable[bytes]:
        """Return the JSON of the run's records so far."""
        return () if self._journal is None else self._journal.writer.payloads(run)

    def leave(self, *, dropped: bool = False) -> None:
        """Give the place in the journal back; leaving twice is harmless."""
        journal, self._journal = self._journal, None
        if journal is not None:
            self._recorder._leave(journal, self.name, dropped=dropped)  # noqa: SLF001

    def _fail(self, fault: JournalError | UsageError) -> None:
        counters = self._recorder._counters  # noqa: SLF001
        drops = self._settings.on_failure == "drop"
        counters.write_failures += 1
        counters.last_failure = str(fault)
        counters.dropped += drops
        self._dropped = drops
        self.leave(dropped=drops)
        if not drops:
            raise fault


def _worker_name(worker: str | None) -> str:
    name = worker or f"worker-{os.getpid()}"
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise UsageError(f"worker name {name!r} has other signs than letters, digits, - and _")
    return name


def _redaction_key(folder: Path, on_failure: OnFailure) -> bytes:
    """Return the key of the environment, else that of the folder's key file.

    Where recording must not hold serving up and the file cannot be used, the key is this process's own.
    """
    value = os.environ.get(KEY_VARIABLE)
    try:
        if not value:
            folder.mkdir(parents=True, exist_ok=True)
        key = redaction_key(value, folder / KEY_FILE)
        Keyed(key)
        return key
    except (OSError, UsageError) as error:
        if on_failure != "fail_run" and not value:
            warnings.warn(
                f"secrets get names that no other process gives them: {error}", RuntimeWarning, stacklevel=3
            )
            return secrets.token_bytes(32)
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"the folder cannot be made: {error.strerror}",
            where=str(folder),
            next_step="name a folder that can be written to",
        ) from error
