"""Effects and outcomes become records: redacted, keyed, each message stored once.

One builder serves one run. The intent of a model or tool call is built before the call, its outcome before the
flow sees it. A granted admission and unchanged switches make no record.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    KIND_OF,
    Admission,
    Admit,
    AnyOutcome,
    AskApproval,
    Begin,
    CallModel,
    CallTool,
    Controls,
    End,
    Input,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    Wait,
    limits_of,
)
from runtime.core.keys import Cleaner, Keyer
from runtime.core.lanes import BEGIN_LANE, END_LANE
from runtime.core.messages import Message, ModelReply
from runtime.core.run import Header
from runtime.journal.records import (
    EndBody,
    GuardBody,
    ModelBody,
    Phase,
    Record,
    ToolBody,
    encode_json,
    raw,
)


class RecordBuilder:
    """Builds the records of one run in arrival order."""

    def __init__(self, *, run: str = "", cleaner: Cleaner | None = None) -> None:
        self._run = run
        self._cleaner = cleaner
        self._keyer = Keyer(cleaner)
        self._seq = 0
        self._header: Header | None = None
        self._keys: dict[str, str | None] = {}
        self._base: tuple[int, tuple[Message, ...]] | None = None
        self._redacted = False

    def intent(self, effect: SingleEffect) -> Record | None:
        """Return the record to append before the effect is carried out, if it has one."""
        match effect:
            case Begin(header=header):
                return self._begin(header)
            case CallModel():
                self._keys[effect.lane] = key = self._keyer.key(effect)
                request = self._model_body(effect)
                return self._record(
                    effect, effect.lane, "intent", name=effect.request.model, key=key, request=request
                )
            case CallTool():
                self._keys[effect.lane] = key = self._keyer.key(effect)
                return self._call(effect, "intent", key, self._tool_body(effect))
            case End() | Refuse() | Admit() | AskApproval() | ReadControls() | Wait() | Input():
                return None
            case _:
                assert_never(effect)

    def outcome(self, effect: SingleEffect, outcome: AnyOutcome, *, root: str | None = None) -> Record | None:
        """Return the record to append before the flow sees the outcome, if it has one."""
        match effect:
            case Begin():
                return None
            case End():
                return self._end(effect, outcome, root)
            case CallModel():
                return self._model_outcome(effect, outcome)
            case CallTool():
                return self._record(
                    effect,
                    effect.lane,
                    "outcome",
                    name=effect.name,
                    call_id=effect.call_id,
                    key=self._keys.pop(effect.lane, None),
                    outcome=outcome,
                    write=effect.write,
                )
            case Refuse():
                key = self._keyer.key(effect)
                words = GuardBody(status=effect.status, message=effect.message, rule=effect.rule)
                refusal = Outcome(value=words, at=outcome.at, duration_s=outcome.duration_s)
                return self._call(effect, "guard", key, self._tool_body(effect), outcome=refusal)
            case AskApproval():
                key = self._keyer.key(effect)
                return self._call(effect, "outcome", key, self._tool_body(effect), outcome=outcome)
            case Admit():
                return self._admission(effect, outcome)
            case ReadControls():
                return self._controls(effect, outcome)
            case Wait():
                key = self._keyer.key(effect)
                body = {"seconds": effect.seconds}
                return self._record(effect, effect.lane, "outcome", key=key, request=body, outcome=outcome)
            case Input():
                return self._record(effect, effect.lane, "outcome", outcome=outcome)
            case _:
                assert_never(effect)

    def _admission(self, effect: Admit, outcome: Outcome[Admission]) -> Record | None:
        if outcome.value is not None and outcome.value.granted:
            return None
        return self._record(effect, effect.lane, "guard", name=effect.name, outcome=outcome)

    def _controls(self, effect: ReadControls, outcome: Outcome[Controls]) -> Record | None:
        if outcome.value is not None and not outcome.value.pulled:
            return None
        return self._record(effect, effect.lane, "guard", outcome=outcome)

    def _begin(self, header: Header) -> Record:
        self._header = header
        body = raw(self._clean(header))
        return Record(
            run=self._run, seq=self._next(), lane=BEGIN_LANE, phase="begin", kind=KIND_OF[Begin], request=body
        )

    def _end(self, effect: End, outcome: AnyOutcome, root: str | None) -> Record:
        body = EndBody(
            stop_reason=effect.stop_reason,
            output=effect.output,
            totals=msgspec.to_builtins(effect.totals),
            trace_hash=None if self._redacted else effect.trace_hash,
            detail=effect.detail,
            root=root,
        )
        return Record(
            run=self._run,
            seq=self._next(),
            lane=END_LANE,
            phase="end",
            kind=KIND_OF[End],
            at=outcome.at,
            outcome=raw(self._clean(body)),
        )

    def _model_outcome(self, effect: CallModel, outcome: Outcome[ModelReply]) -> Record:
        reply = outcome.value
        return self._record(
            effect,
            effect.lane,
            "outcome",
            name=effect.request.model,
            key=self._keys.pop(effect.lane, None),
            outcome=outcome,
            usage=None if reply is None else reply.usage,
            cost_nanousd=None if reply is None else reply.cost_nanousd,
        )

    def _call(
        self,
        effect: CallTool | Refuse | AskApproval,
        phase: Phase,
        key: str | None,
        body: ToolBody,
        *,
        outcome: AnyOutcome | None = None,
    ) -> Record:
        return self._record(
            effect,
            effect.lane,
            phase,
            name=effect.name,
            call_id=effect.call_id,
            key=key,
            request=body,
            outcome=outcome,
            write=not isinstance(effect, AskApproval) and effect.write,
        )

    def _record(
        self,
        effect: SingleEffect,
        lane: str,
        phase: Phase,
        *,
        request: Any = None,
        outcome: AnyOutcome | None = None,
        **fields: Any,
    ) -> Record:
        value = None if outcome is None else outcome.value
        failure = None if outcome is None else outcome.failure
        limits = limits_of(effect) if phase in {"intent", "guard"} else None
        return Record(
            run=self._run,
            seq=self._next(),
            lane=lane,
            phase=phase,
            kind=KIND_OF[type(effect)],
            at=None if outcome is None else outcome.at,
            duration_s=None if outcome is None else outcome.duration_s,
            request=raw(self._clean(request)),
            outcome=raw(self._clean(value)),
            failure=failure if failure is None else self._clean_failure(failure),
            limits=limits,
            **fields,
        )

    def _model_body(self, effect: CallModel) -> ModelBody:
        messages = effect.request.messages
        base, kept = None, 0
        if self._base is not None:
            base, before = self._base
            kept = _shared(before, messages)
        header = self._header
        body = ModelBody(
            model=effect.request.model,
            base=base,
            keep=kept,
            append=messages[kept:],
            tools=effect.request.tools
            if header is None or effect.request.tools != header.tool_schemas
            else None,
            parameters=effect.request.parameters
            if header is None or effect.request.parameters != header.parameters
            else None,
        )
        self._base = (self._seq, messages)
        return body

    def _tool_body(self, effect: CallTool | Refuse | AskApproval) -> ToolBody:
        approval = effect if isinstance(effect, AskApproval) else None
        given = effect.arguments if approval is None else approval.decided
        arguments = given if self._cleaner is None else self._cleaner.value(given)
        kept = arguments is given
        self._redacted = self._redacted or not kept
        # A hash of arguments that held a secret would let a short one be guessed.
        given_hash = effect.args_hash if approval is None else approval.decided_hash
        filled = effect.filled if isinstance(effect, Refuse) else None
        if approval is not None and approval.given_hash is not None:
            filled = approval.arguments
        return ToolBody(
            arguments=arguments,
            args_hash=given_hash if kept else fingerprint(arguments),
            filled=filled if self._cleaner is None else self._cleaner.value(filled),
            policy_hash=None if approval is None else approval.policy_hash,
            timeout_s=None if approval is None else approval.timeout_s,
        )

    def _clean(self, value: Any) -> Any:
        """Return a body without secrets; one that cannot hold any is encoded once and not walked."""
        if value is None or self._cleaner is None or isinstance(value, ToolBody):
            return value
        encoded = encode_json(value)
        if not self._cleaner.suspects(encoded):
            return msgspec.Raw(encoded)
        plain = msgspec.json.decode(encoded)
        clean = self._cleaner.value(plain)
        self._redacted = self._redacted or clean is not plain
        return clean

    def _clean_failure(self, failure: Any) -> Any:
        if self._cleaner is None:
            return failure
        return msgspec.structs.replace(failure, message=self._cleaner.value(failure.message))

    def _next(self) -> int:
        seq = self._seq
        self._seq += 1
        return seq


def _shared(before: tuple[Message, ...], now: tuple[Message, ...]) -> int:
    kept = min(len(before), len(now))
    for i in range(kept):
        if before[i] is not now[i] and before[i] != now[i]:
            return i
    return kept
