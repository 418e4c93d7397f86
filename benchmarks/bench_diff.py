"""Time the aligned diff against DeepDiff on raw trace documents: CPU time, interleaved, at 20, 50 and 500 calls."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
import orjson

from harness.diff import diff_traces
from runtime.core.canonical import fingerprint
from runtime.core.run import Totals
from runtime.core.trace import ModelStep, Step, ToolStep, Trace, parse_trace, trace_json

SIZES = (20, 50, 500)
RAW_TARGET = 32.0
HASHED_TARGETS = {20: 400.0, 50: 400.0, 500: 1000.0}
_ROUNDS = {20: 9, 50: 7, 500: 3}
_REPEATS = {20: 200, 50: 100, 500: 20}
"""Our diffs in one round; one alone is too short for the clock."""


def build_trace(
    steps: int, *, hashed: bool, edit_at: int | None = None, insert_at: int | None = None
) -> Trace:
    """Return a run of some steps, each a model call and a tool call, about 1 kB a step as JSON.

    Args:
        steps: Steps before any is inserted.
        hashed: Whether calls carry the hashes a recording stores.
        edit_at: Step whose tool call gets another argument.
        insert_at: Step before which one more step stands.
    """
    numbers: list[tuple[int, bool]] = [(i, i == edit_at) for i in range(steps)]
    if insert_at is not None:
        numbers.insert(insert_at, (steps, False))
    made = tuple(_step(at, number, edited, hashed) for at, (number, edited) in enumerate(numbers))
    count = len(made)
    totals = Totals(
        steps=count,
        model_calls=count,
        tool_calls=count,
        tool_executions=count,
        tool_calls_by_name={"kb.search": count},
        input_tokens=900 * count,
        output_tokens=40 * count,
        total_tokens=940 * count,
        cost_nanousd=2_650_000 * count,
        duration_s=1.1 * count,
        model_s=0.9 * count,
        tool_s=0.2 * count,
    )
    return Trace(
        request_id="req_bench",
        run_id="run_bench",
        tenant="acme",
        environment="golden",
        agent="support",
        stop_reason="finish",
        output="The refund was approved.",
        steps=made,
        totals=totals,
    )


def _step(at: int, number: int, edited: bool, hashed: bool) -> Step:
    query = f"refund rule {number}" + (" for late parcels" if edited else "")
    text = f"Looking up rule {number} before the answer. " + "The customer waits for a reply. " * 6
    arguments = {"q": query, "limit": 10, "filters": {"region": "eu", "tags": ["refund", f"rule-{number}"]}}
    result = f"Rule {number}: " + "a parcel that comes late is refunded in full within two weeks. " * 5
    model = ModelStep(
        lane=f"{at}.model/1",
        provider="openai",
        request_model="gpt-4o",
        response_model="gpt-4o-2024-08-06",
        finish_reason="tool_call",
        text=text,
        tool_names=("kb.search",),
        input_tokens=900,
        output_tokens=40,
        cost_nanousd=2_650_000,
        started_s=1.1 * at,
        duration_s=0.9,
        hash=fingerprint(["gpt-4o", text]) if hashed else "",
    )
    call = ToolStep(
        id=f"call#{at + 1}",
        lane=f"{at}.tool0/1",
        name="kb.search",
        arguments=arguments,
        status="ok",
        result=result,
        attempts=1,
        started_s=1.1 * at + 0.9,
        duration_s=0.2,
        args_hash=fingerprint(arguments) if hashed else "",
        hash=fingerprint(["kb.search", arguments, "ok", result]) if hashed else "",
    )
    return Step(index=at, model=model, tool_calls=(call,))


def copied(trace: Trace) -> Trace:
    """Return an equal trace that shares no object, as one read from another file does not."""
    return msgspec.json.decode(msgspec.json.encode(trace), type=Trace)


def _from_raw(a: Any, b: Any) -> object:
    return diff_traces(parse_trace(a), parse_trace(b))


def run() -> list[dict[str, Any]]:
    """Return one row for each measurement: `name`, `ratio`, `target`, `unit`, `ok` and both CPU times in us."""
    from deepdiff import DeepDiff

    rows: list[dict[str, Any]] = []
    for size in SIZES:
        raw_a = orjson.loads(orjson.dumps(trace_json(build_trace(size, hashed=False))))
        raw_b = orjson.loads(orjson.dumps(trace_json(build_trace(size, hashed=False, edit_at=size // 2))))
        a = copied(build_trace(size, hashed=True))
        b = copied(build_trace(size, hashed=True, edit_at=size // 2))
        longer = copied(build_trace(size, hashed=True, insert_at=size // 2))
        theirs, from_raw, hashed, inserted = _interleaved(
            [
                (partial(DeepDiff, raw_a, raw_b), 1),
                (partial(_from_raw, raw_a, raw_b), _REPEATS[size] // 10),
                (partial(diff_traces, a, b), _REPEATS[size]),
                (partial(diff_traces, a, longer), _REPEATS[size]),
            ],
            rounds=_ROUNDS[size],
        )
        target = HASHED_TARGETS[size]
        rows.append(_row(f"diff from raw traces, {size} steps", theirs, from_raw, RAW_TARGET))
        rows.append(_row(f"diff on stored hashes, 1 change, {size} steps", theirs, hashed, target))
        rows.append(_row(f"diff on stored hashes, 1 step inserted, {size} steps", theirs, inserted, target))
    return rows


def _interleaved(jobs: list[tuple[Callable[[], object], int]], *, rounds: int) -> list[float]:
    """Return the median CPU seconds of each job; every round runs all jobs, so load falls on all alike."""
    times: list[list[float]] = [[] for _ in jobs]
    for job, _ in jobs:
        job()
    for _ in range(rounds):
        for (job, repeats), spent in zip(jobs, times, strict=True):
            gc.collect()
            start = time.process_time()
            for _ in range(repeats):
                job()
            spent.append((time.process_time() - start) / repeats)
    return [median(spent) for spent in times]


def _row(name: str, theirs: float, ours: float, target: float) -> dict[str, Any]:
    ratio = theirs / ours
    return {
        "name": name,
        "ratio": round(ratio, 1),
        "target": target,
        "unit": "x less CPU than DeepDiff",
        "ok": ratio >= target,
        "peer_us": round(theirs * 1e6, 1),
        "ours_us": round(ours * 1e6, 1),
    }


def main() -> int:
    """Print the rows; the exit code says whether every target holds."""
    rows = run()
    for row in rows:
        mark = "ok  " if row["ok"] else "MISS"
        print(
            f"{mark} {row['name']:<52} {row['ratio']:>9,.1f} {row['unit']} (target {row['target']:,.0f})"
            f"  {row['peer_us']:>12,.1f} us / {row['ours_us']:,.1f} us"
        )
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
