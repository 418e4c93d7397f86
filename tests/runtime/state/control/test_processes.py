"""Several processes on one control file: no cap passed, nothing lost in a SIGKILL, one winner everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.control.ledger import Amount, SpendScope
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_store import SqliteControlStore
from tests.runtime.state.control import worker
from tests.support.counts import FULL

ROOT = Path(__file__).parents[4]
NOW = worker.NOW


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@contextmanager
def workers(job: str, path: Path, *, processes: int, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes and wait until all are ready."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.runtime.state.control.worker", job, str(path), str(me), str(count)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for me in range(processes)
    ]
    try:
        for each in started:
            assert _line(each) == "ready\n"
        yield started
    finally:
        for each in started:
            each.kill()
            each.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def go(processes: list[subprocess.Popen[str]]) -> None:
    """Let all begin at once."""
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()


def results(processes: list[subprocess.Popen[str]]) -> list[Any]:
    """Return what each process found; all must end well."""
    found = [json.loads(_line(each)) for each in processes]
    assert [each.wait() for each in processes] == [0] * len(processes)
    return found


def race(job: str, path: Path, *, processes: int, count: int) -> list[Any]:
    """Run a job in processes that begin together; return their results."""
    with workers(job, path, processes=processes, count=count) as started:
        go(started)
        return results(started)


def test_eight_processes_never_pass_one_tenants_cap(path: Path) -> None:
    store, seen = BlockingControlStore(SqliteControlStore(path)), []
    count = 1250 if FULL else 200

    with workers("reserve", path, processes=8, count=count) as started:
        go(started)
        while any(each.poll() is None for each in started):
            (use,) = store.read_spend(("acme/prod/day/1",), now=NOW)
            seen.append(use.spent.nanos + use.held.nanos)
        found = results(started)

    (day, everything) = store.read_spend(("acme/prod/day/1", "*"), now=NOW)
    kept = sum(each["kept"] for each in found)
    assert worker.CAP.nanos is not None
    assert max(seen) <= worker.CAP.nanos
    assert day.spent.nanos == everything.spent.nanos == kept == worker.CAP.nanos
    assert day.held.nanos == everything.held.nanos == 0
    store.close()


def test_a_reservation_of_a_killed_process_expires_to_its_estimate(path: Path) -> None:
    with workers("hold", path, processes=2, count=5) as started:
        go(started)
        assert [_line(each) for each in started] == ["held\n", "held\n"]
        for each in started:
            each.kill()
            each.wait()

    store = BlockingControlStore(SqliteControlStore(path))
    keys = ("acme/prod/run/1", "acme/prod/day/1")
    before = [(use.spent.nanos, use.held.nanos) for use in store.read_spend(keys, now=NOW + 59.9)]
    after = [(use.spent.nanos, use.held.nanos) for use in store.read_spend(keys, now=NOW + 60.0)]
    late = store.settle_spend("0:0", Amount(1), now=NOW + 61.0)
    assert before == [(0, 100)] * 2
    assert after == [(70, 0)] * 2
    assert (late.applied, late.state) == (False, "expired")
    store.close()


def test_claim_and_lease_of_a_killed_process_lapse(path: Path) -> None:
    with workers("hold", path, processes=1, count=1) as started:
        go(started)
        assert _line(started[0]) == "held\n"
        started[0].kill()
        started[0].wait()

    store = BlockingControlStore(SqliteControlStore(path))
    times = (NOW + 59.0, NOW + 60.0)
    verdicts = [store.claim("k", args_hash="a", owner="next", now=at, lease_s=9.0).verdict for at in times]
    leases = [store.acquire_lease("l", cap=1, owner="next", now=at, ttl_s=9.0).lease for at in times]
    assert verdicts == ["busy", "in_doubt"]
    assert leases[0] is None
    assert leases[1] is not None
    assert leases[1].fencing == 2
    store.close()


def test_exactly_one_process_wins_each_claim(path: Path) -> None:
    found = race("claim", path, processes=6, count=40)

    assert sorted(n for won in found for n in won) == list(range(40))


def test_slots_taken_are_never_above_the_cap(path: Path) -> None:
    found = race("lease", path, processes=6, count=60)

    numbers = [n for each in found for n in each["numbers"]]
    assert max(each["most"] for each in found) <= 3
    assert len(set(numbers)) == len(numbers) == max(numbers)


def test_one_of_a_hundred_callers_in_four_processes_probes(path: Path) -> None:
    store = BlockingControlStore(SqliteControlStore(path))
    verdict = store.ask_breaker("b", worker.RULE, now=NOW - 11.0, token="t")
    store.report_breaker(
        "b", worker.RULE, now=NOW - 11.0, generation=verdict.generation, sample="failed", token="t"
    )

    assert sum(race("probe", path, processes=4, count=25)) == 1
    store.close()


def test_processes_share_one_rate_limit(path: Path) -> None:
    assert sum(race("rate", path, processes=4, count=25)) == 37


def test_an_approval_is_decided_once_and_used_once(path: Path) -> None:
    store = BlockingControlStore(SqliteControlStore(path))
    store.open_approval(worker.BINDING, arguments={}, now=NOW, ttl_s=60.0)

    found = race("use", path, processes=4, count=1)

    assert sum(each["decided"] for each in found) == 1
    assert sum(each["used"] for each in found) == 1
    store.close()


def test_one_delivery_opens_the_run_and_one_stop_reason_is_set(path: Path) -> None:
    found = race("run", path, processes=6, count=1)

    (first,) = [each for each in found if each["first"]]
    (stopped,) = [each for each in found if each["applied"]]
    assert {each["run"] for each in found} == {first["run"]}
    assert {each["stop"] for each in found} == {stopped["stop"]}


def test_scopes_in_any_order_do_not_deadlock(path: Path) -> None:
    count = 2000 if FULL else 100

    assert race("scopes", path, processes=4, count=count) == [count] * 4


def test_each_hold_ends_once_whoever_ends_it(path: Path) -> None:
    store = BlockingControlStore(SqliteControlStore(path))
    for n in range(50):
        store.reserve_spend(f"h{n}", (SpendScope("*"),), Amount(1), now=NOW, ttl_s=60.0)

    found = race("settled", path, processes=4, count=50)

    (use,) = store.read_spend(("*",), now=NOW)
    assert sum(found) == 50
    assert use.held == Amount()
    store.close()
