"""From traces to rows: what of a run the history keeps.

A row holds facts only; a price or usage that is not known stays null.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from runtime.errors import DataError
from runtime.core import ids
from runtime.core.canonical import digest
from runtime.core.stop import parse_stop
from runtime.core.trace import ModelStep, ToolStep, Trace

Row = tuple[object, ...]


def execution_id(trace: Trace, deploy: str) -> str:
    """Return the run id of a trace under a deploy label.

    A run id names request, deploy, source and repeat, so the same recording ingested under two labels is two
    runs, and under one label it is one run however often it comes.
    """
    if trace.deploy == deploy:
        return trace.run_id
    own = ids.run_id(trace.request_id, deploy=trace.deploy, source=trace.source, repeat=trace.repeat)
    if trace.run_id == own:
        return ids.run_id(trace.request_id, deploy=deploy, source=trace.source, repeat=trace.repeat)
    return "run_" + digest(f"{trace.run_id}\n{deploy}".encode())[:24]


def run_row(trace: Trace, *, run_id: str, deploy: str, git_sha: str | None, cassette_hash: str | None) -> Row:
    """Return the row of a run in the order of `schema.column_names("runs")`.

    Raises:
        DataError: If the stop reason or the start time cannot be read.
    """
    totals = trace.totals
    passed = trace.labels.get("passed")
    return (
        *(run_id, trace.request_id, trace.source, deploy, git_sha, trace.environment, trace.tenant),
        *(trace.agent, trace.agent_version, trace.suite, trace.task, trace.repeat, model_of(trace)),
        *(trace.prompt_hash, trace.tools_hash, trace.policy_hash, cassette_hash, _started_at(trace)),
        *(totals.duration_s, totals.model_s, totals.tool_s, totals.steps, totals.model_calls),
        *(totals.tool_calls, totals.retries, totals.denials, totals.approvals, totals.errors),
        *(totals.loops, trace.stop_reason, _stop_class(trace), passed if isinstance(passed, bool) else None),
        *(totals.input_tokens, totals.output_tokens, totals.cache_read_tokens, totals.cache_write_tokens),
        *(totals.reasoning_tokens, totals.total_tokens, totals.cost_nanousd, trace.price_table),
        *(trace.trace_hash or None, totals.tool_executions, totals.in_doubt, trace.parent),
    )


def call_rows(trace: Trace, *, run_id: str) -> Iterator[Row]:
    """Yield the rows of a run's calls in the order of `schema.column_names("calls")`.

    A model decision comes before the tool calls it causes; `attempt` is the number of attempts made.
    """
    seq = 0
    for step in trace.steps:
        model = None
        if step.model is not None:
            model = step.model.response_model or step.model.request_model
            yield _model_row(step.model, run_id, seq, step.index, model)
            seq += 1
        for call in step.tool_calls:
            yield _tool_row(call, run_id, seq, step.index, model)
            seq += 1


def model_of(trace: Trace) -> str | None:
    """Return the model that made most of a run's decisions, the first of equals; `None` if none did."""
    names = Counter(m.response_model or m.request_model for m in trace.model_calls)
    return names.most_common(1)[0][0] if names else None


def _model_row(model: ModelStep, run_id: str, seq: int, step: int, name: str | None) -> Row:
    failed = model.error is not None
    return (
        *(run_id, seq, step, model.lane, "model", model.request_model, "error" if failed else "ok"),
        *(model.attempts, False, model.key, None, digest(model.text.encode("utf-8", "surrogatepass"))),
        *(None, name, model.started_s, model.duration_s, model.input_tokens, model.output_tokens),
        *(model.cache_read_tokens, model.cache_write_tokens, model.reasoning_tokens, model.cost_nanousd),
        *("error" if failed else None, model.hash or None),
    )


def _tool_row(call: ToolStep, run_id: str, seq: int, step: int, model: str | None) -> Row:
    seen = None if call.result is None else digest(call.result.encode("utf-8", "surrogatepass"))
    failure = None if call.status in {"ok", "cached"} else call.status
    return (
        *(run_id, seq, step, call.lane, "tool", call.name, call.status, call.attempts, call.write, call.key),
        *(call.args_hash or None, seen, call.idempotency_key, model, call.started_s, call.duration_s),
        *(None, None, None, None, None, None, failure, call.hash or None),
    )


def _stop_class(trace: Trace) -> str:
    try:
        return parse_stop(trace.stop_reason).stop_class.value
    except ValueError as error:
        raise DataError(str(error), where=f"run {trace.run_id}") from error


def _started_at(trace: Trace) -> datetime | None:
    if trace.started_at is None:
        return None
    try:
        moment = datetime.fromisoformat(trace.started_at)
    except ValueError as error:
        raise DataError(
            f"started_at {trace.started_at!r} is no ISO 8601 time", where=f"run {trace.run_id}"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
