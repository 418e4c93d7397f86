"""Time the replay of a recorded 20-step run on one core: whole, in parts, and beside a flow without guards.

The run has one tool call a step and every guard on: steps, seconds, dollars, tokens, calls, allow-list, argument
schemas, loops. Each replay decodes the recorded outcomes, makes and compares every key, looks for secrets, counts
the budgets, folds the trace and compares its hash. An effect is one question to the seam: 20 model calls, 19 tool
calls, an admission before each of them, begin and end are 80.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.workload import STEPS, recorded_run
from harness.sessions.replay import recorded_setup, replay_run
from runtime.core.effects import AnyOutcome, Begin, CallModel, CallTool, End, Flow, perform
from runtime.core.lanes import lane
from runtime.core.messages import Message, ModelRequest, tool_message
from runtime.core.outcomes import Outcome
from runtime.core.run import Header
from runtime.journal.recording import Recording, recording_of

EFFECTS_TARGET, RUNS_TARGET = 40_000.0, 1_000.0
_ROUNDS, _REPEATS = 15, 40


def run() -> list[dict[str, Any]]:
    """Return one row for each measurement: `name`, `rate` or `ratio`, `target` (or `None`), `unit`, `ok`, `us`."""
    records = recorded_run()
    opened = recording_of(records)
    outcomes = [i.outcome() for i in opened.interactions]
    effects = _checked(opened)
    whole, warm, fold, bare = _interleaved(
        [
            lambda: replay_run(recording_of(records)),
            lambda: replay_run(opened),
            opened.trace,
            lambda: _bare_run(opened.header, outcomes),
        ]
    )
    bare_effects = len(outcomes) + 2
    return [
        _rate("replay, decode and fold included", effects / whole, EFFECTS_TARGET, "effects/s", whole),
        _rate(f"replay of whole {STEPS}-step runs", 1 / whole, RUNS_TARGET, "runs/s", whole),
        _rate("replay, outcomes decoded before", 1 / warm, None, "runs/s", warm),
        _rate("fold of a recorded run alone", 1 / fold, None, "runs/s", fold),
        _rate("bare seam: no guards, keys or fold", bare_effects / bare, None, "effects/s", bare),
        {
            "name": "replay beside the bare seam, per run",
            "ratio": round(whole / bare, 1),
            "target": None,
            "unit": "x its CPU",
            "ok": True,
            "us": round(whole * 1e6, 1),
        },
    ]


def _checked(recording: Recording) -> int:
    """Return how many effects the run has; a replay that is not `same` measures nothing."""
    replay = replay_run(recording)
    if replay.verdict != "same" or recorded_setup(recording).tools is None:
        raise RuntimeError(f"the benchmark's run does not replay: {replay.divergences or replay.error}")
    return replay.effects


def _bare_run(header: Header, outcomes: list[AnyOutcome]) -> End:
    """Drive a flow that only asks, answered from a list in order."""
    answers = iter(outcomes)
    flow = _bare_flow(header)
    effect: Any = next(flow)
    try:
        while True:
            effect = flow.send(_DONE if isinstance(effect, Begin | End) else next(answers))
    except StopIteration as stop:
        end: End = stop.value
        return end


def _bare_flow(header: Header) -> Flow[End]:
    yield from perform(Begin(header=header))
    messages: list[Message] = list(header.input)
    for step in range(STEPS):
        request = ModelRequest(model=header.models[0], messages=tuple(messages), tools=header.tool_schemas)
        reply = (yield from perform(CallModel(lane=lane(step, "model"), request=request))).value
        assert reply is not None
        messages.append(Message(role="assistant", parts=reply.parts))
        for index, part in enumerate(reply.tool_calls):
            call = CallTool(
                lane=lane(step, "tool", index=index),
                call_id=part.id,
                name=part.name,
                arguments=part.arguments,
                args_hash="",
            )
            result = (yield from perform(call)).value
            assert result is not None
            messages.append(tool_message(part.id, result.content))
    end = End(stop_reason="finish")
    yield from perform(end)
    return end


_DONE: Outcome[None] = Outcome(at=None)


def _interleaved(jobs: list[Callable[[], object]]) -> list[float]:
    """Return the least CPU seconds of each job; every round runs all jobs, so load falls on all alike."""
    best = [float("inf")] * len(jobs)
    for job in jobs:
        job()
    for _ in range(_ROUNDS):
        for at, job in enumerate(jobs):
            gc.collect()
            start = time.process_time()
            for _ in range(_REPEATS):
                job()
            best[at] = min(best[at], (time.process_time() - start) / _REPEATS)
    return best


def _rate(name: str, rate: float, target: float | None, unit: str, seconds: float) -> dict[str, Any]:
    return {
        "name": name,
        "rate": round(rate),
        "target": target,
        "unit": unit,
        "ok": target is None or rate >= target,
        "us": round(seconds * 1e6, 1),
    }


def main() -> int:
    """Print the rows; the exit code says whether every target holds."""
    from benchmarks.run_all import print_rows

    rows = run()
    print_rows(rows)
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
