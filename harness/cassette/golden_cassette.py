"""Golden cassettes: write a recording as one reviewed document, read it back with its root checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from harness.cassette.compose import compose, header_of
from harness.cassette.file_io import guarded, replace_file
from harness.cassette.golden_document import (
    SCHEMA,
    GoldenDocument,
    InteractionEntry,
    content_root,
    default_shape,
)
from harness.cassette.limits import MAX_CASSETTE_BYTES, decode_strict
from harness.cassette.lines import unfold_json, unfold_part, unfold_text
from harness.cassette.ranges import unreadable
from harness.errors import CassetteError
from harness.redaction.tripwire import refuse_secrets
from runtime.core.canonical import fingerprint
from runtime.core.effects import EffectKind, Failure, Limits
from runtime.core.keys import Keyer, tool_key
from runtime.core.messages import Message, Part, tool_message
from runtime.core.money import Usage
from runtime.core.run import Header
from runtime.journal.recording import Interaction, Recording
from runtime.journal.records import EndBody, Phase, Record, raw

_RESTORE = "restore it from version control, or record it again with `goldrun record`"


def write_cassette(
    path: str | Path,
    recording: Recording,
    *,
    provenance: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a recording as a golden document; the file is replaced as a whole or not at all.

    Args:
        path: Where to; by custom `<suite>/<task>.cassette.json`.
        recording: A run recorded with redaction, or one whose header says `redaction: none`.
        provenance: Where the run came from, kept beside its header.
        overwrite: Replace a file that is there.

    Raises:
        UsageError: If the file is there and `overwrite` is not set.
        CassetteError: If a record is wrong, looks secret, or the file cannot be written.
    """
    path = Path(path)
    origin = {"request_id": recording.header.request_id, "run_id": recording.header.run_id}
    if recording.root is not None:
        origin["root"] = recording.root
    with guarded(recording.source or str(path)):
        document = compose(recording, {**origin, **(provenance or {})})
    data = msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
    refuse_secrets(data, recording.header, where=str(path))
    with replace_file(path, overwrite=overwrite) as file:
        file.write(data)
    return path


def read_cassette(path: str | Path, *, allow_edited: bool = False) -> Recording:
    """Read a golden document; its root is checked.

    Args:
        path: The file.
        allow_edited: Read a document whose content does not fit its root all the same, and mark the recording
            as edited, for a replay that shows where.

    Raises:
        CassetteError: If the file is missing, empty, damaged or foreign.
    """
    path = Path(path)
    document, edited = _load(path, allow_edited=allow_edited)
    where = str(path)
    try:
        with guarded(where):
            recording = _read(document, where)
    except (msgspec.ValidationError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CassetteError(f"the document is wrong: {error}", where=where, next_step=_RESTORE) from error
    recording.edited = edited
    return recording


def _read(document: GoldenDocument, where: str) -> Recording:
    """Return a document's run with its child runs; the root of the whole covers theirs."""
    recording = _Reader(document, where).recording()
    children = [_read(msgspec.convert(child, GoldenDocument), where) for child in document.children]
    recording.children = tuple(children)
    return recording


def _load(path: Path, *, allow_edited: bool) -> tuple[GoldenDocument, bool]:
    where = str(path)
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_CASSETTE_BYTES else b""
    except (OSError, ValueError) as error:
        raise unreadable(error, where) from error
    if size > MAX_CASSETTE_BYTES:
        raise CassetteError(f"{size} bytes pass the limit of {MAX_CASSETTE_BYTES}", where=where)
    if not data.strip():
        raise CassetteError("the cassette is empty", where=where, next_step=_RESTORE)
    plain = decode_strict(data, where=where, next_step=_RESTORE)
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        found = plain.get("schema") if isinstance(plain, dict) else type(plain).__name__
        raise CassetteError(
            f"not a golden cassette: its schema is {found!r}, not {SCHEMA!r}",
            where=where,
            next_step="foreign recordings become cassettes with `goldrun import`",
        )
    with guarded(where):
        root = content_root(plain)
    edited = plain.get("root") != root
    if edited and not allow_edited:
        raise CassetteError(
            f"its content does not fit its root {plain.get('root')!r}: it was edited by hand or damaged",
            where=where,
            next_step=_RESTORE,
        )
    try:
        return msgspec.convert(plain, GoldenDocument), edited
    except (msgspec.ValidationError, RecursionError) as error:
        raise CassetteError(f"the document is wrong: {error}", where=where, next_step=_RESTORE) from error


class _Reader:
    """Turns a document's entries back into records."""

    def __init__(self, document: GoldenDocument, where: str) -> None:
        self._document = document
        self._where = where
        self._entries = {entry.lane: entry for entry in document.interactions}
        self._stored = {entry.id: entry for entry in document.messages}
        self._messages: dict[str, Message] = {}
        self._said: dict[str, tuple[Message, ...]] = {}
        self._seqs: dict[str, int] = {}
        self._seq = 1

    def recording(self) -> Recording:
        """Return the recording; keys that the document leaves out are computed."""
        document = self._document
        end = document.end
        recording = Recording(
            self._header(),
            [self._interaction(entry) for entry in document.interactions],
            None
            if end is None
            else msgspec.convert({name: _unfold(item) for name, item in end.items()}, EndBody),
            source=self._where,
            root=document.root,
        )
        self._add_model_keys(recording)
        return recording

    def _header(self) -> Header:
        plain: dict[str, Any] = {}
        for name, item in self._document.header.items():
            if name == "instructions" and isinstance(item, dict):
                plain[name] = "".join(p.content for p in self._message(item["message"]).parts)  # type: ignore[union-attr]
            elif name == "input":
                plain[name] = [msgspec.to_builtins(self._message(ref)) for ref in item]
            else:
                plain[name] = unfold_json(item)
        return header_of(plain)

    def _message(self, ref: str) -> Message:
        known = self._messages.get(ref)
        if known is None:
            known = self._messages[ref] = self._resolve(ref)
        return known

    def _resolve(self, ref: str) -> Message:
        stored = self._stored.get(ref)
        if stored is not None:
            return Message(role=stored.role, parts=self._parts(stored.parts))
        said = self._entries[ref]
        if said.kind is EffectKind.MODEL:
            return Message(role="assistant", parts=self._parts(said.outcome["parts"]))
        return tool_message(said.call_id or "", unfold_text(said.outcome["content"]))

    def _parts(self, folded: list[dict[str, Any]]) -> tuple[Part, ...]:
        return msgspec.convert([unfold_part(part) for part in folded], tuple[Part, ...])

    def _interaction(self, entry: InteractionEntry) -> Interaction:
        shape = entry.shape or default_shape(entry.kind)
        request, key = self._request(entry)
        limits = None if entry.limits is None else msgspec.convert(entry.limits, Limits)
        common: dict[str, Any] = {
            "lane": entry.lane,
            "kind": entry.kind,
            "name": entry.name,
            "call_id": entry.call_id,
            "key": key if entry.key is None else entry.key,
            "write": entry.write,
        }
        self._seqs[entry.lane] = self._seq
        intent = None
        if shape in {"call", "intent"}:
            intent = Record(seq=self._next(), phase="intent", request=request, limits=limits, **common)
        if shape == "intent" and intent is not None:
            return Interaction(None, intent)
        phase: Phase = "guard" if shape == "guard" else "outcome"
        own: dict[str, Any] = {} if intent is not None else {"request": request, "limits": limits}
        return Interaction(
            intent, Record(seq=self._next(), phase=phase, **common, **own, **self._answer(entry))
        )

    def _answer(self, entry: InteractionEntry) -> dict[str, Any]:
        outcome = self._outcome(entry)
        inside = outcome if entry.kind is EffectKind.MODEL and isinstance(outcome, dict) else {}
        usage = inside.get("usage") if entry.usage is None else entry.usage
        cost = inside.get("cost_nanousd") if entry.cost_nanousd is None else entry.cost_nanousd
        return {
            "at": entry.at,
            "duration_s": entry.duration_s,
            "outcome": raw(outcome),
            "failure": None
            if entry.failure is None
            else msgspec.convert(unfold_json(entry.failure), Failure),
            "usage": None if usage is None else msgspec.convert(usage, Usage),
            "cost_nanousd": cost,
        }

    def _outcome(self, entry: InteractionEntry) -> Any:
        outcome = entry.outcome
        if outcome is None:
            return None
        match entry.kind:
            case EffectKind.MODEL:
                return {**outcome, "parts": [unfold_part(part) for part in outcome["parts"]]}
            case EffectKind.TOOL:
                return {name: unfold_text(text) for name, text in outcome.items()}
            case EffectKind.INPUT:
                messages = [msgspec.to_builtins(self._message(ref)) for ref in outcome.get("messages", ())]
                return {**outcome, "messages": messages} if messages else outcome
            case _:
                return unfold_json(outcome)

    def _request(self, entry: InteractionEntry) -> tuple[msgspec.Raw, str | None]:
        if entry.kind is EffectKind.MODEL:
            return raw(self._model_request(entry)), None
        if entry.kind in {EffectKind.TOOL, EffectKind.APPROVAL} and isinstance(entry.request, dict):
            plain = {name: unfold_json(value) for name, value in entry.request.items()}
            computed = fingerprint(plain.get("arguments"))
            plain.setdefault("args_hash", computed)
            return raw(plain), tool_key(entry.name or "", computed)
        plain = entry.request if entry.kind is EffectKind.WAIT else unfold_json(entry.request)
        return raw(plain), _plain_key(entry, plain)

    def _model_request(self, entry: InteractionEntry) -> dict[str, Any]:
        stored = entry.request
        body: dict[str, Any] = {"model": stored["model"]}
        before: tuple[Message, ...] = ()
        if stored.get("base") is not None:
            body |= {"base": self._seqs[stored["base"]], "keep": stored["keep"]}
            before = self._said[stored["base"]][: stored["keep"]]
        body["append"] = [self._message(ref) for ref in stored.get("append", ())]
        self._said[entry.lane] = (*before, *body["append"])
        for name in ("tools", "parameters"):
            if name in stored:
                body[name] = unfold_json(stored[name])
        return body

    def _add_model_keys(self, recording: Recording) -> None:
        keyer = Keyer()
        for item in recording.interactions:
            if item.kind is EffectKind.MODEL:
                request = recording.model_request(item, self._said[item.lane])
                key = keyer.model_key(request)
                item.key = item.key or key

    def _next(self) -> int:
        self._seq += 1
        return self._seq - 1


def _plain_key(entry: InteractionEntry, plain: Any) -> str | None:
    match entry.kind:
        case EffectKind.WAIT:
            return fingerprint(plain["seconds"])
        case EffectKind.LOAD:
            return fingerprint(entry.name)
        case EffectKind.SAVE:
            return fingerprint([entry.name, plain])
        case _:
            return None


def _unfold(item: Any) -> Any:
    return unfold_text(item) if isinstance(item, list) else item
