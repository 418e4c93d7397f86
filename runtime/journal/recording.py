"""A recorded run in memory: header, interactions, end; bodies are decoded on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    NO_LIMITS,
    RETIRED_KINDS,
    VALUE_OF,
    Admit,
    AnyOutcome,
    AskApproval,
    CallModel,
    CallTool,
    EffectKind,
    End,
    Input,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    Wait,
)
from runtime.core.fold import Pair, fold_trace
from runtime.core.lanes import admits_model
from runtime.core.messages import Message, ModelRequest
from runtime.core.run import Header
from runtime.core.stored_header import read_header
from runtime.core.trace import Trace
from runtime.errors import BugError, JournalError
from runtime.journal.records import EndBody, GuardBody, ModelBody, Record, ToolBody, has_body

Body = TypeVar("Body")


def _decoder(of: type[Body]) -> Callable[[msgspec.Raw], Body]:
    """Return the decoder of a body; what is no such body is a fault of the journal."""
    decode = msgspec.json.Decoder(of).decode

    def checked(body: msgspec.Raw) -> Body:
        try:
            return decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise JournalError(f"a record's body is no {of.__name__}: {error}") from error

    return checked


_decode_model = _decoder(ModelBody)
_decode_tool = _decoder(ToolBody)
_decode_guard = _decoder(GuardBody)
_decode_end = _decoder(EndBody)
_decode_value: dict[EffectKind, Callable[[msgspec.Raw], Any]] = {
    kind: msgspec.json.Decoder(of).decode for kind, of in VALUE_OF.items()
}


class Interaction:
    """One recorded effect with its outcome: an intent and an outcome record, or a record that holds both.

    Attributes:
        lane: What the effect was for.
        kind: Kind of effect.
        name: Tool or model name.
        key: Fingerprint of what the agent decided.
        guard: Whether a guard answered instead of the world.
        intent: The record before the call, if there is one of its own.
        record: The record of the outcome; the intent where no outcome was recorded.
    """

    __slots__ = ("_outcome", "guard", "intent", "key", "kind", "lane", "name", "record")

    def __init__(self, intent: Record | None, record: Record) -> None:
        self.intent: Record | None = intent
        self.record: Record = record
        self.lane: str = record.lane
        self.kind: EffectKind = record.kind
        self.name: str | None = record.name
        self.key: str | None = record.key if record.key is not None or intent is None else intent.key
        self.guard: bool = record.phase == "guard"
        self._outcome: AnyOutcome | None = None

    @property
    def answered(self) -> bool:
        """Whether an outcome was recorded; an intent alone was in flight when recording ended."""
        return self.record.phase != "intent"

    @property
    def request(self) -> msgspec.Raw:
        """JSON of the request."""
        return (self.intent or self.record).request

    def guard_status(self) -> str | None:
        """Return the status a guard gave the call; `None` if none refused it."""
        return _decode_guard(self.record.outcome).status if self.guard else None

    def outcome(self) -> AnyOutcome:
        """Return the recorded outcome, decoded once."""
        if self._outcome is None:
            self._outcome = self._decode_outcome()
        return self._outcome

    def _decode_outcome(self) -> AnyOutcome:
        record = self.record
        value: Any = None
        if self.answered and not (self.guard and record.kind is EffectKind.TOOL) and has_body(record.outcome):
            decode = _decode_value.get(record.kind)
            try:
                value = msgspec.json.decode(record.outcome) if decode is None else decode(record.outcome)
            except msgspec.DecodeError as error:
                raise JournalError(
                    f"record {record.seq} ({record.lane}): outcome is wrong: {error}"
                ) from error
        return Outcome(value, record.failure, record.at, record.duration_s)


class Recording:
    """A recorded run.

    Attributes:
        header: The value of `Begin`.
        interactions: All effects with their outcomes, begin and end excluded, in order of arrival.
        end: The last record, `None` if the recording was cut off.
        source: Where it was read from, for messages.
        root: The chain over the run's records, where the file states one.
        torn: Whether a torn last record was dropped.
        edited: Whether its content is not what it was sealed with.
        children: Runs that its tool calls started, where they are kept with it, by request id.
    """

    def __init__(
        self,
        header: Header,
        interactions: list[Interaction],
        end: EndBody | None,
        *,
        source: str = "",
        root: str | None = None,
        torn: bool = False,
    ) -> None:
        self.header = header
        self.interactions = interactions
        self.end = end
        self.source = source
        self.root = root
        self.torn = torn
        self.edited = False
        self.children: tuple[Recording, ...] = ()
        self._by_seq: dict[int, Interaction] | None = None
        self._messages: dict[int, tuple[Message, ...]] = {}
        self._schemas = header.tool_schemas

    @property
    def stop_reason(self) -> str:
        """The recorded stop reason; `crashed` if the recording was cut off."""
        return "crashed" if self.end is None else self.end.stop_reason

    def model_body(self, interaction: Interaction) -> ModelBody:
        """Return the stored request of a model interaction."""
        return _decode_model(interaction.request)

    def messages(self, interaction: Interaction) -> tuple[Message, ...]:
        """Return the whole conversation of a model interaction's request.

        Raises:
            JournalError: If the record's base is missing or not before it.
        """
        record = interaction.intent or interaction.record
        known = self._messages.get(record.seq)
        if known is not None:
            return known
        pending: list[tuple[int, ModelBody]] = []
        seq: int | None = record.seq
        while seq is not None and seq not in self._messages:
            body = _decode_model(self._at(seq).request)
            pending.append((seq, body))
            if body.base is not None and body.base >= seq:
                raise JournalError(f"record {seq}: its base {body.base} is not before it", where=self.source)
            seq = body.base
        before = () if seq is None else self._messages[seq]
        for at, body in reversed(pending):
            before = (*before[: body.keep], *body.append) if body.base is not None else body.append
            self._messages[at] = before
        return before

    def model_request(self, interaction: Interaction, messages: tuple[Message, ...]) -> ModelRequest:
        """Return the request of a model interaction, whose messages are known."""
        body = self.model_body(interaction)
        return ModelRequest(
            model=body.model,
            messages=messages,
            tools=self._schemas if body.tools is None else body.tools,
            parameters=self.header.parameters if body.parameters is None else body.parameters,
        )

    def effect(self, interaction: Interaction) -> SingleEffect:
        """Return the effect that was recorded.

        Raises:
            JournalError: If the record is of a kind that no effect has any more.
        """
        record = interaction.intent or interaction.record
        match record.kind:
            case EffectKind.MODEL:
                request = self.model_request(interaction, self.messages(interaction))
                return CallModel(lane=record.lane, request=request, limits=record.limits or NO_LIMITS)
            case EffectKind.TOOL | EffectKind.APPROVAL:
                return _call_effect(interaction, record)
            case _:
                return _other_effect(record)

    def pairs(self, *, whole_requests: bool = True) -> Iterator[Pair]:
        """Yield each effect with its outcome; records of kinds that no effect has any more are passed over.

        Args:
            whole_requests: Rebuild the messages of model requests; a trace does not need them.
        """
        for interaction in self.interactions:
            if interaction.kind in RETIRED_KINDS:
                continue
            if interaction.kind is EffectKind.MODEL and not whole_requests:
                record = interaction.intent or interaction.record
                request = ModelRequest(model=record.name or "", messages=())
                yield CallModel(lane=record.lane, request=request), interaction.outcome()
            else:
                yield self.effect(interaction), interaction.outcome()

    def end_effect(self) -> End:
        """Return the end that was recorded; one with `crashed` if the recording was cut off."""
        if self.end is None:
            return End(stop_reason="crashed", detail="the recording was cut off")
        return End(stop_reason=self.end.stop_reason, output=self.end.output, detail=self.end.detail)

    def trace(self) -> Trace:
        """Return the trace of the recorded run."""
        return fold_trace(self.header, self.pairs(whole_requests=False), self.end_effect())

    def _at(self, seq: int) -> Interaction:
        if self._by_seq is None:
            self._by_seq = {(i.intent or i.record).seq: i for i in self.interactions}
        found = self._by_seq.get(seq)
        if found is None or found.kind is not EffectKind.MODEL:
            raise JournalError(f"model record {seq}, the base of a later one, is missing", where=self.source)
        return found


def _call_effect(interaction: Interaction, record: Record) -> SingleEffect:
    body = _decode_tool(record.request)
    name, call_id = record.name or "", record.call_id or ""
    if record.kind is EffectKind.APPROVAL:
        return _approval_effect(record, body)
    if interaction.guard:
        words = _decode_guard(record.outcome)
        return Refuse(
            lane=record.lane,
            call_id=call_id,
            name=name,
            arguments=body.arguments,
            args_hash=body.args_hash,
            status=words.status,
            message=words.message,
            rule=words.rule,
            write=record.write,
            filled=body.filled,
        )
    return CallTool(
        lane=record.lane,
        call_id=call_id,
        name=name,
        arguments=body.arguments,
        args_hash=body.args_hash,
        write=record.write,
        limits=record.limits or NO_LIMITS,
    )


def _approval_effect(record: Record, body: ToolBody) -> AskApproval:
    filled = body.filled is not None
    return AskApproval(
        lane=record.lane,
        call_id=record.call_id or "",
        name=record.name or "",
        arguments=body.filled if filled else body.arguments,
        args_hash=fingerprint(body.filled) if filled else body.args_hash,
        policy_hash=body.policy_hash or "",
        timeout_s=body.timeout_s or 0.0,
        given=body.arguments if filled else None,
        given_hash=body.args_hash if filled else None,
    )


_NOT_BETWEEN = frozenset({EffectKind.BEGIN, EffectKind.END, EffectKind.HTTP})
"""Kinds that do not stand between the begin and the end of a run."""


def _other_effect(record: Record) -> SingleEffect:
    try:
        data = msgspec.json.decode(record.request)
    except (msgspec.DecodeError, RecursionError) as error:
        raise JournalError(f"record {record.seq} ({record.lane}): request is wrong: {error}") from error
    match record.kind:
        case EffectKind.WAIT:
            seconds = data.get("seconds") if isinstance(data, dict) else None
            if not isinstance(seconds, int | float):
                raise JournalError(f"record {record.seq} ({record.lane}): a wait without seconds")
            return Wait(lane=record.lane, seconds=seconds)
        case EffectKind.INPUT:
            return Input(lane=record.lane)
        case EffectKind.ADMIT:
            subject = "model" if admits_model(record.lane) else "tool"
            return Admit(lane=record.lane, subject=subject, name=record.name or "")  # type: ignore[arg-type]
        case EffectKind.CONTROLS:
            return ReadControls(lane=record.lane)
        case _ if record.kind in RETIRED_KINDS | _NOT_BETWEEN:
            raise JournalError(f"record {record.seq} ({record.lane}): a {record.kind} record has no effect")
        case _:
            raise BugError(f"no effect is made of a {record.kind} record")


def recording_of(records: Iterable[Record], *, source: str = "", torn: bool = False) -> Recording:
    """Return the recording that a run's records make up.

    Raises:
        JournalError: If the records do not begin with `begin`, or a lane has two outcomes.
    """
    header: Header | None = None
    end: EndBody | None = None
    found: dict[str, Interaction] = {}
    for record in records:
        if record.phase == "begin":
            header = _header(record, source)
        elif header is None:
            raise JournalError(f"record {record.seq} stands before the run's begin", where=source)
        elif record.phase == "end":
            end = _decode_end(record.outcome)
        elif record.phase == "intent":
            found[record.lane] = Interaction(None, record)
        else:
            before = found.get(record.lane)
            if before is None:
                found[record.lane] = Interaction(None, record)
            elif before.answered:
                raise JournalError(f"lane {record.lane} has two outcomes (record {record.seq})", where=source)
            else:
                found[record.lane] = Interaction(before.record, record)
    if header is None:
        raise JournalError("no run begins here: the file is empty or of another format", where=source)
    return Recording(
        header, list(found.values()), end, source=source, torn=torn, root=end.root if end else None
    )


def _header(record: Record, source: str) -> Header:
    try:
        return read_header(record.request)
    except (msgspec.DecodeError, RecursionError) as error:
        raise JournalError(f"the run's header is wrong: {error}", where=source) from error
