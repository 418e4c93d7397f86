"""Convert traces to rows of the history.

A row holds facts only: an unknown price or usage stays null.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from harness.reports import segments
from runtime.core import ids
from runtime.core.canonical import digest
from runtime.core.stop import parse_stop
from runtime.core.trace import ModelStep, ToolStep, Trace
from runtime.errors import DataError
from runtime.journal.recording import Recording

Row = tuple[object, ...]
N = TypeVar("N", int, float)

CONTENT: tuple[str, ...] = (
    "trace_hash",
    "stop_reason",
    "passed",
    "tool_calls",
    "tool_executions",
    "duration_s",
    "total_tokens",
)
CONTENT += ("cost_nanousd",)
"""Two rows of one request are the same execution if these columns are equal."""

_FAILED = ("error", "timeout", "in_doubt")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToIngest:
    """A run to ingest, with facts that its trace does not hold.

    Attributes:
        trace: The run.
        recording: Target of its recording, as `goldrun show` takes it.
        cassette_hash: Hash chain over the recording, if the file has one.
        message: First user message, for the stratum.
        calls: Billed input tokens of each prompt segment, by the model call's lane.
        segments: Name, billed input tokens and cost of each segment over the run.
    """

    trace: Trace
    recording: str | None = None
    cassette_hash: str | None = None
    message: str | None = None
    calls: Mapping[str, dict[str, int]] = field(default_factory=dict)
    segments: tuple[tuple[str, int | None, int | None], ...] = ()


def recorded_run(recording: Recording, locator: str | None = None) -> RunToIngest:
    """Return a recording as a run to ingest."""
    trace = recording.trace()
    billed = {call.lane: call.input_tokens for call in trace.model_calls}
    calls = {}
    for lane, sizes in segments.prompt_bytes(recording).items():
        parts = segments.scaled(sizes, billed.get(lane))
        if parts is not None:
            calls[lane] = parts
    return RunToIngest(
        trace=trace,
        recording=locator,
        cassette_hash=recording.root,
        message=segments.first_user_text(recording),
        calls=calls,
        segments=tuple(segments.run_segments(trace, calls, recording.header.rates)),
    )


def execution_id(trace: Trace, deploy: str) -> str:
    """Return the run id of a trace under a deploy label.

    A run id depends on request, deploy, source and repeat. So a recording that is ingested under two labels is two
    runs, and under one label it is one run, however often it is ingested.
    """
    if trace.deploy == deploy:
        return trace.run_id
    own = ids.run_id(trace.request_id, deploy=trace.deploy, source=trace.source, repeat=trace.repeat)
    if trace.run_id == own:
        return ids.run_id(trace.request_id, deploy=deploy, source=trace.source, repeat=trace.repeat)
    return "run_" + digest(f"{trace.run_id}\n{deploy}".encode())[:24]


def later_execution(run_id: str, execution: int) -> str:
    """Return the run id of a request that ran again under its label with other content."""
    return run_id if execution == 0 else "run_" + digest(f"{run_id}\n{execution}".encode())[:24]


def content_of(trace: Trace) -> tuple[object, ...]:
    """Return the values of `CONTENT` for a run."""
    totals = trace.totals
    return (
        *(trace.trace_hash or None, trace.stop_reason, _passed(trace), totals.tool_calls),
        *(totals.tool_executions, totals.duration_s, totals.total_tokens, totals.cost_nanousd),
    )


def run_row(
    run: RunToIngest,
    *,
    run_id: str,
    deploy: str,
    git_sha: str | None,
    execution: int,
    stratum: str,
) -> Row:
    """Return the row of a run in the order of `schema.column_names("runs")`.

    Raises:
        DataError: If the stop reason or the start time cannot be read.
    """
    trace = run.trace
    totals = trace.totals
    return (
        *(run_id, trace.request_id, trace.source, deploy, git_sha, trace.environment, trace.tenant),
        *(trace.agent, trace.agent_version, trace.suite, trace.task, trace.repeat, model_of(trace)),
        *(trace.prompt_hash, trace.tools_hash, trace.policy_hash, run.cassette_hash, _started_at(trace)),
        *(totals.duration_s, totals.model_s, totals.tool_s, totals.steps, totals.model_calls),
        *(totals.tool_calls, totals.retries, totals.denials, totals.approvals, totals.errors),
        *(totals.loops, trace.stop_reason, _stop_class(trace), _passed(trace)),
        *(totals.input_tokens, totals.output_tokens, totals.cache_read_tokens, totals.cache_write_tokens),
        *(totals.reasoning_tokens, totals.total_tokens, totals.cost_nanousd, trace.price_table),
        *(trace.trace_hash or None, totals.tool_executions, totals.in_doubt, trace.parent),
        *(run.recording, execution, _failed_rules(trace), _labels(trace), stratum),
    )


def call_rows(run: RunToIngest, *, run_id: str) -> Iterator[Row]:
    """Yield the rows of a run's calls in the order of `schema.column_names("calls")`.

    A model decision comes before the tool calls it causes; `attempt` is the number of attempts made.
    """
    seq = 0
    for step in run.trace.steps:
        model = None
        if step.model is not None:
            model = step.model.response_model or step.model.request_model
            parts = run.calls.get(step.model.lane)
            yield _model_row(step.model, run_id, seq, step.index, model, parts)
            seq += 1
        for call in step.tool_calls:
            yield _tool_row(call, run_id, seq, step.index, model)
            seq += 1


def tool_rows(trace: Trace, *, run_id: str) -> Iterator[Row]:
    """Yield the rows of the table `tools`: the use of each tool in the run."""
    for (name, write), calls in sorted(_by_tool(trace).items()):
        yield (
            *(run_id, name, write, len(calls), sum(c.attempts for c in calls)),
            *(sum(c.status in _FAILED for c in calls), sum(max(c.attempts - 1, 0) for c in calls)),
            *(_total([c.duration_s for c in calls]), _total([c.cost_nanousd for c in calls])),
        )


def model_rows(trace: Trace, *, run_id: str) -> Iterator[Row]:
    """Yield the rows of the table `models`: the use of each model in the run."""
    groups: dict[str, list[ModelStep]] = {}
    for call in trace.model_calls:
        groups.setdefault(call.response_model or call.request_model, []).append(call)
    for name, calls in sorted(groups.items()):
        yield (
            *(run_id, name, len(calls)),
            *(_sum([c.input_tokens for c in calls]), _sum([c.output_tokens for c in calls])),
            *(_total([c.cache_read_tokens for c in calls]), _total([c.cache_write_tokens for c in calls])),
            *(_total([c.reasoning_tokens for c in calls]), _sum([c.cost_nanousd for c in calls])),
        )


def segment_rows(run: RunToIngest, *, run_id: str) -> Iterator[Row]:
    """Yield the rows of the table `segments`: tokens and cost of each part of the run's prompts."""
    for name, tokens, cost in run.segments:
        yield (run_id, name, tokens, cost)


def model_of(trace: Trace) -> str | None:
    """Return the model that made most of a run's decisions, or the first of several; `None` without decisions."""
    names = Counter(m.response_model or m.request_model for m in trace.model_calls)
    return names.most_common(1)[0][0] if names else None


def _model_row(
    model: ModelStep, run_id: str, seq: int, step: int, name: str | None, parts: dict[str, int] | None
) -> Row:
    failed = model.error is not None
    return (
        *(run_id, seq, step, model.lane, "model", model.request_model, "error" if failed else "ok"),
        *(model.attempts, False, model.key, None, digest(model.text.encode("utf-8", "surrogatepass"))),
        *(None, name, model.started_s, model.duration_s, model.input_tokens, model.output_tokens),
        *(model.cache_read_tokens, model.cache_write_tokens, model.reasoning_tokens, model.cost_nanousd),
        *("error" if failed else None, model.hash or None),
        None if parts is None else sorted(parts.items()),
    )


def _tool_row(call: ToolStep, run_id: str, seq: int, step: int, model: str | None) -> Row:
    seen = None if call.result is None else digest(call.result.encode("utf-8", "surrogatepass"))
    failure = None if call.status in {"ok", "cached"} else call.status
    return (
        *(run_id, seq, step, call.lane, "tool", call.name, call.status, call.attempts, call.write, call.key),
        *(call.args_hash or None, seen, call.idempotency_key, model, call.started_s, call.duration_s),
        *(None, None, None, None, None, None, failure, call.hash or None, None),
    )


def _stop_class(trace: Trace) -> str:
    try:
        return parse_stop(trace.stop_reason).stop_class.value
    except ValueError as error:
        raise DataError(str(error), where=f"run {trace.run_id}") from error


def _started_at(trace: Trace) -> datetime | None:
    # In imported runs, only a label says when they were evaluated.
    stated = trace.started_at or trace.labels.get("evaluation_timestamp")
    if not isinstance(stated, str):
        return None
    try:
        moment = datetime.fromisoformat(stated)
    except ValueError as error:
        if trace.started_at is None:
            return None
        raise DataError(
            f"started_at {trace.started_at!r} is no ISO 8601 time", where=f"run {trace.run_id}"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _passed(trace: Trace) -> bool | None:
    passed = trace.labels.get("passed")
    return passed if isinstance(passed, bool) else None


def _failed_rules(trace: Trace) -> list[str] | None:
    rules = trace.labels.get("failed_rules")
    return [str(rule) for rule in rules] if isinstance(rules, list | tuple) else None


def _labels(trace: Trace) -> list[tuple[str, str]]:
    """Return a run's labels as text; other values are written as JSON."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str))
        for name, value in sorted(trace.labels.items())
    ]


def _by_tool(trace: Trace) -> dict[tuple[str, bool], list[ToolStep]]:
    groups: dict[tuple[str, bool], list[ToolStep]] = {}
    for call in trace.tool_calls:
        groups.setdefault((call.name, call.write), []).append(call)
    return groups


def _sum(values: list[N | None]) -> N | None:
    """Return a sum, which is unknown if any value is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None  # pyright: ignore[reportReturnType]  # 0 is of either type


def _total(values: list[N | None]) -> N | None:
    """Return the sum of the known values, which is unknown only if all are."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None  # pyright: ignore[reportReturnType]  # 0 is of either type
