"""The recorder: writes each run as it happens, redacted, through a performer around the live one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.redaction.redactor import Redactor, process_redactor
from runtime.core.effects import Performer
from runtime.core.messages import Message
from runtime.core.signatures import checks_arguments
from runtime.errors import UsageError
from runtime.journal.files import JournalWriter
from runtime.journal.recording import Recording, recording_of
from runtime.journal.recording_performer import JournalSink, MemorySink, RecordingPerformer
from runtime.journal.records import Record


class Recorder:
    """Records runs into one journal file; pass `recorder.wrap` to each run.

    Usage: `with Recorder("runs.jsonl") as recorder: run_agent(agent, prompt, wrap=recorder.wrap)`.

    Attributes:
        path: The journal, one line a record, many runs interleaved.
    """

    @checks_arguments
    def __init__(self, path: Path | str, *, redact: bool = True) -> None:
        self.path: Path = Path(path)
        self._redact = redact
        self._writer: JournalWriter | None = None

    def __enter__(self) -> Recorder:
        self._writer = JournalWriter(self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def wrap(self, inner: Performer) -> Performer:
        """Return a performer that records around another; one for each run.

        Raises:
            UsageError: If the recorder is not open.
        """
        if self._writer is None:
            raise UsageError(
                f"the recorder of {str(self.path)!r} is not open",
                next_step="use it in a with statement: `with Recorder(...) as recorder:`",
            )
        sink = JournalSink(self._writer)
        return RecordingPerformer(inner, sink, cleaner=process_redactor(os.environ) if self._redact else None)


class _RunCleaner:
    """The one redactor of several runs, as one of them uses it: each run gets every value that any of them learned."""

    def __init__(self, redactor: Redactor, all_runs: list[_RunCleaner]) -> None:
        self._redactor = redactor
        self._all_runs = all_runs
        self.pending: tuple[tuple[bytes, bytes], ...] = ()
        all_runs.append(self)

    def suspects(self, encoded: bytes, *, shared: bool = False) -> bool:
        """Return whether a value of this JSON may hold a secret."""
        return self._redactor.suspects(encoded, shared=shared)

    def message(self, message: Message) -> Message:
        """Return the message without secrets."""
        return self._redactor.message(message)

    def value(self, value: Any) -> Any:
        """Return a JSON value without secrets."""
        return self._redactor.value(value)

    def learned(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the forms that this run has not hidden yet, longer ones first."""
        fresh = self._redactor.learned()
        for run in self._all_runs if fresh else ():
            run.pending += fresh
        pending, self.pending = self.pending, ()
        return tuple(sorted(pending, key=lambda form: -len(form[0])))


class MemoryRuns:
    """Keeps a run and its child runs in memory, each with records of its own."""

    def __init__(self, *, redact: bool = True) -> None:
        self._redactor = process_redactor(os.environ) if redact else None
        self._cleaners: list[_RunCleaner] = []
        self._sinks: list[MemorySink] = []

    @property
    def records(self) -> list[Record]:
        """The records of the outermost run."""
        return self._sinks[0].records if self._sinks else []

    def payloads(self, run: str) -> Iterable[bytes]:
        """Return the JSON of the outermost run's records."""
        return self._sinks[0].payloads(run) if self._sinks else ()

    def wrap(self, inner: Performer) -> Performer:
        """Return a performer that records around another; the outermost run begins first."""
        sink = MemorySink()
        self._sinks.append(sink)
        cleaner = None if self._redactor is None else _RunCleaner(self._redactor, self._cleaners)
        return RecordingPerformer(inner, sink, cleaner=cleaner)

    def recording(self) -> Recording:
        """Return the outermost run, its child runs with it.

        Raises:
            JournalError: If no run began.
        """
        for sink, cleaner in zip(self._sinks, self._cleaners, strict=False):
            sink.hide(cleaner.learned())  # a run may have ended before another one learned a value
        recording = recording_of(self.records, source="memory")
        children = [recording_of(sink.records, source="memory") for sink in self._sinks[1:] if sink.records]
        recording.children = tuple(sorted(children, key=lambda child: child.header.request_id))
        return recording


def memory_wrap(*, redact: bool = True) -> tuple[MemoryRuns, Callable[[Performer], Performer]]:
    """Return what keeps a run in memory, and the wrapper that records the run and its child runs into it."""
    runs = MemoryRuns(redact=redact)
    return runs, runs.wrap
