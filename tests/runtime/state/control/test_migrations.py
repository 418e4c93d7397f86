"""A control file of version 1 is brought up to date with all that was open in it; a newer one is refused."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.control.approvals import Binding, approval_id
from runtime.control.breaker import BreakerRule
from runtime.control.ledger import Amount, Caps
from runtime.errors import DataError
from runtime.ports.control_values import RunKey, RunOwner
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_schema import VERSION
from runtime.state.control.sqlite_store import SqliteControlStore

STORED = Path(__file__).parents[3] / "fixtures" / "control" / "v1.db"
"""Written by the release before: open and ended claims, approvals, holds, a tripped breaker, a switch, an act."""
KEY = RunKey(tenant="acme", environment="prod", request_id="req_1")
NOW = 1010.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(STORED, tmp_path / "control.db"))


@pytest.fixture
def store(path: Path) -> Iterator[BlockingControlStore]:
    made = BlockingControlStore(SqliteControlStore(path))
    yield made
    made.close()


def binding(lane: str) -> Binding:
    return Binding(
        tenant="acme",
        environment="prod",
        request_id="req_1",
        lane=lane,
        tool="pay",
        args_hash="a1",
        policy_hash="p1",
    )


def claim(store: BlockingControlStore, key: str, args_hash: str) -> str:
    owner = RunOwner(key=KEY, fencing=1)
    answer = store.claim(key, args_hash=args_hash, owner="next", now=NOW, lease_s=9.0, run=owner, epoch=1)
    return answer.verdict


def test_open_claims_keep_their_answers(store: BlockingControlStore) -> None:
    verdicts = [claim(store, *each) for each in (("idem_open", "a"), ("idem_done", "b"), ("idem_doubt", "c"))]
    done = store.lookup_claim("idem_done", now=NOW)

    assert verdicts == ["busy", "done", "in_doubt"]
    assert done is not None
    assert done.result is not None
    assert done.result.content == "paid"
    assert claim(store, "idem_new", "d") == "won"


def test_open_approvals_can_be_decided_and_used(store: BlockingControlStore) -> None:
    pending, granted = binding("2.approval0/1"), binding("2.approval1/1")

    decided = store.decide_approval(
        approval_id(pending), decision="granted", by="bob", args_hash="a1", now=NOW
    )
    used = [
        store.use_approval(approval_id(each), binding=each, now=NOW, run=RunOwner(key=KEY, fencing=1)).applied
        for each in (pending, granted)
    ]

    assert decided.applied
    assert used == [True, True]


def test_the_ledger_switches_breakers_runs_and_acts_are_all_there(store: BlockingControlStore) -> None:
    day, everything = store.read_spend(("acme/prod/day/2026-11-28", "*"), now=NOW)
    settled = store.settle_spend("acme/prod/hold/run_1/1.model/1", Amount(100, 90, 0, 1), now=NOW)

    assert (day.spent, day.held) == (Amount(700, 800, 0, 1), Amount(1000, 900, 0, 1))
    assert (day.override, everything.spent.nanos) == (Caps(nanos=9_000), 700)
    assert settled.applied
    assert [(s.ref.scope, s.ref.name) for s in store.read_switches().switches] == [("tool", "refund")]
    assert [(b.key, b.phase) for b in store.list_breakers()] == [
        ("acme/prod/tool/look", "closed"),
        ("acme/prod/tool/pay", "open"),
    ]
    assert not store.ask_breaker("acme/prod/tool/pay", BreakerRule(), now=NOW, token="t").allowed
    assert store.count_leases("acme/prod/tool/look", now=NOW) == 1
    assert store.resume_run(KEY, now=2000.0, alive_until=3000.0) is not None
    assert [run.key.request_id for run in store.list_runs(open_only=True)] == ["req_1"]
    assert [(a.seq, a.action, a.by, a.how) for a in store.list_acts()] == [(1, "disable", "ann", "")]
    assert [c.seq for c in store.list_checkpoints("prod")] == [100]


def test_a_run_that_was_taken_over_before_the_migration_stays_its_new_owners(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute(
        "UPDATE runs SET body = json_set(CAST(body AS TEXT), '$.fencing', 3) WHERE request_id = 'req_1'"
    )
    db.commit()
    db.close()
    store = BlockingControlStore(SqliteControlStore(path))

    assert store.beat_run(KEY, fencing=3, alive_until=2000.0)
    with pytest.raises(DataError, match="taken over"):
        claim(store, "idem_new", "d")
    store.close()


def test_processes_that_open_an_old_file_together_migrate_it_once(path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: SqliteControlStore(path), range(4)))
    for each in stores:
        each.close()
    db = sqlite3.connect(path)

    assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert db.execute("SELECT count(*) FROM acts").fetchone() == (1,)
    db.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE workers (id)")  # in the way
    db.commit()
    with pytest.raises(DataError):
        SqliteControlStore(path)

    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert [row[1] for row in db.execute("PRAGMA table_info(claims)")][-1] == "body"
    db.close()


def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={VERSION + 1}")
    db.close()

    with pytest.raises(DataError, match=f"version {VERSION + 1}"):
        SqliteControlStore(path)
