"""AgentDojo run logs become recordings: keys and requests are computed from the recorded messages.

Rules.
1. Nothing is run: the flow is not imported. Replay proves that it rebuilds what is written here.
2. After each step stands an `input` effect with the messages that follow before the next reply; tool results
   are not among them. A run whose last reply still calls tools is `max_steps`, and has no input after that step.
3. What was not recorded is null: times and usage of single effects, tool schemas, prices.
4. Redaction comes first, so hashes, keys and records are all made from the clean form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from harness.importers.agentdojo_runs import ForeignRun, message_text
from harness.redaction.redactor import Redactor
from runtime.core.canonical import canonical_bytes, digest, fingerprint
from runtime.core.effects import (
    AnyOutcome,
    Begin,
    CallModel,
    CallStatus,
    CallTool,
    Denial,
    End,
    Input,
    InputReply,
    Outcome,
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
    Part,
    TextPart,
    ToolCallPart,
    tool_message,
)
from runtime.core.policy import NO_RETRY, Budget, Policy
from runtime.core.run import Header, with_hashes
from runtime.journal.builder import RecordBuilder
from runtime.journal.records import Record

TENANT, ENVIRONMENT = "agentdojo", "import"
_UNKNOWN = re.compile(r"Invalid tool .{0,200} provided\.")
_INVALID = re.compile(r"ValidationError: \d+ validation errors? for Input schema")
_NAMED = re.compile(r"function calling of ([\w.-]{1,128}) has been refused|'name\\*': \\*'([\w.-]{1,128})")
_LABELS = ("error", "benchmark_version", "agentdojo_package_version", "evaluation_timestamp")

Ending = Literal["finish", "max_steps", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRun:
    """A run that was converted: its records, begin and end included."""

    header: Header
    records: list[Record]


def convert(run: ForeignRun, *, deploy: str | None = None, redact: bool = True) -> ImportedRun:
    """Return the records of a run, clean of secrets if `redact` is set."""
    redactor = Redactor() if redact else None
    conversion = _Conversion(run.messages, run.place.model, redactor)
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

    def __init__(self, messages: list[dict[str, Any]], model: str, redactor: Redactor | None) -> None:
        self._model = model
        self._redactor = redactor
        self._ids: set[str] = set()
        self._calls = 0
        self.pairs: list[tuple[SingleEffect, AnyOutcome]] = []
        self.assert_only: str | None = None
        self.output: str | None = None
        self.ending: Ending = "open"
        starts = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        self.steps = len(starts)
        first = starts[0] if starts else len(messages)
        history = self.input = tuple(map(self._plain_message, messages[:first]))
        if not starts:
            self.assert_only = "it holds no reply"
        for step, start in enumerate(starts):
            stop = starts[step + 1] if step + 1 < len(starts) else len(messages)
            history = self._step(
                step, messages[start], messages[start + 1 : stop], history, stop == len(messages)
            )

    def _step(
        self,
        step: int,
        reply: dict[str, Any],
        after: list[dict[str, Any]],
        history: tuple[Message, ...],
        last: bool,
    ) -> tuple[Message, ...]:
        """Add one step's effects and return the conversation after it."""
        message = self._reply(reply)
        request = ModelRequest(model=self._model, messages=history)
        value = ModelReply(parts=message.parts)
        self.pairs.append((CallModel(lane=lane(step, "model"), request=request), Outcome(value)))
        calls = value.tool_calls
        if last and calls and not after:
            self.ending = "max_steps"
            self.pairs += [_refused(step, i, call) for i, call in enumerate(calls)]
            return history
        results = [m for m in after if m["role"] == "tool"]
        others = [self._plain_message(m) for m in after if m["role"] != "tool"]
        self._check_order(step, len(calls), [m["role"] for m in after], last=last)
        seen = [self._call(step, i, call, results) for i, call in enumerate(calls)]
        if last and not after:
            self.ending, self.output = "finish", value.text or None
        denials = tuple(d for m in others if m.role == "user" and (d := _denial(step, m)) is not None)
        answer = InputReply(messages=tuple(others), end=self.ending if last else None, denials=denials)
        self.pairs.append((Input(lane=lane(step, "input")), Outcome(answer)))
        return (*history, message, *seen, *others)

    def _call(self, step: int, index: int, call: ToolCallPart, results: Sequence[dict[str, Any]]) -> Message:
        """Add one call with its result and return the message that tells the model."""
        effect = CallTool(
            lane=lane(step, "tool", index=index),
            call_id=call.id,
            name=call.name,
            arguments=call.arguments,
            args_hash=fingerprint(call.arguments),
        )
        answered = index < len(results)
        result = self._result(results[index]) if answered else ToolResult(content="", status="not_started")
        self.pairs.append((effect, Outcome(result)))
        return tool_message(call.id, result.content)

    def _result(self, message: dict[str, Any]) -> ToolResult:
        text, error = message_text(message.get("content")), message.get("error")
        status = _status(text, error)
        content = self._clean(error if isinstance(error, str) and error else text)
        return ToolResult(content=content, status=status, error=None if status == "ok" else content)

    def _reply(self, message: dict[str, Any]) -> Message:
        text = message_text(message.get("content"))
        parts: list[Part] = [TextPart(text)] if text else []
        for call in message.get("tool_calls") or ():
            arguments = call.get("args")
            parts.append(
                ToolCallPart(id=self._call_id(call.get("id")), name=call["function"], arguments=arguments)
            )
        return self._cleaned(Message(role="assistant", parts=tuple(parts)))

    def _call_id(self, recorded: Any) -> str:
        """Return the recorded id, or `call#n` where it is missing or was used before in the run."""
        self._calls += 1
        name = recorded if isinstance(recorded, str) and recorded else f"call#{self._calls}"
        if name in self._ids:
            name = f"call#{self._calls}"
        while name in self._ids:
            name += "'"
        self._ids.add(name)
        return name

    def _plain_message(self, message: dict[str, Any]) -> Message:
        """Return a system or user message; a tool message without a call before it becomes user text."""
        role: Literal["system", "user"] = "system" if message["role"] == "system" else "user"
        return self._cleaned(Message(role=role, parts=(TextPart(message_text(message.get("content"))),)))

    def _check_order(self, step: int, calls: int, roles: list[str], *, last: bool) -> None:
        results = roles.count("tool")
        if results > calls or (results < calls and not last):
            self._doubt(f"step {step} has {results} results of {calls} calls")
        elif "tool" in roles[results:]:
            self._doubt(f"step {step} has a message between its results")

    def _doubt(self, reason: str) -> None:
        self.assert_only = self.assert_only or reason

    def _cleaned(self, message: Message) -> Message:
        return message if self._redactor is None else self._redactor.message(message)

    def _clean(self, text: str) -> str:
        return text if self._redactor is None else self._redactor.text(text)


def _header(
    run: ForeignRun, conversion: _Conversion, deploy: str | None, redactor: Redactor | None
) -> Header:
    place, fields = run.place, run.fields
    request_id = "req_" + digest(canonical_bytes([run.source, fields]))[:24]
    labels: dict[str, Any] = {
        "passed": fields.get("utility"),
        "security": fields.get("security"),
        "pipeline": place.pipeline,
        "user_task": place.user_task,
        "attack": place.attack,
        "injection": place.injection,
        "guard": place.guard,
        **{name: fields[name] for name in _LABELS if fields.get(name) is not None},
    }
    limit = conversion.steps if conversion.ending == "max_steps" else None
    header = Header(
        request_id=request_id,
        run_id=run_id(request_id, deploy=deploy, source="import"),
        tenant=TENANT,
        environment=ENVIRONMENT,
        agent=place.pipeline,
        deploy=deploy,
        source="import",
        suite=place.suite,
        task=place.task,
        input=conversion.input,
        models=(place.model,),
        tools="opaque",
        inputs="recorded",
        policy=Policy(loop=None),
        budget=Budget(max_steps=limit),
        model_retry=NO_RETRY,
        tool_retry=NO_RETRY,
        redaction="none" if redactor is None else "default",
        assert_only=conversion.assert_only,
        recorded_duration_s=_number(fields.get("duration")),
        recorded_tokens=_count(fields.get("total_tokens")),
        labels=labels if redactor is None else redactor.value(labels),
    )
    return with_hashes(header)


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


def _status(text: str, error: Any) -> CallStatus:
    if not isinstance(error, str) or not error:
        return "denied" if _is_refusal(text) else "ok"
    if _UNKNOWN.search(error):
        return "unknown_tool"
    if "is not allowed" in error or _is_refusal(error):
        return "denied"
    return "invalid_arguments" if _INVALID.search(error) else "error"


def _is_refusal(text: str) -> bool:
    return "[CALL ERROR]" in text and "has been refused" in text


def _denial(step: int, message: Message) -> Denial | None:
    text = "".join(part.content for part in message.parts if isinstance(part, TextPart))
    if not _is_refusal(text):
        return None
    named = _NAMED.search(text)
    tool = None if named is None else named[1] or named[2]
    return Denial(tool=tool, rule="recorded", message=text, lane=lane(step, "input"), step=step)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
