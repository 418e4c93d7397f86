"""The stored baseline of a golden task: an accepted trace as JSON beside the task, written for review.

A baseline holds only what the run did. Times, idempotency keys and the deploy are left out. It is still a
`goldrun.trace/1` document, so `goldrun diff` reads it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.errors import TaskError
from harness.golden.task import SUFFIX as TASK_SUFFIX
from harness.golden.task import GoldenTask
from runtime.core.canonical import fingerprint
from runtime.core.ids import run_id
from runtime.core.trace import ModelStep, Step, ToolStep, Trace, parse_trace, trace_json

SUFFIX = ".trace.json"
_TIMES = ("duration_s", "model_s", "tool_s")


class BaselineChange(msgspec.Struct, frozen=True, kw_only=True):
    """The first difference from a baseline.

    Attributes:
        place: Where in the run the difference is.
        baseline: The baseline's value.
        actual: The run's value.
        step: Index of the step; `None` for the run as a whole.
    """

    place: str
    baseline: str
    actual: str
    step: int | None = None


def baseline_path(task_path: Path) -> Path:
    """Return where the baseline of a task file is stored: `<task>.trace.json` beside it."""
    name = task_path.name
    stem = name.removesuffix(TASK_SUFFIX) if name.endswith(TASK_SUFFIX) else task_path.stem
    return task_path.with_name(stem + SUFFIX)


def read_baseline(task: GoldenTask | None, path: Path) -> Trace:
    """Return a stored baseline; `task` only serves messages.

    Raises:
        TaskError: If it is missing, or not a trace.
    """
    try:
        return parse_trace(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        where = path.as_posix() if task is None else task.where("expect.trace")
        next_step = "look at the run, then accept it with --golden-update=new"
        raise TaskError(f"the baseline {path.name!r} is missing", where=where, next_step=next_step) from error
    except OSError as error:
        what = f"the baseline cannot be read: {error.strerror}"
        raise TaskError(what, where=path.as_posix(), next_step="check its permissions") from error
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        next_step = "restore it from version control, or remove it and accept a new one"
        raise TaskError(
            f"the baseline is damaged: {error}", where=path.as_posix(), next_step=next_step
        ) from error


def write_baseline(path: Path, trace: Trace) -> bool:
    """Store a trace as baseline, atomically, and return whether the file changed.

    Raises:
        TaskError: If it cannot be written.
    """
    data = baseline_bytes(trace)
    try:
        if path.is_file() and path.read_bytes() == data:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
    except OSError as error:
        what = f"the baseline cannot be written: {error.strerror}"
        raise TaskError(
            what, where=path.as_posix(), next_step="check the folder and its permissions"
        ) from error
    return True


def baseline_bytes(trace: Trace) -> bytes:
    """Return the bytes of a baseline file; runs that did the same give equal bytes."""
    return (json.dumps(trace_json(normalised(trace)), indent=2, ensure_ascii=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def normalised(trace: Trace) -> Trace:
    """Return the trace without what differs between two equal runs: times, deploy, idempotency keys."""
    steps = tuple(
        Step(index=s.index, model=_still_model(s.model), tool_calls=tuple(map(_still_call, s.tool_calls)))
        for s in trace.steps
    )
    return msgspec.structs.replace(
        trace,
        run_id=run_id(trace.request_id, deploy=None, source="golden"),
        source="golden",
        deploy=None,
        repeat=0,
        started_at=None,
        steps=steps,
        totals=msgspec.structs.replace(trace.totals, **dict.fromkeys(_TIMES)),
    )


def compare_traces(baseline: Trace, trace: Trace) -> BaselineChange | None:
    """Return the first difference from a baseline; `None` if stop reason and trace hash are equal.

    The hash covers decisions, calls, results, denials, output and stop reason. It ignores times, ids, keys and cost.
    """
    if baseline.trace_hash == trace.trace_hash and baseline.stop_reason == trace.stop_reason:
        return None
    first = next(_differences(baseline, trace), None)
    if first is not None:
        return first
    return BaselineChange(place="trace hash", baseline=baseline.trace_hash, actual=trace.trace_hash)


def _differences(a: Trace, b: Trace) -> Iterator[BaselineChange]:
    for position in range(max(len(a.steps), len(b.steps))):
        old = a.steps[position] if position < len(a.steps) else None
        new = b.steps[position] if position < len(b.steps) else None
        yield from _step_differences(old, new)
    refused = ([(d.step, d.tool, d.rule) for d in t.denials] for t in (a, b))
    old_denials, new_denials = (fingerprint(r) for r in refused)
    if old_denials != new_denials:
        yield BaselineChange(
            place="denials",
            baseline=f"{len(a.denials)} denials",
            actual=f"{len(b.denials)} denials or others",
        )
    if a.stop_reason != b.stop_reason:
        yield BaselineChange(place="stop reason", baseline=a.stop_reason, actual=b.stop_reason)
    if a.output != b.output:
        yield BaselineChange(place="output", baseline=_short(a.output), actual=_short(b.output))


def _step_differences(old: Step | None, new: Step | None) -> Iterator[BaselineChange]:
    some = old or new
    assert some is not None
    index = some.index
    old_model, new_model = (None if s is None else s.model for s in (old, new))
    if _hash(old_model) != _hash(new_model):
        yield BaselineChange(
            place=f"step {index}, model", baseline=_model(old_model), actual=_model(new_model), step=index
        )
    old_calls = () if old is None else old.tool_calls
    new_calls = () if new is None else new.tool_calls
    for number in range(max(len(old_calls), len(new_calls))):
        was = old_calls[number] if number < len(old_calls) else None
        now = new_calls[number] if number < len(new_calls) else None
        if _hash(was) != _hash(now):
            place = f"step {index}, call {number + 1}"
            yield BaselineChange(place=place, baseline=_call(was), actual=_call(now), step=index)


def _hash(part: ModelStep | ToolStep | None) -> str | None:
    return None if part is None else part.hash


def _model(model: ModelStep | None) -> str:
    if model is None:
        return "no such step"
    asks = f", asks for {', '.join(model.tool_names)}" if model.tool_names else ""
    return f"{model.request_model} {model.finish_reason or model.error or ''} {_short(model.text)}{asks}"


def _call(call: ToolStep | None) -> str:
    if call is None:
        return "no such call"
    return f"{call.name}({_short(call.arguments)}) {call.status} -> {_short(call.result)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:96]} ..."


def _still_model(model: ModelStep | None) -> ModelStep | None:
    return None if model is None else msgspec.structs.replace(model, started_s=None, duration_s=None)


def _still_call(call: ToolStep) -> ToolStep:
    return msgspec.structs.replace(call, started_s=None, duration_s=None, idempotency_key=None)


def _replace(path: Path, data: bytes) -> None:
    """Write a temporary file, sync and rename it, so that a reader sees the old file or the new one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
