"""`trace_snapshot`: what a run did as a snapshot of syrupy, and the aligned diff where it did something else.

Rules.
1. A snapshot holds what the run did: decisions, calls, results, tokens, how it ended. It holds no times, ids, money,
   or hashes: those differ between two runs that did the same, or follow from the rest.
2. It is a `goldrun.trace/1` document, which `goldrun diff` takes, in a folder of its own: syrupy's JSON extension would
   take the files for its own, and remove them as unused.
3. It is redacted like a recording: a live run may hold secrets, and a snapshot is committed.
4. Runs are compared as runs, not as text, so a field that a later version adds breaks no stored snapshot.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from syrupy.extensions.json import JSONSnapshotExtension

from harness.diff import CallDiff, TraceDiff, diff_traces
from harness.diff.wording import SIGNS, change_text, counts_text, totals_rows
from harness.golden.baseline import normalised
from harness.redaction.redactor import process_redactor
from harness.text import safe_text
from runtime.core.trace import ModelStep, ToolStep, Trace, parse_trace, trace_json
from runtime.errors import UsageError

_NAME = "snapshot"
"""Stands for the ids of the run."""
_KEPT = frozenset({"arguments", "result", "output", "text"})
"""Fields whose empty value says something, or that are not ours to read."""
_WIDTH = 80
"""Cells of a change in a line."""
_OTHERS = (
    "tenant",
    "environment",
    "agent",
    "agent_version",
    "suite",
    "task",
    "labels",
    "tools_known",
    "denials",
    "approvals",
)
"""Fields of a run that a diff of its calls does not show."""
_ACCEPT = "accept it: pytest --snapshot-update"


class TraceSnapshotExtension(JSONSnapshotExtension):
    """Stores runs as `__traces__/<test file>/<test>.trace.json`, and tells how they differ call by call."""

    file_extension = "trace.json"
    snapshot_dirname: str | Path = "__traces__"

    @classmethod
    def dirname(cls, *, test_location: Any) -> str:
        """Return the folder of a test file's runs; the base class's takes no name of a folder."""
        return str(Path(test_location.filepath).parent / cls.snapshot_dirname / test_location.basename)

    def serialize(self, data: Any, **options: Any) -> Any:
        """Return the text of a run, redacted: a `Trace`, or what has one.

        Raises:
            UsageError: If it is no run.
        """
        document = _pruned(trace_json(still(trace_of(data))))
        return super().serialize(process_redactor(os.environ).value(document), **options)

    def matches(self, *, serialized_data: Any, snapshot_data: Any) -> bool:
        """Return whether a run did what the snapshot says."""
        new, old = _parsed(serialized_data), _parsed(snapshot_data)
        if new is None or old is None:  # parts were left out with `exclude` or `include`
            return bool(serialized_data == snapshot_data)
        return bool(new == old)

    def diff_lines(self, serialized_data: Any, snapshot_data: Any) -> Iterator[str]:
        """Yield the aligned diff of the stored run, as A, and the new one."""
        new, old = _parsed(serialized_data), _parsed(snapshot_data)
        if new is not None and not snapshot_data:
            yield from _new_run(new)
        elif new is None or old is None:
            yield from super().diff_lines(serialized_data, snapshot_data)
        else:
            yield from _differences(diff_traces(old, new))
        yield _ACCEPT


def trace_of(data: Any) -> Trace:
    """Return the run that a test compares.

    Raises:
        UsageError: If it is neither a trace, nor a result, outcome, replay or recording of a run.
    """
    found = getattr(data, "trace", data)
    found = found() if callable(found) else found
    if isinstance(found, Trace):
        return found
    raise UsageError(
        f"a run is compared with trace_snapshot, not {type(data).__name__!r}",
        where="trace_snapshot",
        next_step="compare the result of run_agent or its trace; use syrupy's `snapshot` for other values",
    )


def still(trace: Trace) -> Trace:
    """Return a run without what differs between two runs that did the same."""
    plain = normalised(trace)
    steps = tuple(
        msgspec.structs.replace(
            step,
            model=None if step.model is None else _still_model(step.model),
            tool_calls=tuple(map(_still_call, step.tool_calls)),
        )
        for step in plain.steps
    )
    return msgspec.structs.replace(
        plain,
        request_id=_NAME,
        run_id=_NAME,
        source=_NAME,
        steps=steps,
        totals=msgspec.structs.replace(plain.totals, cost_nanousd=None),
        prompt_hash=None,
        tools_hash=None,
        policy_hash=None,
        price_table=None,
        trace_hash="",
    )


def _still_model(model: ModelStep) -> ModelStep:
    return msgspec.structs.replace(model, cost_nanousd=None, key=None, hash="")


def _still_call(call: ToolStep) -> ToolStep:
    return msgspec.structs.replace(call, cost_nanousd=None, key=None, args_hash="", hash="")


def _pruned(value: Any) -> Any:
    """Return a document without the fields that say nothing."""
    if isinstance(value, list | tuple):
        return [_pruned(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: each if name in _KEPT else _pruned(each)
        for name, each in value.items()
        if each is not None and (name in _KEPT or each not in ("", [], (), {}))
    }


def _parsed(text: Any) -> Trace | None:
    try:
        return still(parse_trace(json.loads(text)))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def _differences(diff: TraceDiff) -> Iterator[str]:
    """Yield the snapshot as A and the run as B: what differs first, for pytest shows eight lines unless asked."""
    for entry in diff.entries:
        if isinstance(entry, CallDiff):
            yield from _entry(entry)
    if diff.a.stop_reason != diff.b.stop_reason:
        yield f"stop reason: {safe_text(diff.a.stop_reason)} -> {safe_text(diff.b.stop_reason)}"
    if diff.a.output != diff.b.output:
        yield f"output: {change_text(diff.a.output, diff.b.output, _WIDTH)}"
    totals = [
        f"{title} {old} -> {new}"
        for title, old, new, *_ in totals_rows(diff.a.totals, diff.b.totals)
        if old != new
    ]
    if totals:
        yield f"totals: {', '.join(totals)}"
    others = [name for name in _OTHERS if getattr(diff.a, name) != getattr(diff.b, name)]
    if others:
        yield f"also: {', '.join(others)}"
    yield f"calls: {counts_text(diff)}"


def _entry(entry: CallDiff) -> Iterator[str]:
    positions = " -> ".join(str(at) for at in (entry.a, entry.b) if at is not None)
    head = (
        f"{SIGNS[entry.op]} call {positions} {safe_text(entry.name, 60)}{' [write]' if entry.write else ''}"
    )
    if not entry.changes:
        yield f"{head}: {entry.op}"
    for change in entry.changes:
        yield f"{head}: {safe_text(change.path, 60)}: {change_text(change.a, change.b, _WIDTH)}"


def _new_run(trace: Trace) -> Iterator[str]:
    """Yield a run that has no snapshot yet, a line a call."""
    for call in trace.tool_calls:
        arguments = safe_text(json.dumps(call.arguments, ensure_ascii=False))
        yield f"+ {safe_text(call.name)}({arguments}) -> {call.status}"
    yield f"+ stop reason: {safe_text(trace.stop_reason)}"
    yield f"+ output: {safe_text(repr(trace.output))}"
