"""The control file itself: threads, forks, restarts, foreign files, and a store that cannot be used."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.control.breaker import BreakerRule
from runtime.control.ledger import Amount, Caps, SpendScope
from runtime.control.switches import Switch, SwitchRef
from runtime.errors import DataError
from runtime.ports.control_values import ControlUnavailable
from runtime.state.control.blocking import BlockingControlStore
from runtime.state.control.sqlite_file import SqliteFile
from runtime.state.control.sqlite_store import SqliteControlStore
from runtime.testing.ram_store import RamControlStore

KILL = Switch(ref=SwitchRef(scope="global"), by="ana", reason="incident", at=1.0)


def test_threads_never_pass_a_cap(tmp_path: Path) -> None:
    scopes = (SpendScope("acme/prod/day/1", Caps(nanos=37)), SpendScope("*"))
    for made in (SqliteControlStore(tmp_path / "control.db"), RamControlStore()):
        store = BlockingControlStore(made)
        with ThreadPoolExecutor(8) as pool:
            granted = pool.map(
                lambda n, s=store: s.reserve_spend(f"r{n}", scopes, Amount(1), now=1.0, ttl_s=9.0).granted,
                range(100),
            )
            assert sum(granted) == 37
        store.close()


def test_one_of_a_hundred_threads_probes(tmp_path: Path) -> None:
    rule = BreakerRule(min_calls=1, cooldown_s=1.0)
    store = BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))
    store.report_breaker("b", rule, now=0.0, generation=0, sample="failed", token="t")

    with ThreadPoolExecutor(16) as pool:
        asked = pool.map(lambda n: store.ask_breaker("b", rule, now=9.0, token=f"{n}"), range(100))

    assert sum(verdict.probe for verdict in asked) == 1
    store.close()


def test_a_switch_pulled_by_one_store_is_seen_by_the_next_read_of_another(tmp_path: Path) -> None:
    ours, theirs = (BlockingControlStore(SqliteControlStore(tmp_path / "control.db")) for _ in range(2))
    assert ours.read_switches().switches == ()

    theirs.put_switch(KILL)

    assert ours.read_switches().switches == (KILL,)
    assert ours.read_switches() is ours.read_switches()
    ours.close()
    theirs.close()


def test_a_fork_works_on_connections_and_threads_of_its_own(tmp_path: Path) -> None:
    store = SqliteControlStore(tmp_path / "control.db")

    async def hold(name: str) -> bool:
        await store.reserve_spend(name, (SpendScope("*"),), Amount(1), now=1.0, ttl_s=9.0)
        return (await store.read_switches()).switches == (KILL,)

    asyncio.run(store.put_switch(KILL))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if asyncio.run(hold("child")) else 2
            store.close()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    asyncio.run(hold("parent"))

    assert os.waitstatus_to_exitcode(status) == 0
    assert asyncio.run(store.read_spend(("*",), now=1.0))[0].held.nanos == 2
    store.close()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "foreign.db") as db:
        db.execute("CREATE TABLE notes (text)")
    db.close()

    with pytest.raises(DataError, match="not one of control state"):
        BlockingControlStore(SqliteControlStore(tmp_path / "foreign.db"))


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    BlockingControlStore(SqliteControlStore(tmp_path / "control.db")).close()
    db = sqlite3.connect(tmp_path / "control.db")
    db.execute("PRAGMA user_version=99")
    db.close()

    with pytest.raises(DataError, match="version 99"):
        BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"not a database at all, but long enough to be read as one" * 20)

    with pytest.raises(ControlUnavailable, match="cannot be used"):
        BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))


def test_a_store_that_cannot_be_written_refuses_and_works_again_later(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    store = BlockingControlStore(SqliteControlStore(path, busy_timeout_s=0.05))
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    with pytest.raises(ControlUnavailable, match="locked"):
        store.claim("k", args_hash="a", owner="o", now=1.0, lease_s=9.0)
    blocker.execute("ROLLBACK")
    blocker.close()

    assert store.claim("k", args_hash="a", owner="o", now=1.0, lease_s=9.0).verdict == "won"
    store.close()


def test_a_closed_store_is_unavailable(tmp_path: Path) -> None:
    store = BlockingControlStore(SqliteControlStore(tmp_path / "control.db"))
    store.close()
    store.close()

    with pytest.raises(ControlUnavailable, match="closed"):
        store.read_switches()


def test_an_operation_that_raises_undoes_itself_and_not_its_neighbours(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "control.db")

    def insert(db: sqlite3.Connection, name: str) -> None:
        db.execute("INSERT INTO lease_numbers VALUES (?, 1)", (name,))
        if name == "bad":
            raise ZeroDivisionError

    async def main() -> list[object]:
        names = ("first", "bad", "last")
        work = [file.write(lambda db, n=n: insert(db, n), durable=False) for n in names]  # type: ignore[misc]
        return await asyncio.gather(*work, return_exceptions=True)

    answers = asyncio.run(main())
    rows = asyncio.run(file.read(lambda db: db.execute("SELECT name FROM lease_numbers").fetchall()))

    assert [type(answer) for answer in answers] == [type(None), ZeroDivisionError, type(None)]
    assert sorted(rows) == [("first",), ("last",)]
    file.close()


def test_what_people_decide_is_synced_and_the_ledger_is_not(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "control.db")

    def pragma(name: str) -> Callable[[sqlite3.Connection], object]:
        return lambda db: db.execute(f"PRAGMA {name}").fetchone()[0]

    async def main() -> tuple[object, ...]:
        return (
            await file.write(pragma("synchronous"), durable=True),
            await file.write(pragma("synchronous"), durable=False),
            await file.read(pragma("journal_mode")),
        )

    assert asyncio.run(main()) == (2, 1, "wal")
    file.close()


def test_operations_that_wait_together_are_one_transaction(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    store = SqliteControlStore(path)
    asyncio.run(store.put_switch(KILL))
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    statements: list[str] = []
    store._file.writable().set_trace_callback(statements.append)

    async def main() -> None:
        work = [
            asyncio.ensure_future(
                store.reserve_spend(f"r{n}", (SpendScope("*"),), Amount(1), now=1.0, ttl_s=9.0)
            )
            for n in range(20)
        ]
        await asyncio.sleep(0)  # all are asked for, and the writer has the first of them at most
        blocker.execute("ROLLBACK")
        await asyncio.gather(*work)

    asyncio.run(main())

    assert statements.count("COMMIT") == 1
    blocker.close()
    store.close()


def test_a_foreign_lock_refuses_writes_in_time_and_leaves_the_loop_and_readers_going(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    store = SqliteControlStore(path, busy_timeout_s=0.2)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    turns, boards = [0], [0]

    async def main() -> list[object]:
        async def turn() -> None:
            while True:
                turns[0] += 1
                await asyncio.sleep(0)

        async def look() -> None:
            while True:
                boards[0] += (await store.read_switches()).epoch == 0

        beside = [asyncio.create_task(turn()), asyncio.create_task(look())]
        work = [store.claim(f"k{n}", args_hash="a", owner="o", now=1.0, lease_s=9.0) for n in range(5)]
        answers = await asyncio.gather(*work, return_exceptions=True)
        for task in beside:
            task.cancel()
        return list(answers)

    answers = asyncio.run(main())
    blocker.execute("ROLLBACK")
    after = asyncio.run(store.claim("k0", args_hash="a", owner="o", now=1.0, lease_s=9.0))

    assert [type(answer) for answer in answers] == [ControlUnavailable] * 5
    assert turns[0] > 100
    assert boards[0] > 5
    assert after.verdict == "won"  # what was refused did not take place
    blocker.close()
    store.close()
