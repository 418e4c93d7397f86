"""State as tools reach it: scratch, memory, artifacts, cached results and credentials of one tenant each."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.record.recorder import memory_wrap
from runtime.core.canonical import canonical_bytes
from runtime.core.effects import ToolResult
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent, run_agent_async
from runtime.entry.state import State
from runtime.errors import UsageError
from runtime.ports.state import MemoryChange, Scope, Slot
from runtime.ports.tools import ToolContext
from runtime.state.tools.credentials import StaticCredentials
from runtime.testing import FakeClock, ScriptedModel, calls
from runtime.tools.tool import Tool, tool
from tests.support.agents import Prices

SEEN = Slot("seen", list[str])
KEY = "sk-tenant-0123456789abcdef"
ACME = Scope(tenant="acme", environment="prod")


def agent_of(*tools: Tool, **fields: Any) -> Agent:
    return Agent(name="clerk", model="m1", tools=tools, **fields)


def run(
    agent: Agent, script: list[Any], *, tenant: str = "acme", request_id: str = "req_1", **ports: Any
) -> RunResult:
    request = Request(prompt="go", tenant=tenant, environment="prod", request_id=request_id)
    model = ports.pop("model", None) or ScriptedModel(script)
    return asyncio.run(run_agent_async(agent, request, model=model, prices=Prices(), **ports))


@pytest.fixture
def looking() -> tuple[Tool, list[str]]:
    made: list[str] = []

    @tool(cache_s=60.0)
    async def look(q: str) -> str:
        made.append(q)
        return f"found {q}"

    return look, made


@tool
async def visit(place: str, ctx: ToolContext) -> str:
    """Note a place; raise for the place `hell`."""
    seen = [*(ctx.scratch.get(SEEN) or []), place]
    ctx.scratch.put(SEEN, seen)
    if place == "hell":
        raise ValueError("no way back")
    return ", ".join(seen)


def test_what_a_call_puts_into_the_scratch_the_next_call_of_the_run_finds() -> None:
    agent = agent_of(visit, scratch=(SEEN,))
    script = [calls(("visit", {"place": "rome"})), calls(("visit", {"place": "oslo"})), "done"]

    first, second = run(agent, list(script)), run(agent, list(script), request_id="req_2")

    assert [c.result for c in first.trace.tool_calls] == ["rome", "rome, oslo"]
    assert [c.result for c in second.trace.tool_calls] == ["rome", "rome, oslo"]


def test_a_call_that_fails_leaves_nothing_in_the_scratch() -> None:
    from runtime.core.policy import Policy

    agent = agent_of(visit, scratch=(SEEN,), policy=Policy(allow="any", on_failure="tell"))
    script = [calls(("visit", {"place": "hell"})), calls(("visit", {"place": "oslo"})), "done"]

    result = run(agent, script)

    assert [c.result for c in result.trace.tool_calls] == [None, "oslo"]


def test_what_was_put_is_part_of_the_recorded_result() -> None:
    sink, wrap = memory_wrap()

    run(agent_of(visit, scratch=(SEEN,)), [calls(("visit", {"place": "rome"})), "done"], wrap=wrap)

    (call,) = [i for i in sink.recording().interactions if i.record.name == "visit"]
    result = call.outcome().value
    assert isinstance(result, ToolResult)
    assert result.saved == {"seen": ["rome"]}


def test_a_slot_that_the_agent_does_not_have_is_an_error_of_the_call() -> None:
    result = run(agent_of(visit), [calls(("visit", {"place": "rome"})), "done"])

    assert result.stop_reason == "tool_error_exhausted:visit"
    assert "no slot 'seen'" in str(result.trace.tool_calls[0].error)


@tool
async def remember(fact: str, ctx: ToolContext) -> str:
    """Remember a fact about a customer."""
    ctx.memory.put("customer 7", "fact", fact, ttl_s=3600.0)
    return "noted"


@tool
async def recall(ctx: ToolContext) -> str:
    """Tell what is remembered."""
    entry = ctx.memory.get("customer 7", "fact")
    return "nothing" if entry is None else f"{entry.value} ({entry.request_id})"


def test_memory_outlives_the_run_and_belongs_to_one_tenant(tmp_path: Path) -> None:
    agent = agent_of(remember, recall)
    told: list[MemoryChange] = []
    state = State(tmp_path / "state")
    run(agent, [calls(("remember", {"fact": "likes tea"})), "done"], state=state, audit=told.append)
    state.close()

    again = State(tmp_path / "state")
    own = run(agent, [calls(("recall", {})), "done"], state=again, request_id="req_2")
    other = run(agent, [calls(("recall", {})), "done"], state=again, tenant="evil")
    again.close()

    assert own.trace.tool_calls[0].result == "likes tea (req_1)"
    assert other.trace.tool_calls[0].result == "nothing"
    assert [(c.action, c.scope_tenant, c.request_id) for c in told] == [("put", "acme", "req_1")]


def test_a_change_of_memory_that_the_audit_cannot_keep_is_undone() -> None:
    def broken(change: MemoryChange) -> None:
        raise OSError("the disk is full")

    agent, state = agent_of(remember, recall), State()
    refused = run(agent, [calls(("remember", {"fact": "likes tea"})), "done"], state=state, audit=broken)
    after = run(agent, [calls(("recall", {})), "done"], state=state, request_id="req_2")

    assert refused.stop_reason == "tool_error_exhausted:remember"
    assert after.trace.tool_calls[0].result == "nothing"


def test_a_run_without_state_says_so_to_a_tool_that_wants_memory() -> None:
    result = run(agent_of(recall), [calls(("recall", {})), "done"])

    assert "this run was given no memory" in str(result.trace.tool_calls[0].error)


@tool(max_result_bytes=512)
async def dump() -> str:
    """Return a lot of text."""
    return "line of a long report\n" * 5_000


@tool
async def size_of(digest: str, ctx: ToolContext) -> int:
    """Return the size of an artifact."""
    data = ctx.artifacts.get(digest)
    return -1 if data is None else len(data)


def test_a_large_result_becomes_an_artifact_that_only_its_tenant_finds(tmp_path: Path) -> None:
    state = State(tmp_path)
    agent = agent_of(dump, size_of)
    result = run(agent, [calls(("dump", {})), "done"], state=state)
    shown = str(result.trace.tool_calls[0].result)
    digest = shown.rpartition("sha256:")[2].rstrip("]")

    ask = [calls(("size_of", {"digest": digest})), "done"]
    own = run(agent, list(ask), state=state, request_id="req_2")
    other = run(agent, list(ask), state=state, tenant="evil")
    state.close()

    assert len(shown.encode()) <= 512
    assert own.trace.tool_calls[0].result == "110000"
    assert other.trace.tool_calls[0].result == "-1"


def test_without_artifacts_a_large_result_is_cut_and_says_that_the_rest_is_gone() -> None:
    model = ScriptedModel([calls(("dump", {})), "done"])

    result = run(agent_of(dump), [], model=model)

    shown = str(result.trace.tool_calls[0].result)
    assert "110000 bytes; the rest was not kept]" in shown
    assert len(canonical_bytes(model.requests[-1].messages)) < 2_000


def test_artifacts_that_cannot_be_written_do_not_make_a_call_that_was_made_fail() -> None:
    class Full:
        scope = ACME

        def put(self, data: bytes) -> str:
            raise OSError("the disk is full")

        def get(self, digest: str) -> bytes | None:
            return None

        def delete(self, digest: str) -> bool:
            return False

    result = run(agent_of(dump), [calls(("dump", {})), "done"], artifacts=Full())

    assert result.stop_reason == "finish"
    assert "the rest was not kept" in str(result.trace.tool_calls[0].result)


def test_an_equal_call_of_a_cached_tool_gets_the_kept_result(looking: tuple[Tool, list[str]]) -> None:
    look, made = looking
    clock, state = FakeClock(), State(clock=FakeClock())
    ask = [calls(("look", {"q": "a"})), calls(("look", {"q": "a"})), calls(("look", {"q": "b"})), "done"]

    result = run(agent_of(look), ask, state=state, clock=clock)

    assert [c.status for c in result.trace.tool_calls] == ["ok", "cached", "ok"]
    assert [c.result for c in result.trace.tool_calls] == ["found a", "found a", "found b"]
    assert made == ["a", "b"]


def test_a_kept_result_lasts_for_the_tools_own_time(looking: tuple[Tool, list[str]]) -> None:
    look, made = looking
    clock = FakeClock()
    state = State(clock=clock)
    for number, seconds in enumerate((0.0, 59.0, 1.0)):
        clock.seconds += seconds
        run(agent_of(look), [calls(("look", {"q": "a"})), "done"], state=state, request_id=f"req_{number}")

    assert made == ["a", "a"]


def test_a_kept_result_is_never_given_to_another_tenant(looking: tuple[Tool, list[str]]) -> None:
    look, made = looking
    state = State()
    for tenant in ("acme", "evil", "acme"):
        run(agent_of(look), [calls(("look", {"q": "a"})), "done"], state=state, tenant=tenant)

    assert made == ["a", "a"]


def test_a_new_version_of_a_tool_has_no_kept_results() -> None:
    made: list[str] = []

    def of(version: str) -> Tool:
        @tool(cache_s=60.0, version=version)
        async def look(q: str) -> str:
            made.append(version)
            return version

        return look

    state = State()
    for version in ("1", "2", "1"):
        run(agent_of(of(version)), [calls(("look", {"q": "a"})), "done"], state=state)

    assert made == ["1", "2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cache_s": 5.0, "write": True}, "cannot be cached"),
        ({"cache_s": 0.0}, "no time to keep"),
        ({"max_result_bytes": 10}, "cannot be limited"),
        ({"dedupe_by": ("order",)}, "names 'order', which is no argument"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: Any, words: str) -> None:
    async def act(order_id: str) -> str:
        return order_id

    with pytest.raises(UsageError, match=words):
        tool(**options)(act)


FORMS: dict[str, Callable[[str], str]] = {
    "raw": lambda secret: f"token={secret}!",
    "basic": lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
    "hex": lambda secret: secret.encode().hex(),
    "json": lambda secret: json.dumps({"headers": {"authorization": secret}}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fails", [False, True])
def test_a_credential_is_in_nothing_that_the_model_or_the_recording_sees(form: str, fails: bool) -> None:
    given: list[str] = []

    @tool
    async def fetch(ctx: ToolContext) -> str:
        secret = ctx.credential("api").reveal()
        given.append(secret)
        if fails:
            raise ValueError(f"401 for {FORMS[form](secret)}")
        return f"sent {FORMS[form](secret)} to the server"

    state = State(credentials=StaticCredentials({ACME: {"api": KEY}}))
    sink, wrap = memory_wrap(redact=False)
    model = ScriptedModel([calls(("fetch", {})), "done"])

    result = run(agent_of(fetch), [], model=model, state=state, wrap=wrap)

    told = msgspec.json.encode([result.trace, sink.records, [r.messages for r in model.requests]])
    assert given == [KEY]
    assert b"<credential api>" in told
    assert KEY.encode() not in told
    assert KEY.encode().hex().encode() not in told
    assert base64.b64encode(KEY.encode())[4:-4] not in told


def test_no_head_of_a_credential_is_left_where_a_long_error_is_cut() -> None:
    @tool
    async def fetch(ctx: ToolContext) -> str:
        secret = ctx.credential("api").reveal()
        raise ValueError("x" * (4_000 - len("ValueError: ") - 10) + secret)

    state = State(credentials=StaticCredentials({ACME: {"api": KEY}}))
    result = run(agent_of(fetch), [calls(("fetch", {})), "done"], state=state)

    error = str(result.trace.tool_calls[0].error)
    assert KEY[:6] not in error
    assert len(error) < 4_100


def test_a_credential_of_another_tenant_is_not_to_be_had() -> None:
    @tool
    async def fetch(ctx: ToolContext) -> str:
        return ctx.credential("api").reveal()

    state = State(credentials=StaticCredentials({ACME: {"api": KEY}}))
    result = run(agent_of(fetch), [calls(("fetch", {})), "done"], state=state, tenant="evil")

    assert result.stop_reason == "tool_error_exhausted:fetch"
    assert KEY not in str(result.trace)


def test_the_sync_entry_takes_state_too() -> None:
    state = State()
    agent = agent_of(remember, recall)
    model = ScriptedModel([calls(("remember", {"fact": "tea"})), calls(("recall", {})), "done"])

    result = run_agent(agent, "go", model=model, prices=Prices(), state=state)

    assert str(result.trace.tool_calls[1].result).startswith("tea (req_")
