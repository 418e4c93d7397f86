"""Time recording against vcrpy: CPU an event, bytes a step once sealed, and loading; in one run, interleaved."""

from __future__ import annotations

import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.cassette.segment import SegmentWriter, read_segment
from harness.redaction.redactor import Redactor
from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    AnyOutcome,
    Begin,
    CallModel,
    CallTool,
    End,
    Limits,
    Outcome,
    SingleEffect,
    ToolResult,
)
from runtime.core.messages import (
    Message,
    ModelReply,
    ModelRequest,
    TextPart,
    ToolCallPart,
    ToolSchema,
    system_message,
    tool_message,
    user_message,
)
from runtime.core.money import Usage
from runtime.core.run import Header, ToolDecl, with_hashes
from runtime.journal.builder import RecordBuilder
from runtime.journal.files import JournalWriter, read_journal
from runtime.journal.records import Record

Pair = tuple[SingleEffect, AnyOutcome]
EVENT_TARGETS_US = (50.0, 25.0)
SEALED_TARGETS = {20: 500.0, 50: 400.0, 500: 300.0}
VCR_TARGETS = {20: 18.0, 200: 60.0}
FLAT_TARGET = 1.5
SMALLER_TARGET = 100.0
LOAD_TARGET = 30.0
_ROUNDS = 5
_RUNS = 12
_WORDS = (
    "the order of a customer was late and carrier says it waits at depot until next week so refund may be given",
    "after check with policy two items were found broken photo shows damage on left side please confirm address",
    "before ticket gets closed agent looked up account found three open cases summary total amount is thirty euro",
)
_SENTENCES = 200
"""What tools answer with repeats itself. At this many a sealed run of 12 steps takes 520 bytes a step; the 46 real runs
of 10 to 19 steps in one of the recorded suites take 461."""


@lru_cache(maxsize=1)
def _sentences() -> list[str]:
    chance = random.Random(0)
    words = " ".join(_WORDS).split()
    return [" ".join(chance.choices(words, k=chance.randrange(7, 14))) for _ in range(_SENTENCES)]


def text(seed: int, words: int) -> str:
    """Return about so many words: known sentences in an order of their own, each with a number."""
    chance = random.Random(seed)
    made: list[str] = []
    while sum(len(part.split()) for part in made) < words:
        made.append(f"{chance.choice(_sentences())} {chance.randrange(10_000)}.")
    return " ".join(made)


@lru_cache(maxsize=4)
def pairs_of(steps: int, variant: int = 0) -> tuple[Header, tuple[Pair, ...]]:
    """Return a run: each step a model call that asks for one tool, whose result comes back, about 1.5 kB a step.

    Runs of different variants share instructions and tools, as those of one agent do, and nothing else.
    """
    own = variant * 1_000_000
    schemas = tuple(
        ToolSchema(
            name=f"desk.tool{n}",
            description=text(n, 40),
            parameters={
                "type": "object",
                "properties": {"q": {"type": "string", "description": text(90 + n, 12)}},
            },
        )
        for n in range(6)
    )
    history: tuple[Message, ...] = (system_message(text(1, 180)), user_message(text(2 + own, 30)))
    header = with_hashes(
        Header(
            request_id=f"req_bench{variant}", run_id=f"run_bench{variant}", tenant="acme", environment="prod",
            agent="support", input=history, models=("gpt-4o",), provider="openai",
            tools=tuple(ToolDecl(schema=s) for s in schemas), started_at="2026-11-22T09:00:00.000Z",
        )
    )  # fmt: skip
    made: list[Pair] = []
    for step in range(steps):
        at = 1.137 * step
        arguments = {"q": text(1000 + own + step, 8), "limit": 5}
        call_id = f"call_{fingerprint([own, step, 1])[:24]}"
        reply = ModelReply(
            parts=(
                TextPart(text(5000 + own + step, 25)),
                ToolCallPart(call_id, f"desk.tool{step % 6}", arguments),
            ),
            finish_reason="tool_call",
            response_id=f"chatcmpl-{fingerprint([own, step, 2])[:24]}",
            response_model="gpt-4o-2024-08-06",
            provider="openai",
            usage=Usage(input_tokens=800 + 350 * step, output_tokens=60),
            cost_nanousd=2_600_000 + 875_000 * step,
        )
        request = ModelRequest("gpt-4o", history, schemas, {})
        limits = Limits(deadline_s=600.0, timeout_s=120.0)
        made.append(
            (
                CallModel(lane=f"{step}.model/1", request=request, limits=limits),
                Outcome(reply, at=at + 0.871, duration_s=0.871),
            )
        )
        result = text(9000 + own + step, 130)
        call = CallTool(
            lane=f"{step}.tool0/1", call_id=call_id, name=f"desk.tool{step % 6}", arguments=arguments,
            args_hash=fingerprint(arguments), limits=Limits(timeout_s=30.0),
        )  # fmt: skip
        made.append((call, Outcome(ToolResult(content=result), at=at + 1.02, duration_s=0.149)))
        history = (*history, Message(role="assistant", parts=reply.parts), tool_message(call_id, result))
    return header, tuple(made)


def record(
    steps: int, append: Callable[[Record], object], *, run: str = "run_bench", variant: int = 0
) -> int:
    """Record a run as the recorder does, redacted and keyed; return how many records it has."""
    header, pairs = pairs_of(steps, variant)
    builder = RecordBuilder(run=run, cleaner=Redactor())
    begin = builder.intent(Begin(header=header))
    assert begin is not None
    append(begin)
    count = 1
    for effect, outcome in pairs:
        intent = builder.intent(effect)
        if intent is not None:
            append(intent)
            count += 1
        answer = builder.outcome(effect, outcome)
        if answer is not None:
            append(answer)
            count += 1
    end = builder.outcome(End(stop_reason="finish"), Outcome(at=1.2 * steps))
    assert end is not None
    append(end)
    return count + 1


def ours(steps: int, folder: Path) -> tuple[Callable[[], object], int]:
    """Return a job that records a run into an open journal, and how many events it records."""
    writer = JournalWriter(folder / f"ours-{steps}.jsonl")
    count = record(steps, lambda _: None)
    return lambda: record(steps, writer.append, run=writer.claim("run_bench")), count


def theirs(steps: int, folder: Path) -> Callable[[], object]:
    """Return a job that appends the model calls of the same run to a vcrpy cassette and saves it."""
    from vcr.cassette import Cassette
    from vcr.request import Request

    exchanges = [
        (
            Request(
                "POST",
                "https://api.openai.com/v1/chat/completions",
                body,
                {"Content-Type": "application/json"},
            ),
            answer,
        )
        for body, answer in _wire(steps)
    ]
    path = folder / f"theirs-{steps}.yaml"

    def job() -> None:
        path.unlink(missing_ok=True)
        cassette = Cassette.load(path=str(path), record_mode="new_episodes")
        for request, answer in exchanges:
            cassette.append(request, answer)
        cassette._save(force=True)  # noqa: SLF001 - what its context manager calls on exit

    return job


def _wire(steps: int) -> list[tuple[bytes, dict[str, Any]]]:
    import msgspec

    found: list[tuple[bytes, dict[str, Any]]] = []
    for effect, outcome in pairs_of(steps)[1]:
        if isinstance(effect, CallModel):
            body = json.dumps(msgspec.to_builtins(effect.request)).encode()
            answer = json.dumps(msgspec.to_builtins(outcome.value))
            response = {
                "status": {"code": 200, "message": "OK"},
                "headers": {},
                "body": {"string": answer.encode()},
            }
            found.append((body, response))
    return found


def seal(steps: int, path: Path, *, runs: int = 1) -> int:
    """Write a segment of some runs of one agent and return its size in bytes."""
    with SegmentWriter(path, overwrite=True) as writer:
        for variant in range(runs):
            records: list[Record] = []
            record(steps, records.append, variant=variant)
            writer.add(records)
    return path.stat().st_size


def run() -> list[dict[str, Any]]:
    """Return one row for each measurement: `name`, `value`, `target`, `unit` and `ok`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*_cpu_rows(folder), *_size_rows(folder), *_load_rows(folder)]


def _cpu_rows(folder: Path) -> list[dict[str, Any]]:
    jobs = {steps: ours(steps, folder) for steps in (20, 200, 500)}
    spent = interleaved(
        [
            (jobs[20][0], 25),
            (jobs[200][0], 3),
            (jobs[500][0], 1),
            (theirs(20, folder), 3),
            (theirs(200, folder), 1),
        ]
    )
    a_event = {steps: spent[i] / jobs[steps][1] * 1e6 for i, steps in enumerate((20, 200, 500))}
    return [
        *(
            at_most(f"CPU to record one event, target {n + 1}", a_event[20], t, "us")
            for n, t in enumerate(EVENT_TARGETS_US)
        ),
        at_most("CPU of an event at 500 steps over 20 steps", a_event[500] / a_event[20], FLAT_TARGET, "x"),
        at_least(
            "recording a run of 20 steps, vcrpy append+save",
            spent[3] / spent[0],
            VCR_TARGETS[20],
            "x less CPU",
        ),
        at_least(
            "recording a run of 200 steps, vcrpy append+save",
            spent[4] / spent[1],
            VCR_TARGETS[200],
            "x less CPU",
        ),
    ]


def _size_rows(folder: Path) -> list[dict[str, Any]]:
    rows = [
        at_most(
            f"sealed, {steps} steps, {_RUNS} runs of an agent",
            seal(steps, folder / f"{steps}.seg", runs=_RUNS) / steps / _RUNS,
            target,
            "bytes a step",
        )
        for steps, target in SEALED_TARGETS.items()
    ]
    theirs(100, folder)()
    ratio = (folder / "theirs-100.yaml").stat().st_size / seal(100, folder / "100.seg")
    return [*rows, at_least("sealed run of 100 steps, vcrpy YAML", ratio, SMALLER_TARGET, "x smaller")]


def _load_rows(folder: Path) -> list[dict[str, Any]]:
    """Compare loading 5,000 events: decoded records here, decoded interactions there."""
    from vcr.cassette import Cassette

    path = folder / "load.jsonl"
    with JournalWriter(path) as writer:
        events = 0
        while events < 5_000:
            events += record(20, writer.append, run=writer.claim("run_load"))
    segment = folder / "load.seg"
    with SegmentWriter(segment) as sealing:
        for found in read_journal(path):
            sealing.add(found.records, run_id=found.run)
    from vcr.request import Request

    peer = Cassette.load(path=str(folder / "load.yaml"), record_mode="new_episodes")
    bodies = _wire(20)
    for number in range(5_000):
        body, answer = bodies[number % 2]
        peer.append(Request("POST", "https://api.openai.com/v1/chat/completions", body, {}), answer)
    peer._save(force=True)  # noqa: SLF001
    load, index, yaml = interleaved(
        [
            (lambda: [list(r.pairs()) for r in read_segment(segment)], 1),
            (lambda: read_segment(segment), 20),
            (lambda: Cassette.load(path=str(folder / "load.yaml"), record_mode="none"), 1),
        ],
        rounds=3,
    )
    return [
        at_least(
            f"load {events:,} events fully decoded, vcrpy YAML of 5,000",
            yaml / load,
            LOAD_TARGET,
            "x less CPU",
        ),
        at_least("open their index", yaml / index, 10 * LOAD_TARGET, "x less CPU"),
    ]


def interleaved(jobs: list[tuple[Callable[[], object], int]], *, rounds: int = _ROUNDS) -> list[float]:
    """Return the median CPU seconds of each job; every round runs all jobs, so load falls on all alike."""
    times: list[list[float]] = [[] for _ in jobs]
    for _ in range(rounds):
        for (job, repeats), spent in zip(jobs, times, strict=True):
            gc.collect()
            start = time.process_time()
            for _ in range(repeats):
                job()
            spent.append((time.process_time() - start) / repeats)
    return [median(spent) for spent in times]


def at_most(name: str, value: float, target: float, unit: str) -> dict[str, Any]:
    """Return the row of a value that must not pass its target."""
    return {
        "name": name,
        "value": round(value, 2),
        "target": target,
        "unit": unit,
        "ok": value <= target,
        "sign": "<=",
    }


def at_least(name: str, value: float, target: float, unit: str) -> dict[str, Any]:
    """Return the row of a value that must reach its target."""
    return {
        "name": name,
        "value": round(value, 2),
        "target": target,
        "unit": unit,
        "ok": value >= target,
        "sign": ">=",
    }


def main() -> int:
    """Print the rows; the exit code says whether every target holds."""
    rows = run()
    for row in rows:
        mark = "ok  " if row["ok"] else "MISS"
        print(
            f"{mark} {row['name']:<60} {row['value']:>10,.2f} {row['unit']} (target {row['sign']} {row['target']:,.0f})"
        )
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
