"""Foreign runs become recordings: keys and requests are computed from the recorded messages.

Rules.
1. Nothing is run: the flow is not imported. Replay proves that it rebuilds what is written here.
2. After each step stands an `input` effect with the messages that follow before the next reply; results of the
   reply's calls are not among them. A run that ends still asking for tools at its limit has no input after that step.
3. A result that no call of the reply asked for and that carries its call is a call that the agent's program made:
   it goes with the `input` effect.
4. What was not recorded is null: times and usage of single effects, tool schemas, prices.
5. Redaction comes first, so hashes, keys and records are all made from the clean form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from harness.importers.pairing import Pairing, pair
from harness.importers.runlog import ForeignRunLog, Said
from harness.redaction.redactor import Redactor
from runtime.core.canonical import canonical_bytes, digest, fingerprint
from runtime.core.effects import (
    AnyOutcome,
    Begin,
    CallModel,
    CallTool,
    Denial,
    End,
    Input,
    InputReply,
    Outcome,
    ProgramCall,
    Refuse,
    SingleEffect,
    ToolResult,
)
from runtime.core.fold import fold_trace
from runtime.core.ids import run_id
from runtime.core.lanes import lane
from runtime.core.messages import (
    Message,
    ModelReply,
    ModelRequest,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    tool_message,
)
from runtime.core.policy import NO_RETRY, Budget, Policy
from runtime.core.run import Header, with_hashes
from runtime.journal.builder import RecordBuilder
from runtime.journal.records import Record

ENVIRONMENT = "import"

Ending = Literal["finish", "max_steps", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRun:
    """A run that was converted: its records, begin and end included."""

    header: Header
    records: list[Record]


def convert(run: ForeignRunLog, *, deploy: str | None = None, redact: bool = True) -> ImportedRun:
    """Return the records of a run, clean of secrets if `redact` is set."""
    redactor = Redactor() if redact else None
    conversion = _Conversion(run, redactor)
    header = _header(run, conversion, deploy, redactor)
    end = End(stop_reason=conversion.ending, output=conversion.output)
    totals = fold_trace(header, conversion.pairs, end).totals
    end = msgspec.structs.replace(end, totals=totals)
    builder = RecordBuilder()
    records: list[Record | None] = [builder.intent(Begin(header=header))]
    for effect, outcome in conversion.pairs:
        records += (builder.intent(effect), builder.outcome(effect, outcome))
    records.append(builder.outcome(end, Outcome()))
    return ImportedRun(header=header, records=[record for record in records if record is not None])


class _Conversion:
    """Goes through the messages once, building the effects of each step with their outcomes.

    Attributes:
        input: Messages before the first reply.
        pairs: Effects with outcomes, in the flow's order.
        steps: Recorded replies.
        ending: How the run ended.
        output: Text of the last reply of a finished run; `None` if it said nothing.
        assert_only: Why the flow cannot rebuild the conversation, if it cannot.
    """

    def __init__(self, run: ForeignRunLog, redactor: Redactor | None) -> None:
        self._run = run
        self._redactor = redactor
        self._ids: set[str] = set()
        self._calls = 0
        self.pairs: list[tuple[SingleEffect, AnyOutcome]] = []
        self.assert_only: str | None = None
        self.output: str | None = None
        self.ending: Ending = "open"
        messages = run.messages
        starts = [i for i, said in enumerate(messages) if said.message.role == "assistant"]
        self.steps = len(starts)
        first = starts[0] if starts else len(messages)
        history = self.input = tuple(map(self._as_message, messages[:first]))
        if not starts:
            self.assert_only = "it holds no reply"
        for step, start in enumerate(starts):
            stop = starts[step + 1] if step + 1 < len(starts) else len(messages)
            after = messages[start + 1 : stop]
            history = self._step(step, messages[start], after, history, stop == len(messages))

    def _step(
        self, step: int, reply: Said, after: tuple[Said, ...], history: tuple[Message, ...], last: bool
    ) -> tuple[Message, ...]:
        """Add one step's effects and return the conversation after it."""
        message = self._reply(reply.message)
        request = ModelRequest(model=self._run.model, messages=history)
        value = ModelReply(parts=message.parts)
        self.pairs.append((CallModel(lane=lane(step, "model"), request=request), Outcome(value)))
        calls = value.tool_calls
        if last and calls and not after and self._run.unanswered_end == "max_steps":
            self.ending = "max_steps"
            self.pairs += [_refused(step, i, call) for i, call in enumerate(calls)]
            return history
        pairing = pair(reply, after)
        if (doubt := pairing.doubt(step, last=last)) is not None:
            self._doubt(doubt)
        seen = [self._call(step, i, call, pairing) for i, call in enumerate(calls)]
        if last and not after and not calls:
            self.ending, self.output = "finish", value.text or None
        answer = self._input(step, pairing.others, last=last)
        self.pairs.append((Input(lane=lane(step, "input")), Outcome(answer)))
        return (*history, message, *seen, *answer.messages)

    def _call(self, step: int, index: int, call: ToolCallPart, pairing: Pairing) -> Message:
        """Add one call with its result and return the message that tells the model."""
        effect = CallTool(
            lane=lane(step, "tool", index=index),
            call_id=call.id,
            name=call.name,
            arguments=call.arguments,
            args_hash=fingerprint(call.arguments),
        )
        recorded = pairing.results.get(index)
        result = ToolResult(content="", status="not_started") if recorded is None else self._result(recorded)
        self.pairs.append((effect, Outcome(result)))
        return tool_message(call.id, result.content)

    def _input(self, step: int, others: tuple[Said, ...], *, last: bool) -> InputReply:
        """Return what follows a step besides the results of its calls."""
        messages: list[Message] = []
        calls: list[ProgramCall] = []
        denials: list[Denial] = []
        for said in others:
            if said.message.role != "tool":
                messages.append(self._as_message(said))
            elif said.call is not None:
                name, arguments = said.call
                result = self._result(said)
                clean = arguments if self._redactor is None else self._redactor.value(arguments)
                calls.append(ProgramCall(name=name, arguments=clean, result=result))
                messages.append(tool_message(self._call_id(said.answers), result.content))
            if said.is_denial:
                text = "".join(p.content for p in messages[-1].parts if isinstance(p, TextPart))
                place = lane(step, "input")
                denials.append(
                    Denial(tool=said.denied_tool, rule="recorded", message=text, lane=place, step=step)
                )
        return InputReply(
            messages=tuple(messages),
            end=self.ending if last else None,
            denials=tuple(denials),
            calls=tuple(calls),
        )

    def _result(self, said: Said) -> ToolResult:
        result = said.result or ToolResult(content=_text(said.message))
        content = self._clean(result.content)
        return ToolResult(
            content=content, status=result.status, error=None if result.status == "ok" else content
        )

    def _reply(self, message: Message) -> Message:
        parts = tuple(
            ToolCallPart(id=self._call_id(part.id), name=part.name, arguments=part.arguments)
            if isinstance(part, ToolCallPart)
            else part
            for part in message.parts
        )
        return self._cleaned(Message(role="assistant", parts=parts))

    def _call_id(self, recorded: str | None) -> str:
        """Return the recorded id, or `call#n` where it is missing or was used before in the run."""
        self._calls += 1
        name = recorded or f"call#{self._calls}"
        if name in self._ids:
            name = f"call#{self._calls}"
        while name in self._ids:
            name += "'"
        self._ids.add(name)
        return name

    def _as_message(self, said: Said) -> Message:
        """Return a message of the input; a result without a call before it becomes user text."""
        message = said.message
        if message.role == "tool":
            message = Message(role="user", parts=(TextPart(_text(message)),))
        return self._cleaned(message)

    def _doubt(self, reason: str) -> None:
        self.assert_only = self.assert_only or reason

    def _cleaned(self, message: Message) -> Message:
        return message if self._redactor is None else self._redactor.message(message)

    def _clean(self, text: str) -> str:
        return text if self._redactor is None else self._redactor.text(text)


def _header(
    run: ForeignRunLog, conversion: _Conversion, deploy: str | None, redactor: Redactor | None
) -> Header:
    request_id = "req_" + digest(canonical_bytes([run.source, run.content]))[:24]
    limit = conversion.steps if conversion.ending == "max_steps" else None
    return with_hashes(
        Header(
            request_id=request_id,
            run_id=run_id(request_id, deploy=deploy, source="import"),
            tenant=run.tenant,
            environment=ENVIRONMENT,
            agent=run.agent,
            deploy=deploy,
            source="import",
            suite=run.suite,
            task=run.task,
            repeat=run.repeat,
            input=conversion.input,
            models=(run.model,),
            tools="opaque",
            inputs="recorded",
            policy=Policy(allow="any", loop=None),
            budget=Budget(max_steps=limit, max_seconds=None, max_tool_calls=None, max_parallel=None),
            model_retry=NO_RETRY,
            tool_retry=NO_RETRY,
            redaction="none" if redactor is None else "default",
            assert_only=conversion.assert_only,
            recorded_duration_s=run.duration_s,
            recorded_tokens=run.tokens,
            labels=run.labels if redactor is None else redactor.value(run.labels),
        )
    )


def _refused(step: int, index: int, call: ToolCallPart) -> tuple[SingleEffect, AnyOutcome]:
    effect = Refuse(
        lane=lane(step, "tool", index=index),
        call_id=call.id,
        name=call.name,
        arguments=call.arguments,
        args_hash=fingerprint(call.arguments),
        status="not_started",
        message="",
        rule="max_steps",
    )
    return effect, Outcome()


def _text(message: Message) -> str:
    """Return what a message says, results included."""
    return "".join(
        part.content if isinstance(part, TextPart) else part.response
        for part in message.parts
        if isinstance(part, TextPart | ToolResponsePart)
    )
