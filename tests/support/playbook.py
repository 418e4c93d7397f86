"""A sync performer that answers from a script, for tests of the flow: no model, no clock, no network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from runtime.core.effects import (
    Admission,
    Admit,
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    CallModel,
    CallTool,
    Controls,
    End,
    Failure,
    FailureKind,
    Input,
    InputReply,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    ToolResult,
    Wait,
)
from runtime.core.messages import Message, ModelReply, ToolCallPart, ToolSchema, user_message
from runtime.core.policy import Policy
from runtime.core.run import Header, ToolDecl, with_hashes
from runtime.execution.driver import Finished, drive
from runtime.orchestrator.loop import run_flow
from runtime.orchestrator.setup import RunSetup, ToolSpec
from runtime.testing.scripted import Turn, complete_turn
from runtime.tools.schema_check import schema_validator

ToolAnswer = str | ToolResult | Failure
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "q": {"type": "string"}},
    "additionalProperties": False,
}


def decl(name: str, **fields: Any) -> ToolDecl:
    """Return the declaration of a tool that takes an optional integer `n` and text `q`."""
    return ToolDecl(schema=ToolSchema(name=name, description=f"Tool {name}.", parameters=SCHEMA), **fields)


TOOLS = (
    decl("look"),
    decl("find"),
    decl("pay", write=True),
    decl("put", write=True, idempotent=True),
    decl("send", write=True, takes_key=True),
)
"""Two reads, a write that must not be repeated, and two writes that may be."""


def header(**fields: Any) -> Header:
    """Return the header of a run of the agent `demo` with the tools of this file."""
    known: dict[str, Any] = {
        "request_id": "req_1",
        "run_id": "run_1",
        "tenant": "acme",
        "environment": "test",
        "agent": "demo",
        "instructions": "Be brief.",
        "input": (user_message("hello"),),
        "models": ("m1",),
        "tools": TOOLS,
        "policy": Policy(allow="any"),
        "seed": 7,
    }
    return with_hashes(Header(**{**known, **fields}))


def setup_of(of: Header) -> RunSetup:
    """Return the setup of a run from its header."""
    if of.tools == "opaque":
        return RunSetup(header=of, tools=None)
    specs = {
        t.schema.name: ToolSpec(decl=t, validate=schema_validator(t.schema.parameters)) for t in of.tools
    }
    return RunSetup(header=of, tools=specs)


class Playbook:
    """Answers effects from a script and keeps what it saw.

    Args:
        replies: Turns of the model in order.
        tools: Answers a call; a mapping gives the answers of each tool in order, the last one for good.
        approvals: Decision by tool name; granted by default.
        admit: Answers admissions; granted by default.
        pulled: Switches that are pulled when they are read again.
        inputs: Further inputs in order; then the end.
        takes: Seconds an effect takes; 1 for model and tool calls by default, a wait takes its seconds.
    """

    def __init__(
        self,
        replies: Iterable[Turn] = (),
        *,
        tools: Callable[[CallTool], ToolAnswer] | Mapping[str, list[ToolAnswer]] | None = None,
        approvals: Mapping[str, str] | None = None,
        admit: Callable[[Admit], Admission | Failure] | None = None,
        pulled: tuple[str, ...] = (),
        inputs: Iterable[InputReply | Failure] = (),
        takes: Callable[[SingleEffect], float] | None = None,
    ) -> None:
        self._replies = list(replies)
        self._tools = tools
        self._approvals = approvals or {}
        self._admit = admit
        self._pulled = pulled
        self._inputs = list(inputs)
        self._takes = takes or _default_seconds
        self._tool_calls: dict[str, int] = {}
        self.now = 0.0
        self.seen: list[SingleEffect] = []

    def perform(self, effect: SingleEffect) -> AnyOutcome:
        """Return the scripted outcome of an effect."""
        self.seen.append(effect)
        answer = self._answer(effect)
        seconds = self._takes(effect)
        self.now += seconds
        if isinstance(answer, Failure):
            return Outcome(None, answer, self.now, seconds)
        return Outcome(answer, None, self.now, seconds)

    def run(self, of: Header | None = None) -> Finished:
        """Drive a run from begin to end against this playbook."""
        setup = setup_of(of or header())
        return drive(run_flow(setup), self, setup.header)

    @property
    def ends(self) -> list[End]:
        """The ends that were performed."""
        return [e for e in self.seen if isinstance(e, End)]

    @property
    def started(self) -> list[str]:
        """Names of the tool calls that started, in order."""
        return [e.name for e in self.seen if isinstance(e, CallTool)]

    @property
    def refused(self) -> list[tuple[str, str]]:
        """Names and statuses of the calls that guards refused, in order."""
        return [(e.name, e.status) for e in self.seen if isinstance(e, Refuse)]

    @property
    def waits(self) -> list[float]:
        """Seconds of the waits, in order."""
        return [e.seconds for e in self.seen if isinstance(e, Wait)]

    @property
    def requests(self) -> list[CallModel]:
        """The model calls, in order."""
        return [e for e in self.seen if isinstance(e, CallModel)]

    def kinds(self) -> list[str]:
        """Return the names of the effects' classes, in order."""
        return [type(e).__name__ for e in self.seen]

    def last_told(self) -> list[Message]:
        """Return what the last model request appended after the reply before it."""
        messages = self.requests[-1].request.messages
        replies = [i for i, m in enumerate(messages) if m.role == "assistant"]
        return list(messages[replies[-1] + 1 :])

    def _answer(self, effect: SingleEffect) -> Any:
        match effect:
            case CallModel():
                turn = self._replies.pop(0) if self._replies else "done"
                return complete_turn(turn, effect.request, provider="scripted")
            case CallTool():
                return self._tool_answer(effect)
            case Admit():
                return Admission() if self._admit is None else self._admit(effect)
            case AskApproval():
                return ApprovalAnswer(decision=self._approvals.get(effect.name, "granted"), by="ann")  # type: ignore[arg-type]  # tests write plain text
            case ReadControls():
                return Controls(pulled=self._pulled)
            case Input():
                return self._inputs.pop(0) if self._inputs else InputReply(end="finish")
            case _:
                return None

    def _tool_answer(self, effect: CallTool) -> ToolResult | Failure:
        answer: ToolAnswer = f"{effect.name} ok"
        if callable(self._tools):
            answer = self._tools(effect)
        elif self._tools is not None and effect.name in self._tools:
            answers = self._tools[effect.name]
            count = self._tool_calls[effect.name] = self._tool_calls.get(effect.name, 0) + 1
            answer = answers[min(count, len(answers)) - 1]
        return ToolResult(content=answer) if isinstance(answer, str) else answer


def failed(kind: str = "error", *, retryable: bool = False, **fields: Any) -> Failure:
    """Return a failure of an effect."""
    return Failure(kind=FailureKind(kind), message=f"scripted {kind}", retryable=retryable, **fields)


def asks(*names: str, **arguments: Any) -> ModelReply:
    """Return a reply that asks for tools, all with the same arguments."""
    return asks_each(*((name, arguments) for name in names))


def asks_each(*calls: tuple[str, Any]) -> ModelReply:
    """Return a reply that asks for tools, each with its arguments."""
    parts = tuple(ToolCallPart(id="", name=name, arguments=arguments) for name, arguments in calls)
    return ModelReply(parts=parts, finish_reason="tool_call")


def with_budget(**fields: Any) -> Header:
    """Return a header under a budget."""
    from runtime.core.policy import Budget

    return header(budget=Budget(**fields))


def changed(value: Any, **fields: Any) -> Any:
    """Return a struct with other fields."""
    return msgspec.structs.replace(value, **fields)


def _default_seconds(effect: SingleEffect) -> float:
    if isinstance(effect, Wait):
        return effect.seconds
    return 1.0 if isinstance(effect, CallModel | CallTool) else 0.0
