"""From a recording to a golden document: ids renamed, messages stored once, one entry for each interaction."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.cassette.golden_document import (
    SCHEMA,
    GoldenDocument,
    InteractionEntry,
    MessageEntry,
    Shape,
    content_root,
    default_shape,
)
from harness.cassette.lines import fold_json, fold_part, fold_text
from runtime.core.canonical import fingerprint
from runtime.core.effects import CallModel, EffectKind, InputReply, Outcome
from runtime.core.keys import IdNames, Keyer, rename_ids, tool_key
from runtime.core.messages import Message, ModelReply, system_message
from runtime.core.run import Header, with_hashes
from runtime.core.stored_header import header_from, stated_policy_hash
from runtime.journal.recording import Interaction, Recording
from runtime.journal.records import Record, has_body

_HASHES = ("prompt_hash", "tools_hash", "policy_hash")


def compose(recording: Recording, provenance: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the golden document of a recording as plain JSON, its root included."""
    composer = _Composer(recording)
    header = composer.header()
    interactions = [composer.interaction(item) for item in recording.interactions]
    document = GoldenDocument(
        schema=SCHEMA,
        root="",
        provenance=dict(provenance or {}),
        header=header,
        messages=composer.messages,
        interactions=interactions,
        end=None if recording.end is None else _end(recording),
        children=[compose(child) for child in recording.children],
    )
    plain: dict[str, Any] = msgspec.to_builtins(document)
    plain["root"] = content_root(plain)
    return plain


class _Composer:
    """Names ids and messages while the interactions are gone through in order."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.messages: list[MessageEntry] = []
        self._said: dict[bytes, str] = {}
        self._ids = IdNames()
        self._responses: dict[str, str] = {}
        self._keyer = Keyer()
        self._lanes: dict[int, str] = {}

    def header(self) -> dict[str, Any]:
        """Return the header: prompts by reference, fingerprints only where they are not those of its content."""
        header = self._recording.header
        plain: dict[str, Any] = msgspec.to_builtins(header)
        if header.instructions is not None:
            plain["instructions"] = {"message": self.ref(system_message(header.instructions))}
        if header.input:
            plain["input"] = [self.ref(message) for message in header.input]
        computed = with_hashes(header)
        for name in _HASHES:
            if getattr(header, name) == getattr(computed, name):
                plain.pop(name, None)
            else:
                plain[name] = getattr(header, name)
        kept = {"instructions", "input"}
        return {name: item if name in kept else fold_json(item) for name, item in plain.items()}

    def ref(self, message: Message) -> str:
        """Return the id of a message; a new one is stored.

        Replies and results that a later request repeats are stored again, on purpose: replay rebuilds them from
        the outcomes, so an edit of either place shows as a divergence that names lane and path.
        """
        message = rename_ids(message, self._ids)
        form = msgspec.json.encode(message)
        known = self._said.get(form)
        if known is None:
            known = self._said[form] = f"m{len(self.messages) + 1}"
            self.messages.append(MessageEntry(id=known, role=message.role, parts=_parts(message)))
        return known

    def interaction(self, item: Interaction) -> InteractionEntry:
        """Return the entry of an interaction."""
        record = item.record
        first = item.intent or record
        self._lanes[first.seq] = item.lane
        shape = _shape(item)
        request, key = self._request(item, first)
        outcome = self._outcome(item, record)
        return InteractionEntry(
            lane=item.lane,
            kind=item.kind,
            shape=None if shape == default_shape(item.kind) else shape,
            name=record.name,
            call_id=None if record.call_id is None else self._ids.name(record.call_id),
            key=None if item.key == key else item.key,
            write=record.write,
            at=record.at,
            duration_s=record.duration_s,
            request=request,
            outcome=outcome,
            failure=None if record.failure is None else fold_json(msgspec.to_builtins(record.failure)),
            limits=msgspec.to_builtins(first.limits) or None,
            **_own_usage(record, outcome),
        )

    def _request(self, item: Interaction, first: Record) -> tuple[Any, str | None]:
        """Return what was asked, and the key that a reader will compute from it."""
        if item.kind is EffectKind.MODEL:
            return self._model_request(item)
        plain = msgspec.json.decode(first.request)
        if item.kind in {EffectKind.TOOL, EffectKind.APPROVAL} and isinstance(plain, dict):
            computed = fingerprint(plain.get("arguments"))
            # The hash of arguments with a secret in them would let the secret be guessed.
            if plain.get("args_hash") == computed or "<secret" in str(plain.get("arguments")):
                plain.pop("args_hash", None)
            return {name: fold_json(value) for name, value in plain.items()}, tool_key(
                item.name or "", computed
            )
        if item.kind is EffectKind.WAIT and isinstance(plain, dict):
            return plain, fingerprint(plain.get("seconds"))
        return fold_json(plain), self._plain_key(item, plain)

    def _plain_key(self, item: Interaction, plain: Any) -> str | None:
        if item.kind is EffectKind.LOAD:
            return fingerprint(item.name)
        return fingerprint([item.name, plain]) if item.kind is EffectKind.SAVE else None

    def _model_request(self, item: Interaction) -> tuple[dict[str, Any], str | None]:
        body = self._recording.model_body(item)
        request: dict[str, Any] = {"model": body.model}
        if body.base is not None:
            request |= {"base": self._lanes[body.base], "keep": body.keep}
        request["append"] = [self.ref(message) for message in body.append]
        if body.tools is not None:
            request["tools"] = fold_json(msgspec.to_builtins(body.tools))
        if body.parameters is not None:
            request["parameters"] = fold_json(body.parameters)
        effect = self._recording.effect(item)
        assert isinstance(effect, CallModel)
        return request, self._keyer.key(effect)

    def _outcome(self, item: Interaction, record: Record) -> Any:
        if not item.answered or not has_body(record.outcome):
            return None
        plain = msgspec.json.decode(record.outcome)
        match item.kind:
            case EffectKind.MODEL:
                return self._reply(item, plain)
            case EffectKind.TOOL:
                return {name: fold_text(text) for name, text in plain.items()}
            case EffectKind.INPUT:
                return self._input(item, plain)
            case _:
                return fold_json(plain)

    def _input(self, item: Interaction, plain: dict[str, Any]) -> dict[str, Any]:
        outcome: Outcome[InputReply] = item.outcome()
        messages = () if outcome.value is None else outcome.value.messages
        return {**plain, "messages": [self.ref(m) for m in messages]} if messages else plain

    def _reply(self, item: Interaction, plain: dict[str, Any]) -> dict[str, Any]:
        outcome: Outcome[ModelReply] = item.outcome()
        reply = outcome.value
        if reply is None:
            return plain
        message = rename_ids(Message(role="assistant", parts=reply.parts), self._ids)
        renamed = {**plain, "parts": _parts(message)}
        if reply.response_id is not None:
            names = self._responses
            renamed["response_id"] = names.setdefault(reply.response_id, f"response#{len(names) + 1}")
        return renamed


def _parts(message: Message) -> list[dict[str, Any]]:
    return [fold_part(part) for part in msgspec.to_builtins(message.parts)]


def _shape(item: Interaction) -> Shape:
    if not item.answered:
        return "intent"
    if item.guard:
        return "guard"
    return "outcome" if item.intent is None else "call"


def _own_usage(record: Record, outcome: Any) -> dict[str, Any]:
    """Usage and cost of a model call stand in its reply; written again only where they differ."""
    inside = outcome if record.kind is EffectKind.MODEL and isinstance(outcome, dict) else {}
    usage = None if record.usage is None else msgspec.to_builtins(record.usage)
    return {
        "usage": None if usage == inside.get("usage") else usage,
        "cost_nanousd": None if record.cost_nanousd == inside.get("cost_nanousd") else record.cost_nanousd,
    }


def _end(recording: Recording) -> dict[str, Any]:
    assert recording.end is not None
    plain: dict[str, Any] = msgspec.to_builtins(recording.end)
    plain.pop("root", None)
    return {name: fold_text(item) if isinstance(item, str) else item for name, item in plain.items()}


def header_of(plain: dict[str, Any]) -> Header:
    """Return the header of plain JSON, with fingerprints computed where they were left out.

    Raises:
        msgspec.ValidationError: If a field is wrong.
    """
    header = header_from(plain)
    computed = msgspec.structs.replace(with_hashes(header), policy_hash=stated_policy_hash(plain))
    missing = {name: getattr(computed, name) for name in _HASHES if name not in plain}
    return msgspec.structs.replace(header, **missing)
