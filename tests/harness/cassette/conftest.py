"""A run that uses every kind of record, made without running anything."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.redaction.redactor import Redactor
from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    Admission,
    Admit,
    AnyOutcome,
    ApprovalAnswer,
    AskApproval,
    Begin,
    CallModel,
    CallTool,
    Controls,
    End,
    Failure,
    FailureKind,
    Input,
    InputReply,
    Limits,
    Outcome,
    ReadControls,
    Refuse,
    SingleEffect,
    ToolResult,
    Wait,
)
from runtime.core.fold import fold_trace
from runtime.core.messages import (
    Message,
    ModelReply,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolSchema,
    system_message,
    tool_message,
    user_message,
)
from runtime.core.money import Rate, Usage
from runtime.core.policy import Budget, Policy
from runtime.core.run import Header, ToolDecl, with_hashes
from runtime.journal.builder import RecordBuilder
from runtime.journal.recording import Recording, recording_of
from runtime.journal.records import Record

PROMPT = "You are a support agent.\nAnswer in one line.\n"
NOTES = "first line\nsecond line\n\nlast line"
KEY = "sk-proj-" + "a1B2" * 8


def example_header(request_id: str = "req_example") -> Header:
    schema = ToolSchema(
        name="ticket.create",
        description="Open a ticket.\nOne at a time.",
        parameters={"type": "object", "properties": {"title": {"type": "string"}}},
    )
    return with_hashes(
        Header(
            request_id=request_id,
            run_id=f"run_{request_id}",
            tenant="acme",
            environment="test",
            agent="support",
            agent_version="1.4.0",
            started_at="2026-11-22T09:00:00Z",
            instructions=PROMPT,
            input=(system_message(PROMPT), user_message("Where is parcel 8812?")),
            models=("gpt-4o", "gpt-4o-mini"),
            provider="openai",
            parameters={"temperature": 0},
            tools=(ToolDecl(schema=schema, write=True, takes_key=True),),
            policy=Policy(allow=("ticket.create",), approve=("ticket.create",)),
            budget=Budget(max_steps=5, max_usd="0.001"),
            rates={"gpt-4o": Rate(input=2_500_000_000, output=10_000_000_000)},
            price_table="2026-11-01",
            seed=7,
            labels={"passed": True, "$lines": ["kept"]},
        )
    )


def example_pairs(header: Header) -> list[tuple[SingleEffect, AnyOutcome]]:
    tools = header.tool_schemas
    arguments = {"title": "lost", "body": NOTES, "odd": {"$lines": ["a"]}, "api_key": KEY}
    args_hash = fingerprint(arguments)
    first = header.input
    reply = ModelReply(
        parts=(
            ReasoningPart("hm", signature="sig"),
            TextPart("Opening a ticket.\nOne moment."),
            ToolCallPart("call_abc", "ticket.create", arguments),
            ToolCallPart("call_def", "kb.search", {"q": 1.0}),
        ),
        finish_reason="tool_call",
        response_id="chatcmpl-1",
        response_model="gpt-4o-2024-08-06",
        usage=Usage(input_tokens=120, output_tokens=30),
        cost_nanousd=600_000,
    )
    asked = Message(role="assistant", parts=reply.parts)
    second = (*first, asked, tool_message("call_abc", NOTES), tool_message("call_def", "not allowed"))
    third = (*second, user_message(f"Use {KEY} for it."))
    limits = Limits(deadline_s=60.0, max_output_tokens=256)
    ask = CallModel(
        lane="0.model/1", request=ModelRequest("gpt-4o", first, tools, {"temperature": 0}), limits=limits
    )
    again = CallModel(lane="0.model/2", request=ask.request, limits=limits)
    create: dict[str, Any] = {
        "call_id": "call_abc",
        "name": "ticket.create",
        "arguments": arguments,
        "args_hash": args_hash,
    }
    search: dict[str, Any] = {"call_id": "call_def", "name": "kb.search", "arguments": {"q": 1.0}}
    slow = Failure(kind=FailureKind.RATE_LIMITED, message="slow\ndown", retryable=True, after_s=1.5)
    late = Failure(kind=FailureKind.TIMEOUT, message="late", retryable=True)
    return [
        (ask, Outcome(failure=slow, at=0.5, duration_s=0.4)),
        (Wait(lane="0.wait/1", seconds=1.5), Outcome(at=2.0, duration_s=1.5)),
        (again, Outcome(reply, at=3.0, duration_s=1.0)),
        (
            Refuse(
                lane="0.tool1/1",
                args_hash=fingerprint({"q": 1.0}),
                status="denied",
                message="not allowed",
                rule="policy",
                **search,
            ),
            Outcome(at=3.0),
        ),
        (
            AskApproval(lane="0.approval0/1", policy_hash="p", timeout_s=300.0, **create),
            Outcome(ApprovalAnswer(decision="granted", by="ann"), at=4.0, duration_s=1.0),
        ),
        (
            ReadControls(lane="0.controls/1", tools=("ticket.create",)),
            Outcome(Controls(pulled=("tool:other",)), at=4.0),
        ),
        (
            Admit(lane="0.admit0/1", subject="tool", name="ticket.create"),
            Outcome(Admission(granted=False, cause="rate"), at=4.0),
        ),
        (
            CallTool(lane="0.tool0/1", write=True, limits=Limits(idempotency_key="idem_1"), **create),
            Outcome(failure=late, at=5.0, duration_s=1.0),
        ),
        (
            CallTool(lane="0.tool0/2", write=True, limits=Limits(idempotency_key="idem_1"), **create),
            Outcome(ToolResult(content=NOTES), at=6.0, duration_s=1.0),
        ),
        (Input(lane="0.input/1"), Outcome(InputReply(messages=(third[-1],)), at=6.1)),
        (
            CallModel(lane="1.model/1", request=ModelRequest("gpt-4o", third, tools, {"temperature": 0})),
            Outcome(ModelReply(parts=(TextPart("Done."),), finish_reason="stop"), at=7.0, duration_s=0.9),
        ),
    ]


def example_records(
    request_id: str = "req_example", *, redact: bool = True, end: bool = True
) -> list[Record]:
    header = example_header(request_id)
    pairs = example_pairs(header)
    builder = RecordBuilder(cleaner=Redactor() if redact else None)
    made = [builder.intent(Begin(header=header))]
    for effect, outcome in pairs:
        made += [builder.intent(effect), builder.outcome(effect, outcome)]
    if end:
        last = End(stop_reason="finish", output="Done.\nBye.")
        totals = fold_trace(header, pairs, last).totals
        made.append(
            builder.outcome(End(stop_reason="finish", output="Done.\nBye.", totals=totals), Outcome(at=7.0))
        )
    return [record for record in made if record is not None]


@pytest.fixture
def make_records() -> Callable[..., list[Record]]:
    return example_records


@pytest.fixture
def recording() -> Recording:
    return recording_of(example_records())
