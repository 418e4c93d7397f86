"""The trace (`goldrun.trace/1`): what happened in a run, as golden tasks, diffs and reports read it.

The JSON form is `trace_json(trace)`, read back by `parse_trace`. Money is integer nano-dollars inside and a
decimal string outside; a missing price or usage is null, never 0.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from runtime.core.effects import CallStatus
from runtime.core.money import NANOS_PER_USD, usd_text
from runtime.core.run import Totals

SCHEMA = "goldrun.trace/1"


class ModelStep(msgspec.Struct, frozen=True, kw_only=True):
    """One model decision: its last attempt's reply, with the usage of all attempts.

    Attributes:
        lane: Lane of the last attempt.
        text: Text of the reply.
        tool_names: Names of the calls asked for, in order.
        cost_nanousd: All attempts together; `None` if one is unknown.
        duration_s: All attempts together.
        attempts: Attempts made.
        error: Message of the last failure, if the decision failed.
        hash: Fingerprint without times, ids and money.
    """

    lane: str
    provider: str | None = None
    request_model: str
    response_model: str | None = None
    finish_reason: str | None = None
    text: str = ""
    reasoning: str | None = None
    tool_names: tuple[str, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_nanousd: int | None = None
    started_s: float | None = None
    duration_s: float | None = None
    attempts: int = 1
    error: str | None = None
    key: str | None = None
    hash: str = ""


class ToolStep(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call the model asked for, however it ended.

    Attributes:
        id: `call#n`, by first appearance in the run.
        lane: Lane of the last attempt.
        arguments: An object, or the raw text where the model's JSON was malformed.
        status: What became of it.
        result: What the model saw, if it saw anything.
        error: The error's text, if it was one.
        attempts: Attempts that started; 0 for a call no guard let through.
        duration_s: All attempts together.
        cost_nanousd: Price of all attempts; `None` for a tool without a price.
        hash: Fingerprint without times, ids and keys.
    """

    id: str
    lane: str
    name: str
    arguments: Any
    status: CallStatus
    result: str | None = None
    error: str | None = None
    write: bool = False
    attempts: int = 0
    started_s: float | None = None
    duration_s: float | None = None
    cost_nanousd: int | None = None
    args_hash: str = ""
    idempotency_key: str | None = None
    key: str | None = None
    hash: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One model decision with the tool calls it causes.

    Attributes:
        index: Position in the run.
        model: The decision; `None` before the first reply.
        tool_calls: Calls the model asked for.
        program_calls: Calls that a recorded agent's program made after it, which no reply asked for; the totals
            leave them out. Left out of the document where there are none.
    """

    index: int
    model: ModelStep | None
    tool_calls: tuple[ToolStep, ...] = ()
    program_calls: tuple[ToolStep, ...] = ()


class DenialEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a guard refused."""

    step: int
    lane: str
    tool: str | None
    rule: str
    message: str


class ApprovalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An approval that was asked for, and its answer."""

    step: int
    lane: str
    tool: str
    decision: str
    by: str | None = None
    reason: str | None = None
    args_hash: str = ""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one run."""

    request_id: str
    run_id: str
    parent: str | None = None
    tenant: str
    environment: str
    agent: str
    agent_version: str | None = None
    deploy: str | None = None
    source: str = "prod"
    suite: str | None = None
    task: str | None = None
    repeat: int = 0
    labels: dict[str, Any] = {}
    started_at: str | None = None
    stop_reason: str
    output: str | None = None
    steps: tuple[Step, ...] = ()
    denials: tuple[DenialEntry, ...] = ()
    approvals: tuple[ApprovalEntry, ...] = ()
    totals: Totals = Totals()
    prompt_hash: str | None = None
    tools_hash: str | None = None
    policy_hash: str | None = None
    price_table: str | None = None
    tools_known: tuple[str, ...] | None = None
    trace_hash: str = ""

    @property
    def tool_calls(self) -> tuple[ToolStep, ...]:
        """All tool calls in order."""
        return tuple(call for step in self.steps for call in step.tool_calls)

    @property
    def program_calls(self) -> tuple[ToolStep, ...]:
        """All calls that no reply asked for, in order."""
        return tuple(call for step in self.steps for call in step.program_calls)

    @property
    def model_calls(self) -> tuple[ModelStep, ...]:
        """All model decisions in order."""
        return tuple(step.model for step in self.steps if step.model is not None)


def trace_json(trace: Trace) -> dict[str, Any]:
    """Return the `goldrun.trace/1` document of a trace."""
    plain: dict[str, Any] = msgspec.to_builtins(trace)
    _money_out(plain["totals"])
    for step in plain["steps"]:
        if step["model"] is not None:
            _money_out(step["model"])
        for call in (*step["tool_calls"], *step["program_calls"]):
            _money_out(call)
        if not step["program_calls"]:
            del step["program_calls"]
    return {"schema": SCHEMA, **plain}


def parse_trace(document: Any) -> Trace:
    """Return the trace of a `goldrun.trace/1` document.

    Raises:
        ValueError: If the document is not of this schema or lacks a field.
    """
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise ValueError(f"not a {SCHEMA} document: schema is {found!r}")
    plain = {**document, "totals": _money_in(document.get("totals", {})), "steps": []}
    for step in document.get("steps", []):
        model = step.get("model")
        calls = [_money_in(call) for call in step.get("tool_calls", [])]
        plain["steps"].append(
            {
                **step,
                "model": None if model is None else _money_in(model),
                "tool_calls": calls,
                "program_calls": [_money_in(call) for call in step.get("program_calls", [])],
            }
        )
    try:
        return msgspec.convert(plain, Trace)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def _money_out(fields: dict[str, Any]) -> None:
    nanos = fields.pop("cost_nanousd")
    fields["cost_usd"] = usd_text(nanos)


def _money_in(fields: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in fields.items() if name != "cost_usd"}
    text = fields.get("cost_usd")
    plain["cost_nanousd"] = None if text is None else int(Decimal(text) * NANOS_PER_USD)
    return plain
