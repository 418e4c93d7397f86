"""Events of runs: who and where on each, intent before outcome, hashes that tell nothing, sinks that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.record.recorder import memory_wrap
from runtime.core.effects import AnyOutcome, Begin, CallTool, Outcome, Performer, SingleEffect
from runtime.core.policy import Policy
from runtime.entry.agent import Agent
from runtime.entry.run import run_agent, run_agent_async
from runtime.errors import UsageError
from runtime.observability.audit import AuditLog, verify_audit
from runtime.observability.best_effort import flush_sinks
from runtime.observability.logs import LogSink
from runtime.observability.metrics import MetricsSink
from runtime.observability.run_events import ObservingPerformer, memory_event
from runtime.ports.state import MemoryChange
from runtime.testing import ScriptedModel, calls, says
from runtime.tools.tool import tool
from tests.support.agents import Prices
from tests.support.observing import KEY, Kept, run
from tests.support.playbook import header

PLANTED = ("value-4711", "result-0815", "fault-2342")


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, name: str, **fields: Any) -> None:
        self.lines.append(("info", name, fields))

    def warning(self, name: str, **fields: Any) -> None:
        self.lines.append(("warning", name, fields))


def hash_of(tenant: str, environment: str = "test", *, q: str = "x", request_id: str = "req_1") -> str | None:
    kept = Kept()
    script = [calls(("look", {"q": q})), says("done")]
    run(script, kept, tenant=tenant, environment=environment, request_id=request_id)
    return next(e.args_hash for e in kept.events if e.subject == "tool")


def test_every_event_carries_request_id_tenant_and_environment() -> None:
    kept = Kept()

    result = run([calls(("look", {"q": "x"})), calls(("nosuch", {})), says("done")], kept, deploy="d1")

    assert {(e.request_id, e.run_id, e.tenant, e.environment, e.agent, e.deploy) for e in kept.events} == {
        (result.request_id, result.run_id, "acme", "test", "shop", "d1")
    }
    assert kept.kinds()[0] == "run_started"
    assert kept.kinds()[-1] == "run_ended"
    assert "refused" in kept.kinds()


def test_the_start_of_a_run_says_when_and_under_which_policy() -> None:
    kept = Kept()

    run([says("done")], kept)

    assert kept.events[0].started_at == "2026-01-02T03:04:05.000Z"
    assert kept.events[0].policy_hash is not None


def test_intent_stands_before_its_outcome_for_each_call() -> None:
    kept = Kept()

    run([calls(("look", {"q": "a"}), ("look", {"q": "b"})), calls(("fail", {"q": "c"})), says("done")], kept)

    told = [(e.lane, e.kind) for e in kept.events if e.kind in {"intent", "outcome"}]
    lanes = {lane for lane, _ in told}
    assert len(lanes) == 6
    for lane in lanes:
        assert [kind for place, kind in told if place == lane] == ["intent", "outcome"]


def test_intent_is_told_before_the_tool_runs() -> None:
    kept = Kept()
    seen: list[list[str]] = []

    @tool(write=True)
    async def note() -> str:
        seen.append([e.kind for e in kept.events if e.subject == "tool"])
        return "ok"

    run([calls(("note", {})), says("done")], kept, tools=(note,))

    assert seen == [["intent"]]


def test_outcome_tells_duration_status_tokens_and_money() -> None:
    kept = Kept()

    result = run([calls(("fail", {"q": "x"})), says("done")], kept)

    model = next(e for e in kept.events if e.kind == "outcome" and e.subject == "model")
    failed = next(e for e in kept.events if e.kind == "outcome" and e.subject == "tool")
    end = kept.events[-1]
    assert (model.status, model.duration_s) == ("ok", 0.0)
    assert model.input_tokens is not None
    assert model.cost_nanousd is not None
    assert failed.status == "error"
    assert (end.stop_reason, end.totals, end.cost_nanousd) == (
        "finish",
        result.totals,
        result.totals.cost_nanousd,
    )


def test_refused_and_unapproved_calls_are_told_with_their_tool() -> None:
    kept, lines = Kept(), Lines()
    policy = Policy(allow=("pay",), approve=("pay",))

    run(
        [calls(("look", {"q": "x"})), calls(("pay", {"q": "x"})), says("done")],
        kept,
        LogSink(lines),
        policy=policy,
    )

    refused = [(e.name, e.status) for e in kept.events if e.kind == "refused"]
    assert refused == [("look", "denied"), ("pay", "denied")]
    assert flush_sinks()
    approval = next(fields for _, name, fields in lines.lines if name == "approval")
    assert (approval["gen_ai.tool.name"], approval["runtime.status"]) == ("pay", "denied")


def test_hash_of_equal_arguments_is_stable_for_a_tenant_and_differs_between_tenants() -> None:
    assert hash_of("acme") == hash_of("acme", request_id="req_2")
    assert len({hash_of("acme"), hash_of("evil"), hash_of("acme", "prod"), hash_of("acme", q="y")}) == 4


def test_hash_of_a_refused_call_is_that_of_a_made_one() -> None:
    kept = Kept()

    run([calls(("look", {"q": "x"})), says("done")], kept, policy=Policy(allow=("pay",)))

    assert next(e.args_hash for e in kept.events if e.kind == "refused") == hash_of("acme")


def test_hash_is_neither_the_plain_one_nor_anything_without_the_key() -> None:
    kept, other = Kept(), Kept()
    script = [calls(("look", {"q": "x"})), says("done")]

    result = run(script, kept)
    run(script, other, key=b"o" * 32)

    ours = next(e.args_hash for e in kept.events if e.subject == "tool")
    assert ours != next(e.args_hash for e in other.events if e.subject == "tool")
    assert ours != result.trace.tool_calls[0].args_hash
    assert result.trace.tool_calls[0].args_hash.encode() not in msgspec.json.encode(kept.events)


def test_no_value_of_arguments_results_or_errors_is_in_events_lines_metrics_or_audit(tmp_path: Path) -> None:
    kept, lines, metrics = Kept(), Lines(), MetricsSink()
    with AuditLog(tmp_path / "audit.jsonl", key=KEY) as log:
        result = run(
            [
                calls(
                    ("look", {"q": "value-4711"}), ("fail", {"q": "value-4711"}), ("pay", {"q": "value-4711"})
                ),
                calls(("look", {"q": 4711}), ("nosuch", {"q": "value-4711"})),
                says("value-4711"),
            ],
            kept,
            LogSink(lines),
            metrics,
            log,
        )

    told = b"".join(
        (
            msgspec.json.encode(kept.events),
            msgspec.json.encode(lines.lines),
            metrics.exposition(),
            (tmp_path / "audit.jsonl").read_bytes(),
        )
    )
    trace = msgspec.json.encode(result.trace)
    assert [planted for planted in PLANTED if planted.encode() not in trace] == []
    assert [planted for planted in PLANTED if planted.encode() in told] == []


def test_no_event_of_one_tenant_holds_bytes_of_another() -> None:
    ours, theirs = Kept(), Kept()

    run([calls(("look", {"q": "x"})), says("done")], ours, tenant="tenant-aaaa", request_id="req_aaaa")
    run([calls(("look", {"q": "x"})), says("done")], theirs, tenant="tenant-bbbb", request_id="req_bbbb")

    assert b"aaaa" not in msgspec.json.encode(theirs.events)
    assert b"bbbb" not in msgspec.json.encode(ours.events)


def test_name_that_a_model_invents_is_cut_and_valid_text() -> None:
    kept = Kept()

    run([calls(("n" * 5_000, {})), says("done")], kept)

    assert next(e.name for e in kept.events if e.kind == "refused") == "n" * 128


def test_caller_that_goes_away_leaves_a_write_in_doubt() -> None:
    kept = Kept()

    async def main() -> None:
        started = asyncio.Event()

        @tool(write=True)
        async def hang() -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        agent = Agent(name="shop", model="m1", tools=(hang,), policy=Policy(allow="any"))
        task = asyncio.ensure_future(
            run_agent_async(
                agent,
                "go",
                model=ScriptedModel([calls(("hang", {}))]),
                wrap=lambda inner: ObservingPerformer(inner, (kept,), key=KEY),
                prices=Prices(),
            )
        )
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert [(e.kind, e.status) for e in kept.events if e.subject == "tool"] == [
        ("intent", None),
        ("outcome", "in_doubt"),
    ]
    assert (kept.events[-1].kind, kept.events[-1].stop_reason) == ("run_ended", "cancelled")


def test_audit_log_of_a_run_is_intact(tmp_path: Path) -> None:
    kept = Kept()
    with AuditLog(tmp_path / "audit.jsonl", key=KEY) as log:
        run([calls(("look", {"q": "x"})), calls(("pay", {"q": "x"})), says("done")], kept, log)
        checkpoint = log.checkpoint()

    verdict = verify_audit(tmp_path / "audit.jsonl", key=KEY, checkpoints=(checkpoint,))

    assert (verdict.intact, verdict.complete, verdict.lines) == (True, True, len(kept.events))


class Answers:
    """A performer that answers each effect with one outcome."""

    def __init__(self, outcome: AnyOutcome) -> None:
        self.outcome = outcome

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        return self.outcome


class KeepsBeginBack:
    """A mistake of a caller: it hands a run's `Begin` to the live performer, and all else to the wrapped one."""

    def __init__(self, live: Performer, wrapped: Performer) -> None:
        self.live = live
        self.wrapped = wrapped

    async def perform(self, effect: SingleEffect) -> AnyOutcome:
        return await (self.live if isinstance(effect, Begin) else self.wrapped).perform(effect)


def observed(inner: Performer) -> Performer:
    return ObservingPerformer(inner, (), key=KEY)


def recorded(inner: Performer) -> Performer:
    return memory_wrap()[1](inner)


@pytest.mark.parametrize(
    ("around", "where"), [(observed, "ObservingPerformer"), (recorded, "RecordingPerformer")]
)
def test_wrap_that_keeps_begin_back_is_a_wrong_use_that_says_what_to_do(
    around: Callable[[Performer], Performer], where: str
) -> None:
    agent = Agent(name="asker", model="m", policy=Policy(allow="any"))

    with pytest.raises(
        UsageError, match=f"{where}: .* before the run's Begin\n  next: give run_agent a wrap"
    ):
        run_agent(
            agent,
            "hello",
            model=ScriptedModel([says("hi")]),
            prices=Prices(),
            wrap=lambda live: KeepsBeginBack(live, around(live)),
        )


def test_call_without_a_recorded_outcome_is_interrupted() -> None:
    kept = Kept()
    performer = ObservingPerformer(Answers(Outcome()), (kept,), key=KEY)
    call = CallTool(lane="0.tool0/1", call_id="c", name="look", arguments={}, args_hash="")

    asyncio.run(performer.perform(Begin(header=header())))
    asyncio.run(performer.perform(call))

    assert kept.events[-1].status == "interrupted"


def test_short_key_is_refused() -> None:
    with pytest.raises(UsageError, match="16"):
        ObservingPerformer(Answers(Outcome()), (), key=b"short")


def test_change_of_memory_is_an_event_without_its_value() -> None:
    change = MemoryChange(
        scope_tenant="acme",
        scope_environment="test",
        action="put",
        subject="user 7",
        name="plan",
        size_bytes=12,
        at=1.0,
        expires_at=2.0,
        request_id="req_1",
    )

    event = memory_event(change)

    assert (event.kind, event.tenant, event.environment, event.request_id) == (
        "memory",
        "acme",
        "test",
        "req_1",
    )
    assert (event.subject, event.name, event.status, event.write) == ("memory", "user 7", "put", True)
