"""Hide values in records that were written before it was known that they are secret.

Theory of operation. A journal is only appended to. Where the redactor recognises a secret that stands in an earlier
record of the run, a `hide` record follows: the pseudonym and the bytes it stands for, never the value. Readers apply
it: they cut the bytes out, and make keys and chain anew, since both were made from the text before. So what is
sealed, promoted or shown never held the value; the open journal does, until it is sealed.

A `hide` record takes no number of the run: `seq` is that of the record after it. It is part of the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from runtime.core.canonical import fingerprint
from runtime.core.effects import RETIRED_KINDS, EffectKind
from runtime.core.keys import Keyer
from runtime.errors import JournalError
from runtime.journal.recording import Interaction, recording_of
from runtime.journal.records import (
    Chain,
    EndBody,
    Record,
    ToolBody,
    decode_payload,
    encode_payload,
    raw,
)

HIDE_LANE = "hide"
Forms = Sequence[tuple[bytes, bytes]]
"""Each form of a value with its pseudonym, longer forms first."""


class Hidden(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of an earlier record that a pseudonym stands for.

    Attributes:
        seq: The record.
        start: First byte of its payload.
        end: Byte after the last.
        name: The pseudonym.
    """

    seq: int
    start: int
    end: int
    name: str


def form_spans(data: bytes, forms: Forms) -> list[tuple[int, int, bytes]]:
    """Return where forms stand in JSON or text, in order; of those that overlap the longer wins.

    A form that would begin inside an escape is passed over: a replacement would break the JSON.
    """
    spans: list[tuple[int, int, bytes]] = []
    for form, name in forms:
        at = data.find(form)
        while at >= 0:
            end = at + len(form)
            if not _in_escape(data, at) and not any(s < end and at < e for s, e, _ in spans):
                spans.append((at, end, name))
            at = data.find(form, end)
    return sorted(spans)


def _in_escape(data: bytes, at: int) -> bool:
    before = at
    while before and data[before - 1 : before] == b"\\":
        before -= 1
    return (at - before) % 2 == 1


def hide_in(payload: bytes, spans: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Return a payload with pseudonyms in place of spans; spans that overlap are hidden under the first name."""
    parts: list[bytes] = []
    done = 0
    for start, end, name in sorted(spans):
        if start >= done:
            parts += (payload[done:start], name)
        done = max(done, end)
    return b"".join((*parts, payload[done:]))


def hide_now(record: Record, forms: Forms) -> Record:
    """Return a record that is not written yet without the values; the same object if it holds none."""
    payload = encode_payload(record)
    spans = form_spans(payload, forms)
    return decode_payload(hide_in(payload, spans), where="record") if spans else record


def hide_record(
    run: str, seq: int, earlier: Iterable[bytes], forms: Forms, *, always: bool = False
) -> Record | None:
    """Return the record that hides values in the earlier records of a run; `None` if none holds any.

    Args:
        run: Name of the run in its file.
        seq: Number of the record that follows.
        earlier: Payloads of the records so far.
        forms: What is hidden.
        always: Make the record also where no earlier one holds any, so that readers make keys anew.
    """
    hidden = [
        Hidden(number, start, end, name.decode())
        for number, payload in enumerate(earlier)
        for start, end, name in form_spans(payload, forms)
    ]
    if not (hidden or always):
        return None
    return Record(run=run, seq=seq, lane=HIDE_LANE, phase="hide", kind=EffectKind.NOTE, request=raw(hidden))


def without_hidden(
    payloads: Sequence[bytes], hides: Sequence[Record], *, where: str
) -> tuple[tuple[Record, ...], tuple[bytes, ...]]:
    """Return the records of a run as its hide records say, with new keys, and their payloads.

    Raises:
        JournalError: If a hide record is wrong.
    """
    spans: dict[int, list[tuple[int, int, bytes]]] = {}
    for record in hides:
        for one in _decoded(record, where):
            if not (0 <= one.seq < len(payloads) and 0 <= one.start < one.end <= len(payloads[one.seq])):
                raise JournalError(f"a hide record names bytes that are not there: {one}", where=where)
            spans.setdefault(one.seq, []).append((one.start, one.end, one.name.encode()))
    records = [
        _rehashed(decode_payload(hide_in(payload, spans[seq]), where=where))
        if seq in spans
        else decode_payload(payload, where=where)
        for seq, payload in enumerate(payloads)
    ]
    return rekeyed(records, where=where)


def rekeyed(records: Sequence[Record], *, where: str) -> tuple[tuple[Record, ...], tuple[bytes, ...]]:
    """Return the records of a run with keys and root made from what they hold now, and their payloads."""
    recording = recording_of(records, source=where)
    keys: dict[str, str | None] = {}
    keyer = Keyer()
    for item in recording.interactions:
        if item.kind not in RETIRED_KINDS and item.kind is not EffectKind.HTTP:
            keys[item.lane] = _key(keyer, recording.effect(item), item)
    chain = Chain()
    made: list[Record] = []
    encoded: list[bytes] = []
    for record in records:
        if record.key is not None and record.lane in keys:
            record = msgspec.structs.replace(record, key=keys[record.lane])
        if record.phase == "end":
            record = _ended(record, chain.root)
        payload = encode_payload(record)
        chain.extend(payload)
        made.append(record)
        encoded.append(payload)
    return tuple(made), tuple(encoded)


def with_root(record: Record, root: str) -> Record:
    """Return an end record that states a chain's root, and no trace hash: the trace holds other texts now."""
    return _ended(record, root)


def _key(keyer: Keyer, effect: object, item: Interaction) -> str | None:
    key = keyer.key(effect)  # type: ignore[arg-type]  # a recorded effect is a single one
    return item.key if key is None else key


def _ended(record: Record, root: str) -> Record:
    end = msgspec.json.decode(record.outcome, type=EndBody)
    return msgspec.structs.replace(
        record, outcome=raw(msgspec.structs.replace(end, root=root, trace_hash=None))
    )


def _rehashed(record: Record) -> Record:
    """Return a record whose arguments were changed with their new hash."""
    if record.kind not in {EffectKind.TOOL, EffectKind.APPROVAL} or bytes(record.request) == b"null":
        return record
    body = msgspec.json.decode(record.request, type=ToolBody)
    body = msgspec.structs.replace(body, args_hash=fingerprint(body.arguments))
    return msgspec.structs.replace(record, request=raw(body))


def _decoded(record: Record, where: str) -> list[Hidden]:
    try:
        return msgspec.json.decode(record.request, type=list[Hidden])
    except msgspec.DecodeError as error:
        raise JournalError(f"a hide record is wrong: {error}", where=where) from error
