"""The control file itself: threads, forks, restarts, foreign files, and a store that cannot be used."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.control.breaker import BreakerRule
from runtime.control.ledger import Amount, Caps, SpendScope
from runtime.control.switches import Switch, SwitchRef
from runtime.errors import DataError
from runtime.ports.control_values import ControlUnavailable
from runtime.state.control.sqlite_file import SqliteFile
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing.ram_store import RamControlStore

KILL = Switch(ref=SwitchRef(scope="global"), by="ana", reason="incident", at=1.0)


def test_threads_never_pass_a_cap(tmp_path: Path) -> None:
    scopes = (SpendScope("acme/prod/day/1", Caps(nanos=37)), SpendScope("*"))
    for store in (SqliteControlStore(tmp_path / "control.db"), RamControlStore()):
        with ThreadPoolExecutor(8) as pool:
            granted = pool.map(
                lambda n, s=store: s.reserve_spend(f"r{n}", scopes, Amount(1), now=1.0, ttl_s=9.0).granted,
                range(100),
            )
            assert sum(granted) == 37
        store.close()


def test_one_of_a_hundred_threads_probes(tmp_path: Path) -> None:
    rule = BreakerRule(min_calls=1, cooldown_s=1.0)
    store = SqliteControlStore(tmp_path / "control.db")
    store.report_breaker("b", rule, now=0.0, generation=0, sample="failed", token="t")

    with ThreadPoolExecutor(16) as pool:
        asked = pool.map(lambda n: store.ask_breaker("b", rule, now=9.0, token=f"{n}"), range(100))

    assert sum(verdict.probe for verdict in asked) == 1
    store.close()


def test_a_switch_pulled_by_one_store_is_seen_by_the_next_read_of_another(tmp_path: Path) -> None:
    ours, theirs = (SqliteControlStore(tmp_path / "control.db") for _ in range(2))
    assert ours.read_switches().switches == ()

    theirs.put_switch(KILL)

    assert ours.read_switches().switches == (KILL,)
    assert ours.read_switches() is ours.read_switches()
    ours.close()
    theirs.close()


def test_a_fork_opens_its_own_connections_and_leaves_the_parents_alone(tmp_path: Path) -> None:
    store = SqliteControlStore(tmp_path / "control.db")
    store.put_switch(KILL)
    inherited = set(store._file._links)

    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.reserve_spend("child", (SpendScope("*"),), Amount(1), now=1.0, ttl_s=9.0)
            seen = store.read_switches().switches == (KILL,)
            code = 0 if seen and not inherited & store._file._links else 2
            store.close()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    store.reserve_spend("parent", (SpendScope("*"),), Amount(1), now=1.0, ttl_s=9.0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert store.read_spend(("*",), now=1.0)[0].held.nanos == 2
    store.close()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "foreign.db") as db:
        db.execute("CREATE TABLE notes (text)")
    db.close()

    with pytest.raises(DataError, match="not one of control state"):
        SqliteControlStore(tmp_path / "foreign.db")


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    SqliteControlStore(tmp_path / "control.db").close()
    db = sqlite3.connect(tmp_path / "control.db")
    db.execute("PRAGMA user_version=99")
    db.close()

    with pytest.raises(DataError, match="version 99"):
        SqliteControlStore(tmp_path / "control.db")


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"not a database at all, but long enough to be read as one" * 20)

    with pytest.raises(ControlUnavailable, match="cannot be used"):
        SqliteControlStore(tmp_path / "control.db")


def test_a_store_that_cannot_be_written_refuses_and_works_again_later(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    store = SqliteControlStore(path, busy_timeout_s=0.05)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    with pytest.raises(ControlUnavailable, match="locked"):
        store.claim("k", args_hash="a", owner="o", now=1.0, lease_s=9.0)
    blocker.execute("ROLLBACK")
    blocker.close()

    assert store.claim("k", args_hash="a", owner="o", now=1.0, lease_s=9.0).verdict == "won"
    store.close()


def test_a_closed_store_is_unavailable(tmp_path: Path) -> None:
    store = SqliteControlStore(tmp_path / "control.db")
    store.close()
    store.close()

    with pytest.raises(ControlUnavailable, match="closed"):
        store.read_switches()


def test_an_operation_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "control.db")

    def fails() -> None:
        with file.write() as db:
            db.execute("INSERT INTO lease_numbers VALUES ('l', 1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    with file.read() as db:
        rows = db.execute("SELECT * FROM lease_numbers").fetchall()

    assert rows == []
    file.close()


def test_what_people_decide_is_synced_and_the_ledger_is_not(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "control.db")
    with file.write_synced() as db:
        synced = db.execute("PRAGMA synchronous").fetchone()[0]
    with file.write() as db:
        plain = db.execute("PRAGMA synchronous").fetchone()[0]
    with file.read() as db:
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]

    assert (synced, plain, mode) == (2, 1, "wal")
    file.close()
