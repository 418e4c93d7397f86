"""The recorder: writes each run as it happens, redacted, through a performer around the live one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from harness.redaction.redactor import process_redactor
from runtime.core.effects import Performer
from runtime.core.signatures import checks_arguments
from runtime.errors import UsageError
from runtime.journal.files import JournalWriter
from runtime.journal.recording_performer import JournalSink, MemorySink, RecordingPerformer


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


def memory_wrap(*, redact: bool = True) -> tuple[MemorySink, Callable[[Performer], Performer]]:
    """Return a sink in memory and the wrapper that records one run into it."""
    sink = MemorySink()
    cleaner = process_redactor(os.environ) if redact else None
    return sink, lambda inner: RecordingPerformer(inner, sink, cleaner=cleaner)
