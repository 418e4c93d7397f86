"""Runs in a few words: the fold makes their traces from effects and outcomes, as it does for live runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    ApprovalAnswer,
    AskApproval,
    CallModel,
    CallTool,
    End,
    Limits,
    Outcome,
    Refuse,
    ToolResult,
)
from runtime.core.fold import Pair, fold_trace
from runtime.core.lanes import lane
from runtime.core.messages import ModelReply, ModelRequest, TextPart, ToolCallPart, ToolSchema
from runtime.core.money import Usage
from runtime.core.run import Header, ToolDecl
from runtime.core.trace import Trace

Turn = list[tuple[Any, ...]]
MakeTrace = Callable[..., Trace]
USAGE = Usage(input_tokens=100, output_tokens=10)
TOOLS = ("kb.search", "ticket.create", "shell.exec", "mail.send")


def make_header(**changes: Any) -> Header:
    fields: dict[str, Any] = {
        "request_id": "req_1",
        "run_id": "run_1",
        "tenant": "acme",
        "environment": "test",
        "agent": "support",
        "source": "golden",
        "tools": tuple(
            ToolDecl(schema=ToolSchema(name=name), write=name == "ticket.create") for name in TOOLS
        ),
    }
    return Header(**{**fields, **changes})


def _call(step: int, index: int, entry: tuple[Any, ...]) -> list[Pair]:
    """An entry is (name, arguments) or (name, arguments, options)."""
    name, arguments, options = entry if len(entry) == 3 else (*entry, {})
    args_hash = fingerprint(arguments)
    call_id, write = f"id{step}.{index}", name == "ticket.create"
    status = options.get("status", "ok")
    if status in {"denied", "unknown_tool", "invalid_arguments", "not_started"}:
        where = lane(step, "tool", index=index)
        refuse = Refuse(lane=where, call_id=call_id, name=name, arguments=arguments, args_hash=args_hash,
                        status=status, message=f"{name} is {status}", rule="policy", write=write)  # fmt: skip
        return [(refuse, Outcome(at=float(step)))]
    pairs: list[Pair] = []
    if "approval" in options:
        asked = AskApproval(lane=lane(step, "approval", index=index), call_id=call_id, name=name, arguments=arguments,
                            args_hash=args_hash, policy_hash="", timeout_s=60.0)  # fmt: skip
        pairs.append((asked, Outcome(ApprovalAnswer(decision=options["approval"]), at=float(step))))
    key = options.get("key", f"idem_{step}.{index}" if write else None)
    for attempt in range(1, options.get("attempts", 1) + 1):
        effect = CallTool(lane=lane(step, "tool", index=index, attempt=attempt), call_id=call_id, name=name,
                          arguments=arguments, args_hash=args_hash, write=write,
                          limits=Limits(idempotency_key=key))  # fmt: skip
        result = ToolResult(content=options.get("result", "done"), status=status)
        pairs.append((effect, Outcome(result, at=step + 0.5, duration_s=0.1)))
    return pairs


def make_trace_of(
    *turns: Turn,
    output: str | None = "Your refund is on the way.",
    stop: str = "finish",
    cost: int | None = 1_000_000,
    usage: Usage | None = USAGE,
    header: Header | None = None,
) -> Trace:
    """Return the trace of a run that asks for these calls turn by turn and then answers with `output`."""
    pairs: list[Pair] = []
    for step, turn in enumerate(turns):
        parts = tuple(ToolCallPart(id=f"id{step}.{i}", name=e[0], arguments=e[1]) for i, e in enumerate(turn))
        pairs.append(_model(step, parts, cost, usage))
        for index, entry in enumerate(turn):
            pairs += _call(step, index, entry)
    if output is not None:
        pairs.append(_model(len(turns), (TextPart(output),), cost, usage))
    return fold_trace(header or make_header(), pairs, End(stop_reason=stop, output=output))


def _model(step: int, parts: Any, cost: int | None, usage: Usage | None) -> Pair:
    request = ModelRequest(model="gpt-4o", messages=())
    reply = ModelReply(parts=parts, finish_reason="stop", usage=usage, cost_nanousd=cost)
    return CallModel(lane=lane(step, "model"), request=request), Outcome(
        reply, at=float(step), duration_s=0.2
    )


@pytest.fixture
def make_trace() -> MakeTrace:
    return make_trace_of


@pytest.fixture
def header() -> Callable[..., Header]:
    return make_header
