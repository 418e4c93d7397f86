"""The recording performer: one for every run that is recorded, fresh or resumed.

Rules.
1. The intent of an effect is written before it is carried out, its outcome before the flow sees it. So a journal that
   a crash cut off names each call that may have happened.
2. A cancelled effect has an outcome too. Without one, a replay would wait for an answer that never came.
3. A record that cannot be written ends the run with `PerformerError`: a run continues recorded or not at all.

The redactor and the destination are parameters, so this module knows neither redaction nor sealing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from msgspec import structs

from runtime.core.effects import AnyOutcome, Begin, End, Performer, SingleEffect
from runtime.core.keys import Cleaner
from runtime.core.run import Header
from runtime.errors import BugError, GoldrunError, UsageError
from runtime.journal.builder import RecordBuilder
from runtime.journal.files import JournalWriter
from runtime.journal.hiding import hide_now, hide_record, rekeyed, with_root, without_hidden
from runtime.journal.recording import Recording, recording_of
from runtime.journal.records import Chain, Record, encode_payload
from runtime.ports.performers import CANCELLED, PerformerError


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

    def payloads(self, run: str) -> Iterable[bytes]:
        """Return the JSON of a run's records so far, as they were written."""
        ...


class MemorySink:
    """Keeps the records of one run in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._chain = Chain()
        self._hidden = False

    def open(self, header: Header) -> str:
        """Begin the run; its records carry no name.

        Raises:
            UsageError: If it holds a run already: the records of two would be mixed.
        """
        if self.records:
            raise UsageError(
                "this sink in memory holds a run already",
                where="MemorySink",
                next_step="give each run a sink of its own, child runs too",
            )
        return ""

    def append(self, record: Record) -> None:
        """Keep one record."""
        if record.phase == "hide":
            self._hidden = True
            self._take(without_hidden(list(self.payloads("")), [record], where="memory")[0])
            return
        self.records.append(record)
        self._chain.extend(encode_payload(record))
        if record.phase == "end" and self._hidden:
            # Keys after the hide record were still chained from the text before it.
            self._take(rekeyed(self.records, where="memory")[0])

    def root(self, run: str) -> str:
        """Return the chain over the records so far, in hex."""
        return self._chain.root

    def payloads(self, run: str) -> Iterable[bytes]:
        """Return the JSON of the records so far."""
        return map(encode_payload, self.records)

    def _take(self, records: Iterable[Record]) -> None:
        self.records[:] = records
        self._chain = Chain()
        for payload in self.payloads(""):
            self._chain.extend(payload)

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

    def payloads(self, run: str) -> Iterable[bytes]:
        """Return the JSON of a run's records so far."""
        return self._writer.payloads(run)


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
            UsageError: If an effect comes before the run's `Begin`: the caller's wrap kept that back.
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
            if self._builder is not None:
                intent = self._builder.intent(effect)
                if intent is not None:
                    self._append(intent)
        except BugError:
            raise
        except GoldrunError as fault:
            raise PerformerError(str(fault)) from fault
        if self._builder is None:
            raise UsageError(
                f"{type(effect).__name__} reached the recorder before the run's Begin",
                where="RecordingPerformer",
                next_step="give run_agent a wrap that puts a new recorder around each run and hands all effects on",
            )

    def _after(self, effect: SingleEffect, outcome: AnyOutcome) -> None:
        builder = self._builder
        assert builder is not None
        try:
            root = self._sink.root(self._run) if isinstance(effect, End) else None
            record = builder.outcome(effect, outcome, root=root)
            if record is not None:
                self._append(record)
        except BugError:
            raise
        except GoldrunError as fault:
            raise PerformerError(str(fault)) from fault

    def _append(self, record: Record) -> None:
        forms = () if self._cleaner is None else self._cleaner.learned()
        if forms:
            # A value that was recognised just now may stand in this record and in those before it.
            clean = hide_now(record, forms)
            earlier = self._sink.payloads(self._run)
            # Where this record alone changed, readers make its key anew all the same.
            hide = hide_record(self._run, record.seq, earlier, forms, always=clean is not record)
            record = clean
            if hide is not None:
                self._sink.append(hide)
                if record.phase == "end":
                    record = with_root(record, self._sink.root(self._run))
        self._sink.append(record)
