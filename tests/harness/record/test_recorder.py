"""The recorder: intent before the call, outcome before the flow, redacted, one run a wrapper."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.record import MemorySink, Recorder, RecordingPerformer
from harness.record.recorder import memory_wrap
from runtime.core.effects import EffectKind
from runtime.core.policy import Policy
from runtime.entry.run import Request, run_agent_async
from runtime.errors import UsageError
from runtime.journal.files import read_journal
from runtime.journal.recording import recording_of
from runtime.journal.records import Record
from runtime.testing import FakeClock, ScriptedModel, calls
from tests.support.agents import Prices, Shop, passing_fault, shop_agent
from tests.support.playbook import Playbook
from tests.support.recordings import REQUEST, record, record_to_sink

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"[:36]


def phases(records: list[Record]) -> list[tuple[str, str]]:
    return [(r.lane, r.phase) for r in records]


def test_records_of_a_run_stand_in_order_of_what_happened() -> None:
    _, sink = record_to_sink(shop_agent(Shop()), [calls(("stock", {"item": "apple"})), "three"])

    assert phases(sink.records) == [
        ("begin", "begin"),
        ("0.model/1", "intent"),
        ("0.model/1", "outcome"),
        ("0.tool0/1", "intent"),
        ("0.tool0/1", "outcome"),
        ("1.model/1", "intent"),
        ("1.model/1", "outcome"),
        ("end", "end"),
    ]
    assert [r.seq for r in sink.records] == list(range(8))


def test_the_intent_of_a_call_is_kept_before_the_call_and_its_outcome_before_the_next() -> None:
    sink = MemorySink()
    known: list[int] = []

    class Watching(Shop):
        def reach(self, name: str, *arguments: Any) -> None:
            known.append(len(sink.records))

    async def main() -> None:
        await run_agent_async(
            shop_agent(Watching()),
            REQUEST,
            model=ScriptedModel([calls(("stock", {"item": "apple"})), "three"]),
            wrap=lambda inner: RecordingPerformer(inner, sink, cleaner=None),
            prices=Prices(),
        )

    asyncio.run(main())

    assert phases(sink.records)[: known[0]][-1] == ("0.tool0/1", "intent")


def test_refused_calls_are_single_guard_records() -> None:
    _, sink = record_to_sink(
        shop_agent(Shop(), policy=Policy(allow=("stock",))),
        [calls(("order", {"item": "apple"}), ("x", {})), "no"],
    )

    guards = [r for r in sink.records if r.phase == "guard"]
    assert [(r.name, r.kind) for r in guards] == [("order", EffectKind.TOOL), ("x", EffectKind.TOOL)]
    assert all(r.key is not None for r in guards)


def test_each_message_is_stored_once() -> None:
    script = [calls(("stock", {"item": f"marker{n}"})) for n in range(5)]
    _, sink = record_to_sink(shop_agent(Shop()), [*script, "done"])

    everything = b"".join(bytes(r.request) for r in sink.records if r.kind is EffectKind.MODEL)

    assert everything.count(b"marker2") == 2
    assert everything.count(b"sell me fruit") == 1


def test_the_recording_of_a_run_has_the_run_s_trace() -> None:
    shop = Shop(faults={"stock": [passing_fault()]})

    result, recording = record(shop_agent(shop), [calls(("stock", {"item": "apple"})), "three"])

    trace = recording.trace()
    assert trace == result.trace
    assert recording.end is not None
    assert recording.end.trace_hash == result.trace.trace_hash
    assert recording.end.totals["tool_executions"] == 2


def test_secrets_never_reach_a_record() -> None:
    shop = Shop(faults={"stock": [ValueError(f"bad token {TOKEN}")]})
    agent = shop_agent(shop, instructions=f"Use {TOKEN}.", policy=Policy(allow="any", on_failure="tell"))
    script = [calls(("stock", {"item": TOKEN})), calls(("note", {"text": TOKEN})), f"used {TOKEN}"]

    result, sink = record_to_sink(agent, script)

    assert result.output == f"used {TOKEN}"
    assert shop.calls[0] == ("stock", (TOKEN,))
    stored = b"".join(bytes(r.request) + bytes(r.outcome) for r in sink.records)
    stored += str([(r.failure, r.name, r.key) for r in sink.records]).encode()
    assert TOKEN.encode() not in stored
    assert b"<secret#1>" in stored


def test_redaction_can_be_left_out_for_public_data() -> None:
    _, sink = record_to_sink(shop_agent(Shop()), [f"used {TOKEN}"], redact=False)

    assert any(TOKEN.encode() in bytes(r.outcome) for r in sink.records)


def test_a_write_carries_its_idempotency_key() -> None:
    shop = Shop()
    _, sink = record_to_sink(shop_agent(shop), [calls(("note", {"text": "x"})), "done"])

    intent = next(r for r in sink.records if r.lane == "0.tool0/1" and r.phase == "intent")
    assert intent.write
    assert intent.limits is not None
    assert shop.calls == [("note", ("x", intent.limits.idempotency_key))]


def test_many_runs_share_a_file_and_are_read_back_apart(tmp_path: Path) -> None:
    async def main(recorder: Recorder) -> list[str]:
        runs = [
            run_agent_async(
                shop_agent(Shop()),
                Request(prompt=f"run {n}", request_id=f"req_{n}"),
                model=ScriptedModel([calls(("stock", {"item": "apple"})), f"answer {n}"]),
                wrap=recorder.wrap,
                prices=Prices(),
                clock=FakeClock(),
            )
            for n in range(5)
        ]
        return [r.trace.trace_hash for r in await asyncio.gather(*runs)]

    with Recorder(tmp_path / "runs.jsonl") as recorder:
        hashes = asyncio.run(main(recorder))

    runs = [recording_of(r.records) for r in read_journal(tmp_path / "runs.jsonl")]
    found = {r.header.request_id: r for r in runs}
    assert [found[f"req_{n}"].trace().trace_hash for n in range(5)] == hashes
    assert [found[f"req_{n}"].trace().output for n in range(5)] == [f"answer {n}" for n in range(5)]


def test_a_recorder_that_is_not_open_records_nothing(tmp_path: Path) -> None:
    class Inner:
        async def perform(self, effect: Any) -> Any:
            return Playbook().perform(effect)

    with pytest.raises(UsageError, match="not open"):
        Recorder(tmp_path / "runs.jsonl").wrap(Inner())
    assert not (tmp_path / "runs.jsonl").exists()


def test_a_cancelled_run_is_recorded_to_its_end_with_the_call_in_flight() -> None:
    sink, wrap = memory_wrap()

    async def main() -> None:
        reached = asyncio.Event()

        class Model(ScriptedModel):
            async def call(self, *arguments: Any) -> Any:
                if self.requests:
                    reached.set()
                    await asyncio.Event().wait()
                return await super().call(*arguments)

        run = asyncio.ensure_future(
            run_agent_async(
                shop_agent(Shop()),
                REQUEST,
                model=Model([calls(("stock", {"item": "apple"})), "never"]),
                wrap=wrap,
                prices=Prices(),
            )
        )
        await reached.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())

    recording = sink.recording()
    assert recording.stop_reason == "cancelled"
    assert [i.answered for i in recording.interactions] == [True, True, True]
    assert recording.end is not None
    assert recording.trace().trace_hash == recording.end.trace_hash
