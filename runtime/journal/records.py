"""The record: one line of a run's log, the same in journal, segment and golden cassette.

A call makes two records, its intent before and its outcome after; what a guard refuses makes one (`guard`).
A line is the record as JSON with the run it belongs to in front and a CRC-32 of all bytes before it at its end:
`{"run":"run_..","seq":3,"lane":"0.model/1",...,"crc":"89abcdef"}`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from runtime.core.effects import CallStatus, EffectKind, Failure, Limits
from runtime.core.messages import Message, ToolSchema
from runtime.core.money import Usage
from runtime.errors import JournalError

Phase = Literal["begin", "intent", "outcome", "guard", "end", "hide"]
MAX_RECORD_BYTES = 64 * 1024 * 1024

_CRC_BYTES = len(b',"crc":"89abcdef"}')
_NO_BODY = msgspec.Raw(b"null")
_encoder = msgspec.json.Encoder(order="deterministic")
encode_json: Callable[[Any], bytes] = _encoder.encode
"""Encode a value with sorted mapping keys; struct fields keep their order."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a run's log.

    Attributes:
        run: Run id in files that hold several runs; empty where the file holds one.
        seq: Arrival order in the run; never matched.
        lane: What the effect is for.
        phase: Begin, intent, outcome, guard or end; `hide` takes bytes of earlier records out, see `hiding`.
        kind: Kind of effect.
        name: Tool or model name.
        call_id: The call's id, for tool and approval records.
        key: Fingerprint of what the agent decided.
        at: Seconds since the run began, at the outcome.
        duration_s: Seconds the effect took.
        request: JSON of the request (see `docs/cassette-format.md`); `null` if there is none.
        outcome: JSON of what came back; `null` if nothing.
        failure: How it failed.
        write: Whether the call has effects outside.
        limits: What followed from time, money or identity.
        usage: Tokens of a model call.
        cost_nanousd: Price of a model call.
    """

    run: str = ""
    seq: int
    lane: str
    phase: Phase
    kind: EffectKind
    name: str | None = None
    call_id: str | None = None
    key: str | None = None
    at: float | None = None
    duration_s: float | None = None
    request: msgspec.Raw = _NO_BODY
    outcome: msgspec.Raw = _NO_BODY
    failure: Failure | None = None
    write: bool = False
    limits: Limits | None = None
    usage: Usage | None = None
    cost_nanousd: int | None = None


class ModelBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request of a model record: an earlier model record's messages, cut and extended.

    Attributes:
        model: Model id.
        base: `seq` of an earlier model record of the run; `None` starts from nothing.
        keep: How many of the base's messages stay.
        append: Messages that follow.
        tools: Schemas, where they differ from the header's.
        parameters: Parameters, where they differ from the header's.
    """

    model: str
    base: int | None = None
    keep: int = 0
    append: tuple[Message, ...] = ()
    tools: tuple[ToolSchema, ...] | None = None
    parameters: dict[str, Any] | None = None


class ToolBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request of a tool or approval record; the guard's words are in a guard record's outcome.

    Attributes:
        arguments: As the model gave them.
        args_hash: Fingerprint of these.
        filled: With the tool's defaults, where they differ and a person or an argument rule looked at these.
        policy_hash: Of an approval: the policy in force when it was requested.
        timeout_s: Of an approval: seconds it was waited for.
    """

    arguments: Any
    args_hash: str = ""
    filled: Any = None
    policy_hash: str | None = None
    timeout_s: float | None = None


class GuardBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of a guard record."""

    status: CallStatus
    message: str
    rule: str


class EndBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of the end record.

    `root` is the chain over all records before it. `trace_hash` is absent where redaction changed what the
    trace would hold.
    """

    stop_reason: str
    output: str | None = None
    totals: dict[str, Any] = {}
    trace_hash: str | None = None
    detail: str | None = None
    root: str | None = None


def raw(value: Any) -> msgspec.Raw:
    """Return a value's JSON as the body of a record."""
    return msgspec.Raw(encode_json(value))


def has_body(body: msgspec.Raw) -> bool:
    """Return whether a record's request or outcome holds anything."""
    return bytes(body) not in {b"null", b""}


_decoder = msgspec.json.Decoder(Record)


class Chain:
    """The SHA-256 chain over a run's records: link = SHA-256(link before + payload)."""

    __slots__ = ("_link",)

    def __init__(self) -> None:
        self._link = b"goldrun.chain/1"

    def extend(self, payload: bytes) -> None:
        """Add one record's payload (its line without CRC)."""
        self._link = hashlib.sha256(self._link + payload).digest()

    @property
    def root(self) -> str:
        """The chain's link so far, in hex."""
        return self._link.hex()


def encode_payload(record: Record) -> bytes:
    """Return a record's JSON, the part of its line that CRC and chain cover."""
    return encode_json(record)


def seal_line(payload: bytes) -> bytes:
    """Return the line of a payload: the payload with its CRC, and a newline."""
    return b'%b,"crc":"%08x"}\n' % (payload[:-1], zlib.crc32(payload))


def open_line(line: bytes, *, where: str) -> bytes:
    """Return the payload of a line without its newline.

    Raises:
        JournalError: If the line is cut, too long, or its CRC does not fit.
    """
    if len(line) > MAX_RECORD_BYTES:
        raise JournalError(f"record of {len(line)} bytes passes the limit of {MAX_RECORD_BYTES}", where=where)
    payload = line[:-_CRC_BYTES] + b"}"
    if len(line) <= _CRC_BYTES or line[-_CRC_BYTES:] != b',"crc":"%08x"}' % zlib.crc32(payload):
        raise JournalError(
            "damaged record: its checksum does not fit",
            where=where,
            next_step="take the file from a backup, or record it again",
        )
    return payload


def decode_payload(payload: bytes, *, where: str) -> Record:
    """Return the record of a payload.

    Raises:
        JournalError: If the payload is no record.
    """
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise JournalError(f"not a record: {error}", where=where) from error
