"""Memory: each fact ends, each change is told before it counts, and no scope sees another."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from runtime.errors import DataError, UsageError
from runtime.ports.state import MemoryChange, MemoryEntry, Scope
from runtime.state.tools.memory import SqliteMemory, VolatileMemory
from tests.support.counts import examples

ACME = Scope(tenant="acme", environment="test")
EVIL = Scope(tenant="evil", environment="test")


class World:
    """A clock, an audit, and memories that use both."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.now = 100.0
        self.told: list[MemoryChange] = []
        self.refuses = False
        self.opened: list[SqliteMemory] = []

    def audit(self, change: MemoryChange) -> None:
        if self.refuses:
            raise DataError("the audit log is full")
        self.told.append(change)

    def open(self, scope: Scope = ACME) -> SqliteMemory:
        of: dict[str, Any] = {"audit": self.audit, "now": lambda: self.now, "max_value_bytes": 100}
        made = VolatileMemory(scope, **of) if self.path is None else SqliteMemory(self.path, scope, **of)
        self.opened.append(made)
        return made


@pytest.fixture(params=["volatile", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(None if request.param == "volatile" else tmp_path / "memory.db")
    yield made
    for each in made.opened:
        each.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "memory.db")
    yield made
    for each in made.opened:
        each.close()


def test_fact_is_remembered_with_its_origin_until_it_ends(world: World) -> None:
    memory = world.open()
    memory.put("ann", "plan", {"tier": "gold"}, ttl_s=10, request_id="req_1")

    world.now = 109.9
    found = memory.get("ann", "plan")
    world.now = 110.0

    assert found == MemoryEntry(
        subject="ann",
        name="plan",
        value={"tier": "gold"},
        written_at=100.0,
        expires_at=110.0,
        request_id="req_1",
    )
    assert (memory.get("ann", "plan"), memory.entries("ann")) == (None, ())


def test_later_fact_of_one_name_takes_the_place_of_the_earlier(world: World) -> None:
    memory = world.open()
    memory.put("ann", "plan", 1, ttl_s=10, request_id="req_1")
    memory.put("ann", "plan", 2, ttl_s=99, request_id="req_2")
    memory.put("ann", "also", 3, ttl_s=99, request_id="req_2")

    assert [(e.name, e.value) for e in memory.entries("ann")] == [("also", 3), ("plan", 2)]


@pytest.mark.parametrize("ttl_s", [0, -1, float("inf"), float("nan")])
def test_nothing_is_remembered_without_an_end(world: World, ttl_s: float) -> None:
    memory = world.open()

    with pytest.raises(UsageError, match="no time to remember"):
        memory.put("ann", "plan", 1, ttl_s=ttl_s, request_id="req_1")
    with pytest.raises(TypeError):
        memory.put("ann", "plan", 1, request_id="req_1")  # type: ignore[call-arg]  # the end is mandatory
    assert (world.told, memory.get("ann", "plan")) == ([], None)


def test_each_change_is_told_without_its_value(world: World) -> None:
    memory = world.open()
    memory.put("ann", "plan", "secret-4711", ttl_s=10, request_id="req_1")
    memory.forget("ann", "plan", request_id="req_2")
    memory.put("bob", "plan", 1, ttl_s=10, request_id="req_3")
    world.now = 200.0
    assert memory.sweep() == 1

    assert [(c.action, c.subject, c.name, c.entries, c.request_id) for c in world.told] == [
        ("put", "ann", "plan", 1, "req_1"),
        ("forget", "ann", "plan", 1, "req_2"),
        ("put", "bob", "plan", 1, "req_3"),
        ("expire", "bob", None, 1, None),
    ]
    assert {(c.scope_tenant, c.scope_environment) for c in world.told} == {("acme", "test")}
    assert "secret-4711" not in repr(world.told)


def test_change_that_the_audit_cannot_keep_is_undone(world: World) -> None:
    memory = world.open()
    memory.put("ann", "plan", 1, ttl_s=10, request_id="req_1")
    world.refuses = True

    with pytest.raises(DataError, match="audit log is full"):
        memory.put("ann", "plan", 2, ttl_s=10, request_id="req_2")
    with pytest.raises(DataError, match="audit log is full"):
        memory.forget("ann", request_id="req_2")
    world.refuses = False

    assert [e.value for e in memory.entries("ann")] == [1]


def test_forgetting_a_subject_removes_all_of_it_and_nothing_else(world: World) -> None:
    memory = world.open()
    for subject in ("ann", "bob"):
        for name in ("a", "b"):
            memory.put(subject, name, 1, ttl_s=10, request_id="req_1")

    assert memory.forget("ann", request_id="req_2") == 2
    assert memory.forget("ann", request_id="req_2") == 0
    assert (memory.entries("ann"), len(memory.entries("bob"))) == ((), 2)


def test_deletion_request_is_told_also_if_there_was_nothing(world: World) -> None:
    world.open().forget("ann", request_id="req_1")

    assert [(c.action, c.entries) for c in world.told] == [("forget", 0)]


def test_sweep_leaves_other_scopes_alone(disk: World) -> None:
    ours, theirs = disk.open(ACME), disk.open(EVIL)
    ours.put("ann", "plan", 1, ttl_s=10, request_id="req_1")
    theirs.put("ann", "plan", 2, ttl_s=10, request_id="req_1")
    disk.now = 111.0

    assert ours.sweep() == 1
    assert theirs.sweep() == 1


@pytest.mark.parametrize("value", [object(), "x" * 200, {1, "two", (3, object())}])
def test_value_that_is_no_json_or_too_large_is_refused(world: World, value: object) -> None:
    with pytest.raises(UsageError, match="'plan'"):
        world.open().put("ann", "plan", value, ttl_s=10, request_id="req_1")


@pytest.mark.parametrize(
    ("subject", "name", "request_id"), [("", "n", "r"), ("s", "", "r"), ("s", "n", ""), ("\ud800", "n", "r")]
)
def test_fact_needs_subject_name_and_origin(world: World, subject: str, name: str, request_id: str) -> None:
    with pytest.raises(UsageError, match="of a memory"):
        world.open().put(subject, name, 1, ttl_s=10, request_id=request_id)


def test_text_of_a_fact_is_never_a_statement(world: World) -> None:
    memory = world.open()
    odd = "x' OR '1'='1"
    memory.put("ann", "plan", 1, ttl_s=10, request_id="req_1")

    memory.put(odd, odd, 2, ttl_s=10, request_id=odd)
    memory.forget(odd, request_id="req_2")

    assert (memory.entries(odd), len(memory.entries("ann"))) == ((), 1)


def test_facts_outlive_the_process_that_wrote_them(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from runtime.ports.state import Scope\n"
        "from runtime.state.tools.memory import SqliteMemory\n"
        "scope = Scope(tenant='acme', environment='test')\n"
        "memory = SqliteMemory(sys.argv[1], scope, audit=lambda change: None, now=lambda: 0.0)\n"
        "memory.put('ann', 'plan', 'gold', ttl_s=10, request_id='req_1')\n"
        "os._exit(9)\n"
    )
    path = tmp_path / "memory.db"
    root = Path(__file__).parents[4]

    done = subprocess.run([sys.executable, "-c", script, str(path)], cwd=root, timeout=60, check=False)

    assert done.returncode == 9
    with SqliteMemory(path, ACME, audit=lambda _: None, now=lambda: 1.0) as memory:
        assert [e.value for e in memory.entries("ann")] == ["gold"]


def test_foreign_database_and_text_file_are_refused(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "other.db")
    foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    (tmp_path / "text.db").write_text("hello " * 1_000)

    with pytest.raises(DataError, match="no memory of this version"):
        SqliteMemory(tmp_path / "other.db", ACME, audit=lambda _: None, now=lambda: 0.0)
    with pytest.raises(DataError, match="cannot be used"):
        SqliteMemory(tmp_path / "text.db", ACME, audit=lambda _: None, now=lambda: 0.0)


def test_closed_memory_says_so_and_closes_twice(world: World) -> None:
    memory = world.open()
    memory.close()
    memory.close()

    with pytest.raises(DataError, match="cannot be used"):
        memory.get("ann", "plan")


SUBJECTS = st.sampled_from(["ann", "bob"])
FACTS = st.sampled_from(["a", "b", "c"])


class MemoryMachine(RuleBasedStateMachine):
    """Two scopes of one memory file against two dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.changes = 0
        self.model: dict[tuple[Scope, str, str], tuple[int, float]] = {}
        self.first = VolatileMemory(ACME, audit=self.tell, now=lambda: self.now)

    def tell(self, change: MemoryChange) -> None:
        self.changes += 1

    @rule(subject=SUBJECTS, name=FACTS, value=st.integers(0, 9), ttl_s=st.integers(1, 5))
    def put(self, subject: str, name: str, value: int, ttl_s: int) -> None:
        before = self.changes
        self.first.put(subject, name, value, ttl_s=ttl_s, request_id="r")
        self.model[ACME, subject, name] = (value, self.now + ttl_s)
        assert self.changes == before + 1

    @rule(subject=SUBJECTS, name=st.none() | FACTS)
    def forget(self, subject: str, name: str | None) -> None:
        self.first.forget(subject, name, request_id="r")
        self.model = {
            key: fact
            for key, fact in self.model.items()
            if key[1] != subject or (name is not None and key[2] != name)
        }

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        ended = [key for key, (_, end) in self.model.items() if end <= self.now]
        assert self.first.sweep() == len(ended)
        for key in ended:
            del self.model[key]

    @invariant()
    def same_as_the_model(self) -> None:
        for subject in ("ann", "bob"):
            seen = {e.name: e.value for e in self.first.entries(subject)}
            assert seen == {
                name: value
                for (_, of, name), (value, end) in self.model.items()
                if of == subject and end > self.now
            }

    def teardown(self) -> None:
        self.first.close()


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(max_examples=examples(), stateful_step_count=20)
