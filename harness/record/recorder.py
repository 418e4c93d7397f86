"""The recorder: writes each run as it happens, redacted, through a performer around the live one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from msgspec import structs

from harness.redaction.redactor import process_redactor
from runtime.core.effects import AnyOutcome, Begin, End, Performer, SingleEffect
from runtime.core.keys import Cleaner
from runtime.core.run import Header
from runtime.errors import BugError, GoldrunError, UsageError
from runtime.execution.drivers import CANCELLED, PerformerError
from runtime.journal.builder import RecordBuilder
from runtime.journal.files import JournalWriter
from runtime.journal.recording import Recording, recording_of
from runtime.journal.records import Chain, Record, encode_payload


class Sink(Protocol):
    """Takes the records of one run; a record is acknowledged when `append` returns."""

    def open(self, header: Header) -> str:
        """Begin the run and return the name that its records carry; empty where the sink holds one run."""
        ...

    def append(self, record: Record) -> None:
        """Keep one record."""
        ...

    def root(self, run: str) -> str:
        """Return the chain over a run's records so far, in hex."""
        ...


class MemorySink:
    """Keeps the records of one run in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._chain = Chain()

    def open(self, header: Header) -> str:
        """Begin the run; its records carry no name."""
        return ""

    def append(self, record: Record) -> None:
        """Keep one record."""
        self.records.append(record)
        self._chain.extend(encode_payload(record))

    def root(self, run: str) -> str:
        """Return the chain over the records so far, in hex."""
        return self._chain.root

    def recording(self) -> Recording:
        """Return the run that was recorded."""
        return recording_of(self.records, source="memory")


class JournalSink:
    """Appends to a journal that other runs share; a second run of one name gets a name of its own."""

    def __init__(self, writer: JournalWriter) -> None:
        self._writer = writer

    def open(self, header: Header) -> str:
        """Begin the run and return its name in the file."""
        return self._writer.claim(header.run_id)

    def append(self, record: Record) -> None:
        """Append one record.

        Raises:
            JournalError: If it could not be written.
        """
        self._writer.append(record)

    def root(self, run: str) -> str:
        """Return the chain over a run's records so far, in hex."""
        return self._writer.root(run)


class RecordingPerformer:
    """Records one run: intent before the call, outcome before the flow sees it."""

    def __init__(
        self, inner: Performer, sink: Sink, *, cleaner: Cleaner | None, key_id: str | None = None
    ) -> None:
        """Record around a performer.

        Args:
            inner: Performs.
            sink: Where records go.
            cleaner: Takes secrets out; `None` records them.
            key_id: Id of the cleaner's key, for the header; `None` if it numbers secrets.
        """
        self._inner = inner
        self._sink = sink
        self._cleaner = cleaner
        self._key_id = key_id
        self._builder: RecordBuilder | None = None
        self._run = ""

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Record an effect around its performance.

        Raises:
            PerformerError: If the recording cannot be written; the run cannot carry on.
        """
        self._before(effect)
        try:
            outcome = await self._inner.perform(effect)
        except asyncio.CancelledError:
            # The caller went away; that is what ends the run, also where it cannot be written down.
            with suppress(PerformerError):
                self._after(effect, CANCELLED)
            raise
        self._after(effect, outcome)
        return outcome

    def _before(self, effect: SingleEffect) -> None:
        try:
            if isinstance(effect, Begin):
                self._run = self._sink.open(effect.header)
                self._builder = RecordBuilder(run=self._run, cleaner=self._cleaner)
                if self._key_id is not None:
                    effect = Begin(structs.replace(effect.header, redaction_key=self._key_id))
            if self._builder is None:
                raise BugError("an effect was performed before Begin")
            intent = self._builder.intent(effect)
            if intent is not None:
                self._sink.append(intent)
        except BugError:
            raise
        except GoldrunError as fault:
            raise PerformerError(str(fault)) from fault

    def _after(self, effect: SingleEffect, outcome: AnyOutcome) -> None:
        builder = self._builder
        assert builder is not None
        try:
            root = self._sink.root(self._run) if isinstance(effect, End) else None
            record = builder.outcome(effect, outcome, root=root)
            if record is not None:
                self._sink.append(record)
        except BugError:
            raise
        except GoldrunError as fault:
            raise PerformerError(str(fault)) from fault


class Recorder:
    """Records runs into one journal file; pass `recorder.wrap` to each run.

    Usage: `with Recorder("runs.jsonl") as recorder: run_agent(agent, prompt, wrap=recorder.wrap)`.

    Attributes:
        path: The journal, one line a record, many runs interleaved.
    """

    def __init__(self, path: Path | str, *, redact: bool = True) -> None:
        self.path = Path(path)
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
