"""Failure modes 25-29: an approval is for one exact call, in time, once; and resuming resets no counter."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.cassette.store import read_recording
from harness.sessions.resume import resume_run
from runtime.control.approvals import Approval
from runtime.control.switches import Switch, SwitchRef
from runtime.core.effects import ApprovalAnswer, AskApproval
from runtime.core.messages import ModelRequest
from runtime.core.policy import ArgumentRule, Budget, Policy
from runtime.core.run import Header
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, prepare
from runtime.execution.governor import Governor
from runtime.execution.guarded.performer import GuardedPerformer
from runtime.execution.live.performer import LivePerformer
from runtime.execution.run_guard import ALIVE_S
from runtime.execution.world import World as RunWorld
from runtime.ports.tools import ToolContext
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import ScriptedModel, calls, says
from runtime.testing.scripted import Turn
from runtime.tools.tool import tool
from tests.runtime.failure_modes import worker
from tests.runtime.failure_modes.world import (
    ENVIRONMENT,
    TENANT,
    World,
    agent_of,
    tell,
    told,
    until,
    workers,
)
from tests.support.agents import Prices

PAY = calls(("pay", {"order": 1}))


class Payments:
    """A write that needs an approval, and what it did."""

    def __init__(self, **policy: Any) -> None:
        self.effects: list[int] = []

        @tool(write=True)
        async def pay(order: int) -> str:
            self.effects.append(order)
            return "paid"

        self.agent: Agent = agent_of(pay, policy=Policy(approve=("pay",), loop=None, **policy))


async def pending(world: World, lane: str | None = None) -> Approval:
    """Wait for an approval that is asked for, and return it."""
    found: list[Approval] = []

    def asked() -> bool:
        found[:] = [
            a
            for a in world.store.list_approvals(now=world.governor.now())
            if lane is None or a.binding.lane == lane
        ]
        return bool(found)

    await until(asked)
    return found[0]


def grant(world: World, approval: Approval, args_hash: str | None = None) -> tuple[bool, str | None]:
    change = world.store.decide_approval(
        approval.id,
        decision="granted",
        by="ann",
        args_hash=args_hash or approval.binding.args_hash,
        now=world.governor.now(),
    )
    return change.applied, change.why


def test_a_grant_lets_the_call_start(world: World) -> None:
    payments = Payments()

    async def main() -> RunResult:
        run = asyncio.ensure_future(world.run(payments.agent, [PAY, "done"]))
        grant(world, await pending(world))
        return await run

    assert asyncio.run(main()).stop_reason == "finish"
    assert payments.effects == [1]


def test_mode_25_an_approval_after_its_time_does_nothing_from_any_process(world: World, path: Path) -> None:
    payments = Payments(approval_timeout_s=0.05)
    with workers("decide", path, processes=2) as begun:
        result = asyncio.run(world.run(payments.agent, [PAY, "done"]))
        for each in begun:
            tell(each)
        answers = [told(each) for each in begun]

    assert result.stop_reason == world.stop_in_index() == "approval_timeout"
    assert all(len(found) == 1 and not found[0][0] for found in answers)
    assert {found[0][1] for found in answers} <= {"expired", "void"}
    assert payments.effects == []
    assert world.audit.stops == ["approval_timeout"]


def test_mode_25_the_runs_deadline_ends_the_wait_for_a_person(world: World) -> None:
    payments = Payments(approval_timeout_s=600.0)
    agent = msgspec_replace(payments.agent, budget=Budget(max_seconds=0.1))
    began = time.monotonic()
    result = asyncio.run(world.run(agent, [PAY, "done"]))

    assert result.stop_reason == "max_seconds"
    assert time.monotonic() - began < 10.0
    assert payments.effects == []


def msgspec_replace(agent: Agent, **fields: Any) -> Agent:
    import dataclasses

    return dataclasses.replace(agent, **fields)


def test_mode_26_a_decision_about_other_arguments_changes_nothing(world: World) -> None:
    payments = Payments(approval_timeout_s=0.3)

    async def main() -> tuple[tuple[bool, str | None], RunResult]:
        run = asyncio.ensure_future(world.run(payments.agent, [PAY, "done"]))
        answer = grant(world, await pending(world), args_hash="other")
        return answer, await run

    answer, result = asyncio.run(main())

    assert answer == (False, "other_arguments")
    assert result.stop_reason == "approval_timeout"
    assert payments.effects == []


def header_of(agent: Agent) -> Header:
    request = Request(prompt="go", request_id="req_1", tenant=TENANT, environment=ENVIRONMENT)
    return prepare(agent, request, prices=Prices()).header


def question(header: Header, **fields: Any) -> AskApproval:
    asked = AskApproval(
        lane="0.approval0/1",
        call_id="call_1",
        name="pay",
        arguments={"order": 1},
        args_hash="a1",
        policy_hash=header.policy_hash or "",
        timeout_s=30.0,
    )
    return msgspec.structs.replace(asked, **fields)


@pytest.mark.parametrize("change", [{"args_hash": "a2"}, {"policy_hash": "p2"}], ids=["arguments", "policy"])
def test_mode_26_what_changed_on_resume_is_asked_again(world: World, change: dict[str, str]) -> None:
    header = header_of(Payments().agent)

    async def main() -> tuple[str, bool]:
        await world.governor.open_run(header, payload_hash="p")
        guard = world.governor.guard(header)
        performer = GuardedPerformer(LivePerformer(RunWorld(model=ScriptedModel([]))), guard)
        first = asyncio.ensure_future(performer.perform(question(header)))
        grant(world, await pending(world))
        answer = await first
        again = asyncio.ensure_future(performer.perform(question(header, **change)))
        await pending(world)
        waits = not again.done()
        again.cancel()
        await asyncio.wait({again})
        await guard.close("cancelled")
        assert isinstance(answer.value, ApprovalAnswer)
        return answer.value.decision, waits

    assert asyncio.run(main()) == ("granted", True)


def test_mode_27_two_workers_that_resume_one_run_use_its_approval_once(world: World) -> None:
    payments = Payments()
    header = header_of(payments.agent)

    async def main() -> list[str | None]:
        now = world.governor.now()
        run = (await world.governor.open_run(header, payload_hash="p")).run
        world.store.resume_run(run.key, now=now + 2 * ALIVE_S, alive_until=now + 3 * ALIVE_S)
        guards = [world.governor.guard(header, fencing=n) for n in (1, 2)]
        performers = [
            GuardedPerformer(LivePerformer(RunWorld(model=ScriptedModel([]))), guard) for guard in guards
        ]
        asked = [asyncio.ensure_future(p.perform(question(header))) for p in performers]
        grant(world, await pending(world))
        causes = [None if a.failure is None else a.failure.cause for a in [await a for a in asked]]
        answers = [a.decision for a in [(await a).value for a in asked] if a is not None]
        for guard in guards:
            await guard.close("cancelled")
        return [*causes, *answers]

    # The one that lost the run is told so, and the grant is still there for the other.
    assert asyncio.run(main()) == ["control_unavailable", None, "granted"]


@pytest.mark.parametrize(
    ("ref", "stop"),
    [
        (SwitchRef(scope="tool", name="pay"), "tool_disabled:pay"),
        (SwitchRef(scope="tenant", name=TENANT), "tenant_disabled"),
        (SwitchRef(scope="run", name="req_1"), "operator_kill"),
    ],
    ids=["tool", "tenant", "run"],
)
def test_mode_28_what_was_switched_off_during_the_wait_is_not_executed(
    world: World, ref: SwitchRef, stop: str
) -> None:
    payments = Payments()

    async def main() -> RunResult:
        run = asyncio.ensure_future(world.run(payments.agent, [PAY, "done"]))
        approval = await pending(world)
        world.store.put_switch(Switch(ref=ref, by="ann", reason="test", at=0.0))
        grant(world, approval)
        return await run

    assert asyncio.run(main()).stop_reason == stop
    assert payments.effects == []


def test_mode_29_ten_approvals_under_a_limit_of_three_calls_are_three_writes(world: World) -> None:
    payments = Payments()
    agent = msgspec_replace(payments.agent, budget=Budget(max_tool_calls=3))

    async def main() -> RunResult:
        script = [*(calls(("pay", {"order": n})) for n in range(10)), "done"]
        run = asyncio.ensure_future(world.run(agent, script))
        for n in range(3):
            grant(world, await pending(world, lane=f"{n}.approval0/1"))
        return await run

    assert asyncio.run(main()).stop_reason == "max_tool_calls"
    assert payments.effects == [0, 1, 2]


def test_mode_29_a_run_resumed_after_a_crash_keeps_its_counters(
    path: Path, store: BlockingControlStore
) -> None:
    with workers("counted", path) as (process,):
        tell(process)
        assert process.wait() == 9
    model = ScriptedModel([calls(("pay", {"order": n})) for n in range(3, 10)])
    governor = Governor(store.store)
    store.sweep_runs(now=governor.now() + 3_600.0)
    resumed = resume_run(
        read_recording(path.with_suffix(".jsonl")),
        worker.paying_agent(path),
        RunWorld(model=model, governor=governor),
        out=path.with_suffix(".resumed.jsonl"),
    )
    result = asyncio.run(resumed)

    assert result.stop_reason == "max_tool_calls"
    assert worker.effects_of(path).read_text().splitlines() == ["pay 1", "pay 2", "pay 3"]


def test_a_child_keeps_to_the_approvals_and_argument_rules_of_its_parent(world: World) -> None:
    payments = Payments()
    child = msgspec_replace(payments.agent, name="child", policy=Policy())
    results: list[RunResult] = []

    @tool(children=True, name="delegate")
    async def delegate(ctx: ToolContext) -> str:
        assert ctx.child is not None
        results.append(await ctx.child(child, "go"))
        return "over"

    top = ArgumentRule(path="order", at_most=1)
    rules_of_parent = Policy(approve=("pay",), arguments={"pay": (top,)}, loop=None)
    (pay,) = payments.agent.tools
    agent = agent_of(delegate, pay, name="parent", policy=rules_of_parent)

    def answer(request: ModelRequest) -> Turn:
        replies = sum(m.role == "assistant" for m in request.messages)
        if len(request.tools) == 2:
            return calls(("delegate", {})) if replies == 0 else says("done")
        return [calls(("pay", {"order": 2})), PAY, says("done")][replies]

    result = asyncio.run(world.run(agent, [], model=ScriptedModel(answer), desk=Deny()))

    assert result.stop_reason == "finish"
    assert [(c.arguments, c.status) for c in results[0].trace.tool_calls] == [
        ({"order": 2}, "denied"),
        ({"order": 1}, "denied"),
    ]
    assert [a.decision for a in results[0].trace.approvals] == ["denied"]
    assert payments.effects == []


class Deny:
    """A desk that grants nothing."""

    async def ask(self, call: AskApproval) -> ApprovalAnswer:
        return ApprovalAnswer(decision="denied", by="rule")
