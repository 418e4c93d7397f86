"""`goldrun show`: print a run as a timeline of steps, calls, denials and the stop reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import orjson
import typer

from harness.cli.options import Json
from harness.cli.output import emit_json, say
from harness.cli.targets import load_traces, resolve_target
from harness.text import safe_text
from runtime.core.money import usd_text
from runtime.core.trace import ModelStep, ToolStep, Trace, trace_json
from runtime.errors import ExitCode

WIDTH = 100


def show(
    target: Annotated[
        str, typer.Argument(help="A cassette, a trace, a folder, FILE#REQUEST_ID, or a request id.")
    ],
    root: Annotated[str, typer.Option(help="Folder or object store to look a request id up in.")] = ".",
    json: Json = False,
) -> int:
    """Print a run as a readable timeline."""
    traces = load_traces(resolve_target(target, root))
    if json:
        emit_json(trace_json(traces[0]) if len(traces) == 1 else {"traces": [trace_json(t) for t in traces]})
        return ExitCode.OK
    for i, trace in enumerate(traces):
        if i:
            say()
        say(timeline(trace))
    return ExitCode.OK


def timeline(trace: Trace) -> str:
    """Return the timeline of a run as text without terminal control codes."""
    return "\n".join(_lines(trace))


def _lines(trace: Trace) -> Iterator[str]:
    yield f"run {safe_text(trace.request_id, 80)}  agent {safe_text(trace.agent, 40)}"
    facts = [
        f"tenant {trace.tenant}",
        f"environment {trace.environment}",
        f"task {trace.task}" if trace.task else "",
        f"deploy {trace.deploy}" if trace.deploy else "",
        f"started {trace.started_at}" if trace.started_at else "",
    ]
    yield "  " + safe_text("  ".join(f for f in facts if f), 160)
    for step in trace.steps:
        if step.model is not None:
            yield _model(step.index, step.model)
        for call in step.tool_calls:
            yield from _call(call)
    for denial in trace.denials:
        yield f"  denied at step {denial.step}: {safe_text(denial.tool or '', 40)} by {denial.rule}"
    for approval in trace.approvals:
        yield f"  approval of {safe_text(approval.tool, 40)}: {approval.decision} by {approval.by or 'nobody'}"
    yield f"stop: {safe_text(trace.stop_reason, 80)}"
    if trace.output:
        yield f"  output: {safe_text(trace.output, WIDTH)}"
    totals = trace.totals
    cost = "unknown" if totals.cost_nanousd is None else f"${usd_text(totals.cost_nanousd)}"
    tokens = "unknown" if totals.total_tokens is None else str(totals.total_tokens)
    yield (
        f"  {totals.steps} steps, {totals.tool_calls} tool calls ({totals.tool_executions} executions), "
        f"{tokens} tokens, cost {cost}, {_seconds(totals.duration_s)}"
    )


def _model(index: int, model: ModelStep) -> str:
    words = model.error or model.text or (f"calls {', '.join(model.tool_names)}" if model.tool_names else "")
    tries = f" x{model.attempts}" if model.attempts > 1 else ""
    name = safe_text(model.request_model or "model", 40)
    return f"{_at(model.started_s)} {index:>3} {name}{tries}: {safe_text(words, WIDTH)}  ({_seconds(model.duration_s)})"


def _call(call: ToolStep) -> Iterator[str]:
    mark = "!" if call.write else " "
    tries = f" x{call.attempts}" if call.attempts > 1 else ""
    arguments = safe_text(_json(call.arguments), WIDTH)
    yield f"{_at(call.started_s)}    {mark} {safe_text(call.name, 40)}{tries} {arguments}"
    shown = call.error if call.status != "ok" else call.result
    yield f"              -> {call.status}: {safe_text(shown or '', WIDTH)}  ({_seconds(call.duration_s)})"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _at(seconds: float | None) -> str:
    return "       -" if seconds is None else f"{seconds:7.2f}s"


def _seconds(seconds: float | None) -> str:
    return "time unknown" if seconds is None else f"{seconds:.3f} s"
