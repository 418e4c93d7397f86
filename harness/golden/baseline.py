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
from typing import Any

import msgspec

from harness.errors import TaskError
from harness.golden.task import SUFFIX as TASK_SUFFIX
from harness.golden.task import GoldenTask
from runtime.core.canonical import canonical_bytes
from runtime.core.ids import run_id
from runtime.core.money import usd_text
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
        return _noted(json.loads(path.read_bytes()))
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
    """Return the first difference from a baseline; `None` if there is none that counts."""
    return next(baseline_changes(baseline, trace), None)


def baseline_changes(baseline: Trace, trace: Trace) -> Iterator[BaselineChange]:
    """Yield the first difference in what the run did, then each total that differs.

    Contents are compared, not stored hashes: what a reviewer reads in the file is what is compared. Times, ids and keys
    are not. Tokens and cost may differ by a tenth.
    """
    lacks = missing_fields(baseline)
    first = next(_differences(baseline, trace, lacks), None)
    if first is not None:
        yield first
    yield from _total_differences(baseline, trace, lacks)


def missing_fields(baseline: Trace) -> frozenset[str]:
    """Return the fields that a stored baseline lacks, and that are therefore not compared."""
    return frozenset(baseline.labels.get(_LACKS, ()))


def _noted(plain: Any) -> Trace:
    """Return the trace of a document, with the compared fields that it lacks among its labels."""
    trace = parse_trace(plain)
    models = [s["model"] for s in plain["steps"] if s.get("model")]
    calls = [call for s in plain["steps"] for call in s.get("tool_calls", ())]
    lacks = {f"model.{name}" for name in _MODEL for m in models if name not in m}
    lacks |= {f"call.{name}" for name in _CALL for c in calls if name not in c}
    lacks |= {name for name in ("approvals", "denials") if name not in plain}
    lacks |= {name for name in _TOTALS if _STORED.get(name, name) not in plain.get("totals", {})}
    if not lacks:
        return trace
    return msgspec.structs.replace(trace, labels={**trace.labels, _LACKS: sorted(lacks)})


def _differences(a: Trace, b: Trace, lacks: frozenset[str]) -> Iterator[BaselineChange]:
    for position in range(max(len(a.steps), len(b.steps))):
        old = a.steps[position] if position < len(a.steps) else None
        new = b.steps[position] if position < len(b.steps) else None
        yield from _step_differences(old, new, lacks)
    if "denials" not in lacks:
        refused = [[f"{d.tool or 'a call'} by {d.rule} at step {d.step}" for d in t.denials] for t in (a, b)]
        yield from _lists_differ("denials", refused[0], refused[1])
    if "approvals" not in lacks:
        answers = [[f"{e.tool} {e.decision}" for e in t.approvals] for t in (a, b)]
        yield from _lists_differ("approvals", answers[0], answers[1])
    if a.stop_reason != b.stop_reason:
        yield BaselineChange(place="stop reason", baseline=a.stop_reason, actual=b.stop_reason)
    if a.output != b.output:
        yield BaselineChange(place="output", baseline=_short(a.output), actual=_short(b.output))


def _lists_differ(place: str, old: list[str], new: list[str]) -> Iterator[BaselineChange]:
    if old != new:
        yield BaselineChange(
            place=place, baseline=", ".join(old) or f"no {place}", actual=", ".join(new) or f"no {place}"
        )


def _total_differences(a: Trace, b: Trace, lacks: frozenset[str]) -> Iterator[BaselineChange]:
    for name, ratio in _TOTALS.items():
        before, now = getattr(a.totals, name), getattr(b.totals, name)
        if name in lacks or before is None or before == now:
            continue
        if now is not None and ratio is not None and before / ratio <= now <= before * ratio:
            continue
        words = usd_text if name == "cost_nanousd" else str
        times = f", {now / before:.3g} times" if now is not None and before else ""
        yield BaselineChange(
            place=_STORED.get(name, name),
            baseline=str(words(before)),
            actual="unknown" if now is None else f"{words(now)}{times}",
        )


def _step_differences(old: Step | None, new: Step | None, lacks: frozenset[str]) -> Iterator[BaselineChange]:
    some = old or new
    assert some is not None
    index = some.index
    old_model, new_model = (None if s is None else s.model for s in (old, new))
    if _of_model(old_model, lacks) != _of_model(new_model, lacks):
        yield BaselineChange(
            place=f"step {index}, model", baseline=_model(old_model), actual=_model(new_model), step=index
        )
    for what, field in (("call", "tool_calls"), ("program call", "program_calls")):
        was, now = (() if s is None else getattr(s, field) for s in (old, new))
        for number in range(max(len(was), len(now))):
            left = was[number] if number < len(was) else None
            right = now[number] if number < len(now) else None
            if _of_call(left, lacks) != _of_call(right, lacks):
                place = f"step {index}, {what} {number + 1}"
                yield BaselineChange(place=place, baseline=_call(left), actual=_call(right), step=index)


_LACKS = "baseline_lacks"
_MODEL = ("request_model", "finish_reason", "text", "tool_names", "attempts")
_CALL = ("name", "arguments", "status", "result", "write", "attempts")
_TOTALS: dict[str, float | None] = {
    "tool_executions": None,
    "retries": None,
    "total_tokens": 1.1,
    "cost_nanousd": 1.1,
}
"""Totals that are compared, and the ratio within which they are equal; `None` for exact counts."""
_STORED = {"cost_nanousd": "cost_usd"}


def _of_model(model: ModelStep | None, lacks: frozenset[str]) -> list[Any] | None:
    """Return what of a decision is compared; of a failure that there was one, because its words may hold an address."""
    if model is None:
        return None
    return [model.error is None, *(getattr(model, name) for name in _MODEL if f"model.{name}" not in lacks)]


def _of_call(call: Any, lacks: frozenset[str]) -> bytes | None:
    if call is None:
        return None
    known = [name for name in _CALL if hasattr(call, name) and f"call.{name}" not in lacks]
    return canonical_bytes([getattr(call, name) for name in known])


def _model(model: ModelStep | None) -> str:
    if model is None:
        return "no such step"
    asks = f", asks for {', '.join(model.tool_names)}" if model.tool_names else ""
    tries = "" if model.attempts == 1 else f" in {model.attempts} attempts"
    return (
        f"{model.request_model} {model.finish_reason or model.error or ''} {_short(model.text)}{asks}{tries}"
    )


def _call(call: Any) -> str:
    if call is None:
        return "no such call"
    marks = "write " if getattr(call, "write", False) else ""
    attempts = getattr(call, "attempts", 1)
    tries = "" if attempts == 1 else f" in {attempts} attempts"
    return f"{marks}{call.name}({_short(call.arguments)}) {call.status}{tries} -> {_short(call.result)}"


def aligned(baseline: Trace, trace: Trace) -> str:
    """Return the calls of both runs side by side, as `goldrun diff` shows them, at most one screen."""
    from harness.diff import diff_traces
    from harness.diff.render import render_text

    lines = render_text(diff_traces(baseline, trace), width=100).splitlines()
    more = len(lines) - _SHOWN_LINES
    return "\n".join([*lines[:_SHOWN_LINES], *([f"... {more} more lines"] if more > 0 else [])])


_SHOWN_LINES = 30


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
