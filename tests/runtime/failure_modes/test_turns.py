"""Failure modes 39-42: one call of a turn denied, a huge result, odd arguments, an audit log that fails."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from runtime.core.canonical import fingerprint
from runtime.core.policy import Policy
from runtime.ports.state import Scope
from runtime.state.tools.artifacts import MemoryArtifacts
from runtime.testing import ScriptedModel, calls
from runtime.tools.tool import tool
from tests.runtime.failure_modes.world import ENVIRONMENT, ROOT, TENANT, World, agent_of

SCOPE = Scope(tenant=TENANT, environment=ENVIRONMENT)


@pytest.mark.parametrize(("on_denied", "stop"), [("tell", "finish"), ("stop", "policy_deny:secret")])
def test_mode_39_one_denied_call_of_five_leaves_the_order_and_gives_one_stop_reason(
    world: World, on_denied: Any, stop: str
) -> None:
    done: list[int] = []

    @tool
    async def look(n: int) -> str:
        await asyncio.sleep(0.001 * (5 - n))  # the last one finishes first
        done.append(n)
        return f"seen {n}"

    @tool
    async def secret(n: int) -> str:
        done.append(n)
        return "told"

    turn = calls(*(("secret" if n == 2 else "look", {"n": n}) for n in range(5)))
    policy = Policy(allow=("look",), on_denied=on_denied)
    result = asyncio.run(world.run(agent_of(look, secret, policy=policy), [turn, "done"]))

    statuses = [c.status for c in result.trace.tool_calls]
    stopped = on_denied == "stop"
    others = "not_started" if stopped else "ok"
    assert result.stop_reason == stop
    assert world.audit.stops == [stop]
    assert statuses == [others, others, "denied", others, others]
    assert sorted(done) == ([] if stopped else [0, 1, 3, 4])
    assert [c.arguments["n"] for c in result.trace.tool_calls] == list(range(5))


def test_mode_40_a_result_of_50_mb_is_kept_as_an_artifact_and_its_head_is_shown(world: World) -> None:
    whole = "x" * 50_000_000
    artifacts = MemoryArtifacts(SCOPE)

    @tool
    async def dump() -> str:
        return whole

    model = ScriptedModel([calls(("dump", {})), "done"])
    agent = agent_of(dump, max_result_bytes=1_000)
    result = asyncio.run(world.run(agent, [], model=model, artifacts=artifacts))

    (call,) = result.trace.tool_calls
    digest = str(call.result).rpartition("sha256:")[2].rstrip("]")
    sent = json.dumps([str(m) for m in model.requests[-1].messages])
    assert result.stop_reason == "finish"
    assert len(str(call.result)) <= 1_000
    assert len(sent) < 10_000
    assert artifacts.get(digest) == whole.encode()


def test_mode_41_a_fingerprint_is_the_same_in_a_process_with_another_hash_seed() -> None:
    odd = {"b": -0.0, "a": [1e308, "\u00e9\u0065\u0301", True, None], "\U0001f600": {"z": 0, "y": 1.5}}
    code = (
        "import json,sys; from runtime.core.canonical import fingerprint; "
        "print(fingerprint(json.load(sys.stdin)))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            input=json.dumps(odd),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert found == {fingerprint(odd)}


@pytest.mark.parametrize("write", [True, False])
def test_mode_42_writes_are_refused_and_reads_are_buffered_while_the_audit_log_fails(
    world: World, write: bool
) -> None:
    effects: list[int] = []

    @tool
    async def break_log() -> str:
        world.audit.broken = True
        return "broken"

    @tool(write=write, name="act")
    async def act(n: int) -> str:
        effects.append(n)
        if len(effects) == 3:
            world.audit.broken = False
        return "acted"

    script = [calls(("break_log", {})), *(calls(("act", {"n": n})) for n in range(3)), "done"]
    result = asyncio.run(world.run(agent_of(break_log, act), script))

    told = [e.kind for e in world.audit.events if e.name == "act"]
    if write:
        assert (result.stop_reason, effects) == ("control_unavailable", [])
    else:
        assert (result.stop_reason, effects) == ("finish", [0, 1, 2])
    assert told == ([] if write else ["intent", "outcome"] * 3)
