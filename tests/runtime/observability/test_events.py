"""Events of runs: who and where on each, intent before outcome, hashes that tell nothing, sinks that fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.core.effects import CallTool, FailureKind, Outcome, Refuse, SingleEffect
from runtime.core.policy import Policy, RetryPolicy
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.errors import InvariantFault, JournalFault, UsageFault
from runtime.models import ScriptedModel, calls, says
from runtime.observability import events as events_module
from runtime.observability.audit import AuditLog, verify_audit
from runtime.observability.events import Event, EventSink, ObservingPerformer, memory_event
from runtime.observability.logs import LogSink
from runtime.observability.metrics import MetricsSink
from runtime.ports.state import MemoryChange
from runtime.tools.tool import ToolError, tool
from tests.support.agents import FakeClock, Prices

KEY = b"k" * 32
PLANTED = ("value-4711", "result-0815", "fault-2342")


class Kept:
    """A sink that keeps events, and fails while it is told to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.broken = False

    def take(self, event: Event) -> None:
        if self.broken:
            raise JournalFault("the disk is full")
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [e.kind for e in self.events]


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, name: str, **fields: Any) -> None:
        self.lines.append(("info", name, fields))

    def warning(self, name: str, **fields: Any) -> None:
        self.lines.append(("warning", name, fields))


@tool
async def look(q: str) -> str:
    """Look something up."""
    return f"result-0815 for {q}"


@tool
async def fail(q: str) -> str:
    """Fail."""
    raise ToolError(f"fault-2342 about {q}")


@tool(write=True)
async def pay(q: str) -> str:
    """Pay."""
    return "paid"


def run(
    script: list[Any],
    *sinks: EventSink,
    key: bytes = KEY,
    policy: Policy | None = None,
    tools: tuple[Any, ...] = (look, fail, pay),
    **request: Any,
) -> RunResult:
    agent = Agent(name="shop", model="m1", tools=tools, tool_retry=RetryPolicy(first_s=0.5))
    asked = Request(prompt="go", **{"tenant": "acme", "environment": "test", "policy": policy, **request})
    return asyncio.run(
        run_agent_async(
            agent,
            asked,
            model=ScriptedModel(script),
            wrap=lambda inner: ObservingPerformer(inner, sinks, key=key),
            prices=Prices(),
            clock=FakeClock(),
        )
    )


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

        agent = Agent(name="shop", model="m1", tools=(hang,))
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


class BreaksBefore:
    """A sink that fails from the first intent of a tool on, until it is mended."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.broke = False

    def take(self, event: Event) -> None:
        if event.kind == "intent" and event.subject == "tool" and not self.broke:
            self.kept.broken = self.broke = True
        self.kept.take(event)


def test_mode_42_write_is_not_started_while_its_intent_cannot_be_kept() -> None:
    kept = Kept()
    made: list[str] = []

    @tool(write=True)
    async def charge() -> str:
        made.append("charge")
        return "ok"

    result = run([calls(("charge", {})), says("done")], BreaksBefore(kept), tools=(charge,))

    assert made == []
    assert result.stop_reason == "control_unavailable"
    assert result.totals.in_doubt == 0


def test_mode_42_reads_go_on_and_their_events_are_told_in_order_once_the_sink_is_back() -> None:
    kept = Kept()
    made: list[str] = []

    @tool
    async def peek() -> str:
        made.append("peek")
        return "ok"

    @tool
    async def mend() -> str:
        kept.broken = False
        return "ok"

    result = run(
        [calls(("peek", {})), calls(("mend", {})), says("done")],
        BreaksBefore(kept),
        tools=(peek, mend),
    )

    assert made == ["peek"]
    assert result.stop_reason == "finish"
    assert kept.kinds() == [
        "run_started",
        *["intent", "outcome"] * 2,
        *["intent", "outcome"] * 2,
        "intent",
        "outcome",
        "run_ended",
    ]
    times = [e.at_s for e in kept.events if e.at_s is not None]
    assert times == sorted(times)


def test_mode_42_nothing_is_admitted_when_the_backlog_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "BACKLOG", 6)
    kept = Kept()
    kept.broken = True
    made: list[int] = []

    @tool
    async def peek(n: int) -> str:
        made.append(n)
        return "ok"

    result = run([calls(("peek", {"n": n})) for n in range(20)], kept, tools=(peek,))

    assert result.stop_reason == "control_unavailable"
    assert 0 < len(made) < 5


def test_mode_42_healthy_sink_is_told_all_while_another_fails() -> None:
    broken, healthy = Kept(), Kept()
    broken.broken = True
    performers: list[ObservingPerformer] = []

    def wrap(inner: Any) -> ObservingPerformer:
        performers.append(ObservingPerformer(inner, (broken, healthy), key=KEY))
        return performers[0]

    agent = Agent(name="shop", model="m1", tools=(look,))
    asyncio.run(run_agent_async(agent, "go", model=ScriptedModel([says("done")]), wrap=wrap, prices=Prices()))

    assert healthy.kinds() == ["run_started", "intent", "outcome", "run_ended"]
    assert performers[0].lost == 4


def test_audit_log_of_a_run_is_intact(tmp_path: Path) -> None:
    kept = Kept()
    with AuditLog(tmp_path / "audit.jsonl", key=KEY) as log:
        run([calls(("look", {"q": "x"})), calls(("pay", {"q": "x"})), says("done")], kept, log)
        checkpoint = log.checkpoint()

    verdict = verify_audit(tmp_path / "audit.jsonl", key=KEY, checkpoints=(checkpoint,))

    assert (verdict.intact, verdict.complete, verdict.lines) == (True, True, len(kept.events))


class Answers:
    """A performer that answers each effect with one outcome."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    async def perform(self, effect: SingleEffect) -> Outcome:
        return self.outcome


def test_effect_before_begin_is_a_bug() -> None:
    effect = Refuse(
        lane="0.tool0/1",
        call_id="c",
        name="look",
        arguments={},
        args_hash="",
        status="denied",
        message="",
        rule="policy",
    )

    with pytest.raises(InvariantFault, match="before Begin"):
        asyncio.run(ObservingPerformer(Answers(Outcome()), (), key=KEY).perform(effect))


def test_call_without_a_recorded_outcome_is_interrupted() -> None:
    from runtime.core.effects import Begin
    from tests.support.playbook import header

    kept = Kept()
    performer = ObservingPerformer(Answers(Outcome()), (kept,), key=KEY)
    call = CallTool(lane="0.tool0/1", call_id="c", name="look", arguments={}, args_hash="")

    asyncio.run(performer.perform(Begin(header=header())))
    asyncio.run(performer.perform(call))

    assert kept.events[-1].status == "interrupted"


def test_short_key_is_refused() -> None:
    with pytest.raises(UsageFault, match="16"):
        ObservingPerformer(Answers(Outcome()), (), key=b"short")


def test_failure_for_a_write_that_was_not_started_may_be_repeated_and_is_not_in_doubt() -> None:
    assert events_module.NOT_KEPT.kind is FailureKind.UNAVAILABLE
    assert events_module.NOT_KEPT.retryable


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
