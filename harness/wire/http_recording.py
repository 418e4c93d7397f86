"""HTTP recordings on disk: a journal of kind `http`, an intent before each exchange and its outcome after.

The file is a journal as `runtime.journal` describes it, of one run without a name. Its first record holds a
`RecordingHead`, each intent an `HttpRequest`, each outcome an `HttpAnswer`; both records of an exchange have its
lane, `<number>.http/1`. An intent without outcome was in flight when the process was killed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from harness.cassette.file_io import guarded
from harness.errors import CassetteError
from harness.wire.exchange import HttpAnswer, HttpRequest
from harness.wire.match_rules import MatchRules
from harness.wire.request_key import request_key
from harness.wire.run_identity import RunIdentity
from runtime.core.effects import EffectKind
from runtime.core.lanes import BEGIN_LANE, END_LANE, lane
from runtime.errors import UsageError
from runtime.journal.files import JournalWriter, read_journal
from runtime.journal.records import EndBody, Record, raw

if sys.platform != "win32":
    import fcntl

FORMAT = "goldrun.http/1"
SUFFIX = ".jsonl"
_HEAD_BYTES = 4096


class RecordingHead(RunIdentity, frozen=True, kw_only=True, omit_defaults=True):
    """The header of a recording; recordings made before runs had names lack all of `RunIdentity`.

    Attributes:
        format: `goldrun.http/1`.
        kind: `http`, where it is stated.
        started_at: UTC, ISO 8601.
        redaction: `default`, or `none` where secrets were kept.
        python: Version of the interpreter.
        clients: Versions of the client libraries that were loaded.
        match: How much of a request must be as recorded; `None` for the defaults.
        salt: Of the tags of identity headers, where there are any.
    """

    format: str = ""
    kind: str = ""
    started_at: str | None = None
    redaction: str = "default"
    python: str = ""
    clients: dict[str, str] = msgspec.field(default_factory=dict)
    match: MatchRules | None = None
    salt: str | None = None


class StoredExchange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One exchange of a file; its answer is decoded on first use.

    Attributes:
        number: Position in the file, from 0, in the order of sending.
        stack: Client library.
        key: What the request is matched by.
        request: The request.
        at: Seconds since the recording began, at the sending.
        duration_s: Seconds until it ended; `None` if it was in flight.
    """

    number: int
    stack: str
    key: str
    request: HttpRequest
    at: float | None = None
    duration_s: float | None = None
    outcome: msgspec.Raw | None = None
    where: str = ""

    @property
    def answer(self) -> HttpAnswer | None:
        """What came back; `None` if the exchange was in flight when the recording was cut off.

        Raises:
            CassetteError: If it is damaged.
        """
        return None if self.outcome is None else _decode(_answers, self.outcome, self.where)


class HttpFile(msgspec.Struct, frozen=True, kw_only=True):
    """A recording as it was read.

    Attributes:
        path: The file.
        head: Its header.
        exchanges: In the order of sending.
        ended: Whether the recording was closed; else its process was killed.
        torn_bytes: Bytes of a torn last record, which was dropped.
    """

    path: Path
    head: RecordingHead
    exchanges: tuple[StoredExchange, ...]
    ended: bool
    torn_bytes: int = 0


class ExchangeWriter:
    """Appends exchanges to a new journal; use it from one thread at a time."""

    def __init__(self, path: Path, head: RecordingHead) -> None:
        """Make the file and write its head.

        Raises:
            UsageError: If another writer has the file open.
            JournalError: If the file cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._journal = JournalWriter(path)
        self._seq = 0
        self._append(lane=BEGIN_LANE, phase="begin", kind=EffectKind.BEGIN, name="http", request=raw(head))

    def intent(self, number: int, stack: str, key: str, request: msgspec.Raw, at: float) -> None:
        """Write that a request is about to be sent."""
        self._append(
            lane=lane(number, "http"),
            phase="intent",
            kind=EffectKind.HTTP,
            name=stack,
            key=key,
            at=at,
            request=request,
        )

    def outcome(self, number: int, stack: str, answer: msgspec.Raw, at: float, duration_s: float) -> None:
        """Write how an exchange ended."""
        self._append(
            lane=lane(number, "http"),
            phase="outcome",
            kind=EffectKind.HTTP,
            name=stack,
            at=at,
            duration_s=duration_s,
            outcome=answer,
        )

    def end(self, exchanges: int, detail: str | None) -> None:
        """Write the end and close the file; `detail` tells why it ended, if not as planned."""
        body = EndBody(
            stop_reason="finish", totals={"exchanges": exchanges}, detail=detail, root=self._journal.root("")
        )
        self._append(lane=END_LANE, phase="end", kind=EffectKind.END, outcome=raw(body))
        self.close()

    def close(self) -> None:
        """Close the file as it stands; closing twice is harmless."""
        self._journal.close()

    def _append(self, **fields: Any) -> None:
        self._journal.append(Record(seq=self._seq, **fields))
        self._seq += 1


def read_http(path: Path) -> HttpFile:
    """Return the exchanges of a recording; answers are decoded on first use.

    Raises:
        CassetteError: If the file is missing, empty, damaged, or no HTTP recording.
    """
    where = str(path)
    with guarded(where):
        if not path.is_file():
            raise CassetteError("there is no such recording", where=where, next_step="record it first")
        reader = read_journal(path)
        runs = list(reader)
    run = runs[0]
    first = run.records[0]
    head = _head(first)
    if len(runs) != 1 or head is None:
        raise CassetteError(
            "this journal holds runs, not HTTP exchanges",
            where=where,
            next_step="look at it with `goldrun show`",
        )
    if head.format != FORMAT:
        raise CassetteError(
            f"format {head.format!r} is not read here", where=where, next_step=f"this version reads {FORMAT}"
        )
    return HttpFile(
        path=path,
        head=head,
        exchanges=_exchanges(run.records, where),
        ended=run.ended,
        torn_bytes=reader.torn_bytes,
    )


def refuse_open(path: Path) -> None:
    """Refuse a recording that is being written.

    Raises:
        UsageError: If a writer has it open; the lock is the kernel's and ends with its process.
    """
    if sys.platform == "win32" or not path.is_file():
        return
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                "this recording is being made", where=str(path), next_step="give each recording its own file"
            ) from error


def is_http_recording(path: Path) -> bool:
    """Return whether a file begins like an HTTP recording of ours; never raises."""
    try:
        with path.open("rb") as file:
            return f'"format":"{FORMAT[:-1]}'.encode() in file.readline(_HEAD_BYTES)
    except OSError:
        return False


def _head(record: Record) -> RecordingHead | None:
    if record.kind is not EffectKind.BEGIN or record.name != "http":
        return None
    try:
        return msgspec.json.decode(record.request, type=RecordingHead)
    except (msgspec.DecodeError, UsageError):
        return None


def _exchanges(records: tuple[Record, ...], where: str) -> tuple[StoredExchange, ...]:
    outcomes = {record.lane: record for record in records if record.phase == "outcome"}
    exchanges: list[StoredExchange] = []
    for record in records:
        if record.phase != "intent" or record.kind is not EffectKind.HTTP:
            continue
        place = f"{where}, record {record.seq + 1}"
        request = _decode(_requests, record.request, place)
        outcome = outcomes.get(record.lane)
        exchanges.append(
            StoredExchange(
                number=len(exchanges),
                stack=record.name or "",
                key=record.key or request_key(request),
                request=request,
                at=record.at,
                duration_s=None if outcome is None else outcome.duration_s,
                outcome=None if outcome is None else outcome.outcome,
                where=place,
            )
        )
    return tuple(exchanges)


_requests = msgspec.json.Decoder(HttpRequest)
_answers = msgspec.json.Decoder(HttpAnswer)


def _decode(decoder: msgspec.json.Decoder[Any], body: msgspec.Raw, where: str) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise CassetteError(
            f"not an HTTP exchange: {error}",
            where=where,
            next_step="take the file from a backup, or record it again",
        ) from error
