"""The recorder: writes each run as it happens, redacted, through a performer around the live one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from harness.redaction.redactor import process_redactor
from runtime.core.effects import Performer
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


class MemoryRuns:
    """Keeps a run and its child runs in memory, each with records of its own."""

    def __init__(self, *, redact: bool = True) -> None:
        self._cleaner = process_redactor(os.environ) if redact else None
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
        return RecordingPerformer(inner, sink, cleaner=self._cleaner)

    def recording(self) -> Recording:
        """Return the outermost run, its child runs with it.

        Raises:
            JournalError: If no run began.
        """
        recording = recording_of(self.records, source="memory")
        children = [recording_of(sink.records, source="memory") for sink in self._sinks[1:] if sink.records]
        recording.children = tuple(sorted(children, key=lambda child: child.header.request_id))
        return recording


def memory_wrap(*, redact: bool = True) -> tuple[MemoryRuns, Callable[[Performer], Performer]]:
    """Return what keeps a run in memory, and the wrapper that records the run and its child runs into it."""
    runs = MemoryRuns(redact=redact)
    return runs, runs.wrap
