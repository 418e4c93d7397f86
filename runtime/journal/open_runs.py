"""The records of one run while a journal is read: numbers, chain and what was hidden later."""

from __future__ import annotations

import msgspec

from runtime.errors import JournalError
from runtime.journal.hiding import without_hidden
from runtime.journal.records import Chain, EndBody, Record


class RunRecords(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one run as a journal holds them, without the values that were hidden later.

    Attributes:
        run: Run id.
        records: In order of arrival, begin first.
        payloads: Their JSON, which the chain covers; equal in number and order.
        root: The chain's root over all records but the end.
        ended: Whether the end was recorded; a run without it was cut off.
        torn: Whether a torn tail of the file was dropped that may belong to this run.
    """

    run: str
    records: tuple[Record, ...]
    payloads: tuple[bytes, ...]
    root: str
    ended: bool
    torn: bool = False


class OpenRun:
    """The records of a run that has not ended yet."""

    __slots__ = ("chain", "hides", "payloads", "records")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.payloads: list[bytes] = []
        self.hides: list[Record] = []
        self.chain: Chain = Chain()

    def take(self, record: Record, payload: bytes, *, where: str) -> None:
        """Add the next record, checking its number and, at the end, the chain."""
        if record.seq != len(self.records):
            raise JournalError(
                f"record {len(self.records)} of run {record.run!r} is missing: {record.seq} follows",
                where=where,
                next_step="take the file from a backup, or record it again",
            )
        check_root(record, self.chain.root, where=where)
        if record.phase != "end":
            self.chain.extend(payload)
        if record.phase == "hide":
            self.hides.append(record)
            return
        self.records.append(record)
        self.payloads.append(payload)

    def close(self, run: str, *, ended: bool, torn: bool = False, where: str = "") -> RunRecords:
        """Return the run's records, as its hide records say."""
        records, payloads, root = tuple(self.records), tuple(self.payloads), self.chain.root
        if self.hides:
            records, payloads = without_hidden(payloads, self.hides, where=where)
            chain = Chain()
            for payload in payloads[:-1] if ended else payloads:
                chain.extend(payload)
            root = chain.root
        return RunRecords(run=run, records=records, payloads=payloads, root=root, ended=ended, torn=torn)


def check_root(record: Record, root: str, *, where: str) -> None:
    """Check the root that an end record states against the chain over the records before it.

    Raises:
        JournalError: If they differ.
    """
    if record.phase != "end":
        return
    try:
        stated = msgspec.json.decode(record.outcome, type=EndBody).root
    except (msgspec.DecodeError, RecursionError) as error:
        raise JournalError(f"the run's end is wrong: {error}", where=where) from error
    if stated is not None and stated != root:
        raise JournalError(
            f"the records of run {record.run!r} are not those it ended with (root {root[:12]}, "
            f"stated {stated[:12]})",
            where=where,
            next_step="take the file from a backup, or record it again",
        )
