"""The production recorder: many runs at once, rotated, sealed, sampled, shipped, kept within limits."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cassette.footer import SegmentRun
from harness.cassette.remote import open_store
from harness.cassette.segment import read_segment
from harness.cassette.store import iter_recordings
from harness.record import ProductionRecorder, Retention, Sampling, Settings
from harness.record.retention import apply_retention
from harness.redaction.pseudonyms import KEY_FILE
from runtime.core.policy import Budget, Policy
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.errors import UsageError
from runtime.journal.files import JournalWriter
from runtime.ports.performers import PerformerError
from runtime.testing import FakeClock, ScriptedModel, calls
from tests.support.agents import Prices, Shop, shop_agent

ROOT = Path(__file__).parents[3]


def recorded(folder: Path) -> list[Path]:
    """Return the files of a folder but for the key of its pseudonyms."""
    return [path for path in folder.iterdir() if path.name != KEY_FILE]


def script(steps: int = 2) -> list[Any]:
    return [*(calls(("stock", {"item": "apple"})) for _ in range(steps)), "three apples"]


async def one(recorder: ProductionRecorder, request_id: str, *, steps: int = 2, **fields: Any) -> RunResult:
    agent = shop_agent(Shop(), policy=Policy(allow="any", loop=None), **fields.pop("agent", {}))
    request = Request(prompt="sell", request_id=request_id, tenant=fields.pop("tenant", "acme"))
    return await run_agent_async(
        agent, request, model=ScriptedModel(script(steps)), wrap=recorder.wrap, prices=Prices(), **fields
    )


def run_many(recorder: ProductionRecorder, names: list[str], **fields: Any) -> list[RunResult]:
    async def main() -> list[RunResult]:
        return list(await asyncio.gather(*(one(recorder, name, **fields) for name in names)))

    return asyncio.run(main())


def sealed(folder: Path) -> list[SegmentRun]:
    return [run for path in sorted(folder.glob("*.seg")) for run in read_segment(path).runs]


def test_concurrent_runs_end_up_whole_in_segments(tmp_path: Path) -> None:
    names = [f"req_{i}" for i in range(20)]

    with ProductionRecorder(tmp_path) as recorder:
        results = run_many(recorder, names)

    read = {r.header.request_id: r.trace().trace_hash for r in iter_recordings(tmp_path)}
    assert read == {r.request_id: r.trace.trace_hash for r in results}
    assert [p.suffix for p in recorded(tmp_path)] == [".seg"]
    assert recorder.stats.sealed_runs == recorder.stats.recorded == 20


def test_two_runs_of_one_request_are_told_apart(tmp_path: Path) -> None:
    with ProductionRecorder(tmp_path) as recorder:
        run_many(recorder, ["req_same", "req_same"])

    runs = sealed(tmp_path)
    assert [run.request_id for run in runs] == ["req_same", "req_same"]
    assert runs[1].run_id == f"{runs[0].run_id}~2"
    assert len(list(iter_recordings(tmp_path))) == 2


def test_a_journal_is_rotated_by_size_and_a_run_stays_in_its_own(tmp_path: Path) -> None:
    with ProductionRecorder(tmp_path, settings=Settings(rotate_bytes=5_000)) as recorder:
        for i in range(6):
            run_many(recorder, [f"req_{i}a", f"req_{i}b"])
        recorder.flush()
        files = len(list(tmp_path.glob("*.seg")))

    assert files > 2
    assert sorted(r.request_id for r in sealed(tmp_path)) == sorted(
        f"req_{i}{x}" for i in range(6) for x in "ab"
    )


def test_a_journal_is_rotated_by_age(tmp_path: Path) -> None:
    clock = FakeClock()
    with ProductionRecorder(tmp_path, settings=Settings(rotate_s=60), clock=clock) as recorder:
        run_many(recorder, ["req_1"])
        clock.seconds = 61.0
        run_many(recorder, ["req_2"])
        recorder.flush()

        assert len(list(tmp_path.glob("*.seg"))) == 2


def test_runs_that_ended_badly_are_always_kept(tmp_path: Path) -> None:
    settings = Settings(sampling=Sampling(share=0.0))
    with ProductionRecorder(tmp_path, settings=settings) as recorder:
        run_many(recorder, ["req_good"])
        run_many(recorder, ["req_budget"], agent={"budget": Budget(max_steps=1)})

    assert [(r.request_id, r.flags) for r in sealed(tmp_path)] == [("req_budget", ("over_budget",))]
    assert recorder.stats.sampled_out == 1


@pytest.mark.parametrize(
    ("stop_reason", "totals", "flags"),
    [
        ("finish", {}, ()),
        ("finish", {"denials": 1}, ("denied",)),
        ("finish", {"duration_s": 30.0}, ("slow",)),
        ("finish", {"duration_s": None}, ()),
        ("operator_kill", {}, ("killed",)),
        ("policy_deny:shell.exec", {"denials": 1}, ("denied",)),
        ("tool_timeout:http.get", {"duration_s": 31.0}, ("failed", "slow")),
        ("max_usd", {}, ("over_budget",)),
        ("loop_detected", {}, ("failed",)),
        ("a reason of tomorrow", {}, ("failed",)),
        (None, {}, ("cut_off",)),
    ],
)
def test_the_rule_names_why_a_run_is_kept(
    stop_reason: str | None, totals: dict[str, Any], flags: tuple[str, ...]
) -> None:
    assert Sampling(slow_s=30.0).flags(stop_reason, totals) == flags


@given(st.text(min_size=1), st.floats(0, 1))
def test_a_child_run_is_sampled_with_its_parent(request_id: str, share: float) -> None:
    rule = Sampling(share=share)

    assert rule.keeps(f"{request_id}/4.tool2/1", ()) == rule.keeps(request_id, ())


def test_sampling_keeps_about_its_share() -> None:
    kept = sum(Sampling(share=0.25).keeps(f"req_{i}", ()) for i in range(4000))

    assert 900 < kept < 1100


class Full:
    """Makes writes fail after some, as a full disk does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
        self.left = after
        real: Callable[..., int] = os.write

        def write(fd: int, data: bytes) -> int:
            if self.left <= 0:
                raise OSError(28, "No space left on device")
            self.left -= 1
            return real(fd, data)

        monkeypatch.setattr(os, "write", write)


def test_a_full_disk_fails_the_run_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = ProductionRecorder(tmp_path)
    disk = Full(monkeypatch, after=3)

    (result,) = run_many(recorder, ["req_1"])

    disk.left = 10**9
    recorder.close()
    assert result.stop_reason == "internal_error"
    assert isinstance(result.error, PerformerError)
    assert "No space left" in str(result.error)
    assert [(r.request_id, r.stop_reason) for r in sealed(tmp_path)] == [("req_1", "crashed")]


def test_a_full_disk_drops_the_recording_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProductionRecorder(tmp_path, settings=Settings(on_failure="drop")) as recorder:
        disk = Full(monkeypatch, after=3)
        (lost,) = run_many(recorder, ["req_lost"])
        disk.left = 10**9
        (kept,) = run_many(recorder, ["req_kept"])

    assert [lost.stop_reason, kept.stop_reason] == ["finish", "finish"]
    assert [r.request_id for r in sealed(tmp_path)] == ["req_kept"]
    assert (recorder.stats.dropped, recorder.stats.write_failures) == (1, 1)


def test_a_run_that_outgrows_its_limit_is_dropped_and_spoils_no_other(tmp_path: Path) -> None:
    settings = Settings(on_failure="drop", max_run_bytes=6_000)
    with ProductionRecorder(tmp_path, settings=settings) as recorder:

        async def both() -> None:
            await asyncio.gather(one(recorder, "req_long", steps=15), one(recorder, "req_short", steps=1))

        asyncio.run(both())

    assert [r.request_id for r in sealed(tmp_path)] == ["req_short"]
    assert recorder.stats.dropped == 1


def test_what_cannot_be_sealed_stays_a_readable_journal_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = ProductionRecorder(tmp_path)
    run_many(recorder, ["req_1"])
    disk = Full(monkeypatch, after=0)

    recorder.flush(timeout_s=0.3)
    left = [r.header.request_id for r in iter_recordings(tmp_path)]
    disk.left = 10**9
    done = recorder.flush(timeout_s=20)

    recorder.close()
    assert left == ["req_1"]
    assert done
    assert recorder.stats.seal_failures >= 1
    assert [r.request_id for r in sealed(tmp_path)] == ["req_1"]


def test_a_run_after_close_is_refused(tmp_path: Path) -> None:
    recorder = ProductionRecorder(tmp_path)
    recorder.close()
    recorder.close()

    (result,) = run_many(recorder, ["req_1"])

    assert "the recorder is closed" in str(result.error)


def test_a_run_still_going_on_at_close_is_sealed_as_crashed(tmp_path: Path) -> None:
    recorder = ProductionRecorder(tmp_path)

    class Slow(ScriptedModel):
        async def call(self, *args: Any, **fields: Any) -> Any:
            recorder.close()
            return await super().call(*args, **fields)

    async def main() -> RunResult:
        return await run_agent_async(
            shop_agent(Shop()), Request(prompt="x", request_id="req_1"), model=Slow(script()), wrap=recorder.wrap,
            prices=Prices(),
        )  # fmt: skip

    asyncio.run(main())

    assert [(r.stop_reason, r.flags) for r in sealed(tmp_path)] == [("crashed", ("cut_off",))]


def test_two_writers_on_one_path_are_refused_and_a_live_journal_is_not_recovered(tmp_path: Path) -> None:
    from harness.sessions.recover import recover_journal
    from runtime.errors import UsageError

    path = tmp_path / "runs.jsonl"

    with JournalWriter(path):
        with pytest.raises(UsageError, match="another writer"):
            JournalWriter(path)
        with pytest.raises(UsageError, match="another writer"):
            recover_journal(path)


def test_segments_are_shipped_to_an_object_store_and_leave_the_spool(tmp_path: Path) -> None:
    url = (tmp_path / "bucket").as_uri()
    with ProductionRecorder(url, spool=tmp_path / "spool") as recorder:
        run_many(recorder, ["req_1", "req_2"])

    store = open_store(url)
    (name,) = store.names(".seg")
    assert recorded(tmp_path / "spool") == []
    assert store.open(name).open("req_2").header.request_id == "req_2"
    assert recorder.stats.shipped == 1


def test_a_store_needs_a_spool(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="local disk"):
        ProductionRecorder("s3://bucket/runs")


def test_file_names_say_nothing_of_tenants(tmp_path: Path) -> None:
    with ProductionRecorder(tmp_path, worker="w1", settings=Settings(tenant_blind=True)) as recorder:
        run_many(recorder, ["req_1"], tenant="verysecretcorp")

    (path,) = recorded(tmp_path)
    assert path.name.startswith("w1-")
    assert "verysecretcorp" not in path.name
    assert sealed(tmp_path)[0].tenant != "verysecretcorp"


def test_old_runs_of_a_tenant_go_and_leave_tombstones(tmp_path: Path) -> None:
    clock = FakeClock()
    with ProductionRecorder(tmp_path, clock=clock) as recorder:

        async def both() -> None:
            await asyncio.gather(
                one(recorder, "a", tenant="acme", clock=clock), one(recorder, "b", tenant="beta", clock=clock)
            )

        asyncio.run(both())
    rule = Retention(days=365, days_by_tenant={"acme": 30})

    cleared = apply_retention(tmp_path, rule, now=clock.now() + timedelta(days=31))

    (path,) = recorded(tmp_path)
    assert cleared.runs == 1
    assert [r.request_id for r in read_segment(path).runs] == ["b"]
    assert [r.request_id for r in read_segment(path).tombstones] == ["a"]
    assert apply_retention(tmp_path, rule, now=clock.now() + timedelta(days=366)).files == 1
    assert recorded(tmp_path) == []


def test_size_caps_clear_the_oldest_first(tmp_path: Path) -> None:
    for i in range(3):
        clock = FakeClock()
        clock.seconds = float(i)
        with ProductionRecorder(tmp_path, worker=f"w{i}", clock=clock) as recorder:
            run_many(recorder, [f"req_{i}"])
    newest = max(p.stat().st_size for p in recorded(tmp_path))

    apply_retention(tmp_path, Retention(max_bytes=newest), now=FakeClock().now())

    assert len(sealed(tmp_path)) == 1


def test_power_durability_records_the_same_runs(tmp_path: Path) -> None:
    with ProductionRecorder(tmp_path, settings=Settings(durability="power")) as recorder:
        run_many(recorder, ["req_1", "req_2"])

    assert sorted(r.request_id for r in sealed(tmp_path)) == ["req_1", "req_2"]


TERMINATED = """
import asyncio, sys, time
from harness.record import ProductionRecorder, install_signal_handler
from runtime.entry.run import Request, run_agent_async
from runtime.testing import ScriptedModel, calls
from tests.support.agents import Prices, Shop, shop_agent

class Hanging(ScriptedModel):
    async def call(self, *args, **fields):
        print("ready", flush=True)
        await asyncio.sleep(60)

async def main():
    recorder = ProductionRecorder(sys.argv[1])
    install_signal_handler(recorder)
    await run_agent_async(shop_agent(Shop()), Request(prompt="x", request_id="req_done"),
        model=ScriptedModel([calls(("stock", {"item": "apple"})), "three"]), wrap=recorder.wrap, prices=Prices())
    await run_agent_async(shop_agent(Shop()), Request(prompt="x", request_id="req_cut"),
        model=Hanging([]), wrap=recorder.wrap, prices=Prices())

asyncio.run(main())
"""


def test_sigterm_flushes_and_seals(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINATED, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as out:
        ready = out.readline()

        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=30)

    assert ready == "ready\n"
    assert code == -signal.SIGTERM
    assert [p.suffix for p in recorded(tmp_path)] == [".seg"]
    assert [(r.request_id, r.stop_reason) for r in sealed(tmp_path)] == [
        ("req_done", "finish"),
        ("req_cut", "crashed"),
    ]


@pytest.mark.skipif(os.name == "nt", reason="modes of files are those of POSIX")
def test_a_sealed_segment_is_as_private_as_its_journal(tmp_path: Path) -> None:
    with ProductionRecorder(tmp_path) as recorder:
        run_many(recorder, ["req_1"])

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
