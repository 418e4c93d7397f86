"""Scopes: no key of one scope is a key of another, whatever the names are, and nothing is reached without one."""

from __future__ import annotations

import ast
import inspect
import pickle
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.core.effects import ToolResult
from runtime.errors import UsageError
from runtime.ports import state as port
from runtime.ports.state import Scope, Secret
from runtime.state.tools import artifacts, cache, credentials, memory, scratch
from runtime.state.tools.artifacts import FolderArtifacts, MemoryArtifacts
from runtime.state.tools.cache import ToolCache, cache_key
from runtime.state.tools.credentials import FolderCredentials, ScopedClients, StaticCredentials
from runtime.state.tools.memory import SqliteMemory, VolatileMemory
from runtime.state.tools.scratch import Scratch

KEY = b"s" * 32
ROOT = Path(__file__).parents[4]
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
SCOPES = st.builds(lambda t, e: Scope(tenant=t, environment=e), NAMES, NAMES)
PAIRS = st.tuples(SCOPES, SCOPES).filter(lambda pair: pair[0] != pair[1])
NEAR = (Scope(tenant="a", environment="b/c"), Scope(tenant="a/b", environment="c"))
SWAPPED = (Scope(tenant="a", environment="b"), Scope(tenant="b", environment="a"))
CASE = (Scope(tenant="Acme", environment="t"), Scope(tenant="acme", environment="t"))


@given(pair=PAIRS, tool=NAMES, version=NAMES, arguments=st.dictionaries(NAMES, st.integers()))
@example(pair=NEAR, tool="t", version="1", arguments={})
@example(pair=SWAPPED, tool="t", version="1", arguments={})
def test_mode_16_no_cache_key_or_fingerprint_of_two_scopes_collides(
    pair: tuple[Scope, Scope], tool: str, version: str, arguments: dict[str, int]
) -> None:
    one, two = pair

    assert one.digest != two.digest
    assert cache_key(KEY, one, tool, version, arguments) != cache_key(KEY, two, tool, version, arguments)


@given(pair=PAIRS, name=NAMES)
@example(pair=NEAR, name="n")
@example(pair=CASE, name="n")
@example(pair=(Scope(tenant="..", environment="x"), Scope(tenant="x", environment="..")), name="..")
@example(pair=(Scope(tenant=".", environment="x"), Scope(tenant="%2e", environment="x")), name="n")
def test_no_credential_file_of_two_scopes_is_one_file_also_where_case_does_not_count(
    pair: tuple[Scope, Scope], name: str
) -> None:
    folder = FolderCredentials("/secrets")
    one, two = (folder.path(scope, name) for scope in pair)

    assert str(one).lower() != str(two).lower()
    assert one.parts[:2] == ("/", "secrets")
    assert len(one.parts) == 5
    assert ".." not in one.parts


MARKED = [Scope(tenant=t, environment=e) for t in ("acme", "acme/prod", "evil") for e in ("prod", "test")]


def test_mode_16_marker_of_one_scope_is_found_in_no_other(tmp_path: Path) -> None:
    caches = {s: ToolCache(s, key=KEY, ttl_s=60, now=lambda: 0.0) for s in MARKED}
    memories = {s: SqliteMemory(tmp_path / "m.db", s, audit=lambda _: None, now=lambda: 0.0) for s in MARKED}
    stores = {s: FolderArtifacts(tmp_path / "artifacts", s) for s in MARKED}
    digests = {}
    for scope in MARKED:
        marker = f"marker of {scope.tenant} in {scope.environment}"
        caches[scope].put("look", "1", {"q": "same"}, ToolResult(content=marker))
        memories[scope].put("user", "fact", marker, ttl_s=60, request_id="req_1")
        digests[scope] = stores[scope].put(marker.encode())

    for scope in MARKED:
        marker = f"marker of {scope.tenant} in {scope.environment}"
        assert caches[scope].get("look", "1", {"q": "same"}) == ToolResult(content=marker)
        assert [e.value for e in memories[scope].entries("user")] == [marker]
        assert [s for s in MARKED if stores[scope].get(digests[s]) is not None] == [scope]
        assert memories[scope].forget("user", request_id="req_1") == 1
        memories[scope].close()


@pytest.mark.parametrize(
    "made", [Scratch, MemoryArtifacts, FolderArtifacts, ToolCache, SqliteMemory, VolatileMemory]
)
def test_no_store_is_made_without_a_scope(made: type) -> None:
    scope = inspect.signature(made).parameters["scope"]

    assert scope.default is inspect.Parameter.empty
    assert scope.annotation == "Scope"


@pytest.mark.parametrize(
    "method", [StaticCredentials.get, FolderCredentials.get, ScopedClients.get, cache_key]
)
def test_no_shared_thing_is_asked_without_a_scope(method: object) -> None:
    assert inspect.signature(method).parameters["scope"].default is inspect.Parameter.empty  # type: ignore[arg-type]  # functions all


def test_no_method_takes_a_tenant_or_environment_of_its_own() -> None:
    found = [
        f"{module.__name__}.{function.name}({argument.arg})"
        for module in (port, artifacts, cache, credentials, memory, scratch)
        for function in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(function, ast.FunctionDef)
        for argument in (*function.args.args, *function.args.kwonlyargs)
        if argument.arg in {"tenant", "tenant_id", "environment"}
    ]

    assert found == []


def test_mode_19_call_that_lost_its_scope_is_refused() -> None:
    clients = ScopedClients(lambda scope: scope)

    for nothing in (None, "acme", ("acme", "test")):
        with pytest.raises(UsageError, match="no scope"):
            clients.get(nothing)  # type: ignore[arg-type]  # code without types
        with pytest.raises(UsageError, match="no scope"):
            StaticCredentials({}).get(nothing, "key")  # type: ignore[arg-type]  # code without types


@pytest.mark.parametrize("bad", ["", None, 7, "\ud800"])
def test_scope_of_no_valid_text_is_refused(bad: object) -> None:
    with pytest.raises(UsageError, match="tenant"):
        Scope(tenant=bad, environment="test")  # type: ignore[arg-type]  # code without types
    with pytest.raises(UsageError, match="environment"):
        Scope(tenant="acme", environment=bad)  # type: ignore[arg-type]  # code without types


def test_secret_shows_itself_to_nobody_who_does_not_ask() -> None:
    secret = Secret("hunter2")

    assert secret.reveal() == "hunter2"
    assert "hunter2" not in f"{secret!r} {secret} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_only_the_state_room_opens_sqlite() -> None:
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "runtime").rglob("*.py"))
        if "import sqlite3" in path.read_text(encoding="utf-8")
        and "state" not in path.relative_to(ROOT).parts
    ]

    assert found == []
