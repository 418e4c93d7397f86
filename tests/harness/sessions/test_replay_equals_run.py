"""Replay of a recording equals the run: over random scripts, failures, retries and finishing orders."""

from __future__ import annotations

import asyncio
import random
from datetime import date
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from harness.record.recorder import MemoryRuns, memory_wrap
from harness.sessions.replay import agent_setup, replay_json, replay_run
from runtime.core.messages import ModelReply, RefusalPart
from runtime.core.policy import ArgumentRule, Budget, LoopLimits, Policy, RetryPolicy
from runtime.entry.agent import Agent
from runtime.entry.run import Request, RunResult, run_agent_async
from runtime.journal.recording import recording_of
from runtime.testing import FakeClock, ScriptedModel, calls, fails
from runtime.tools.tool import RetryableError, tool
from tests.support.agents import Prices, Shop, shop_agent
from tests.support.recordings import REQUEST, record_to_sink

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"[:36]

tool_calls = st.sampled_from(
    [
        ("stock", {"item": "apple"}),
        ("stock", {"item": "pear"}),
        ("stock", {"item": "missing"}),
        ("stock", {"item": 5}),
        ("stock", '{"item": '),
        ("order", {"item": "apple", "count": 2}),
        ("order", {"item": "apple", "count": 2.0}),
        ("order", {"item": TOKEN}),
        ("note", {"text": "x"}),
        ("nope", {}),
    ]
)
asking = st.lists(tool_calls, min_size=1, max_size=4).map(lambda asked: calls(*asked))
turns = st.one_of(
    asking,
    asking,
    asking,
    asking,
    st.builds(fails, st.sampled_from(["error", "timeout", "rate_limited"]), retryable=st.just(True)),
    st.sampled_from(
        [
            ModelReply(parts=(), finish_reason="stop"),
            ModelReply(parts=(), finish_reason="stop"),
            ModelReply(parts=(RefusalPart("no"),), finish_reason="stop"),
            f"the token is {TOKEN}",
        ]
    ),
)
faults = st.sampled_from(["busy", "broken", "reset", "slow"])
FAULTS = {"busy": RetryableError, "broken": ValueError, "reset": ConnectionResetError, "slow": TimeoutError}
policies = st.builds(
    Policy,
    allow=st.sampled_from([None, ("stock", "note")]),
    approve=st.sampled_from([(), ("order",)]),
    arguments=st.sampled_from([{}, {}, {"order": (ArgumentRule(path="count", at_least=2),)}]),
    on_failure=st.sampled_from(["stop", "tell"]),
    on_invalid=st.sampled_from(["tell", "tell", "stop"]),
    max_refusals=st.integers(1, 9),
    loop=st.none() | st.builds(LoopLimits, same_call=st.integers(1, 4)),
)
budgets = st.builds(
    Budget,
    max_steps=st.sampled_from([1, 2, 4, 12, 12]),
    max_seconds=st.sampled_from([None, None, 1.0, 8.0, 60.0]),
    max_tool_calls=st.sampled_from([None, None, 0, 3, 9]),
    max_usd=st.sampled_from([None, None, "0.0005", "0.002", "0.02"]),
)


@given(
    st.lists(turns, min_size=2, max_size=8),
    st.dictionaries(st.sampled_from(["stock", "order", "note"]), st.lists(faults, max_size=4), max_size=3),
    policies,
    budgets,
    st.integers(0, 99),
)
def test_replay_of_a_recording_equals_the_run(
    script: list[Any], faulty: dict[str, list[str]], policy: Policy, budget: Budget, seed: int
) -> None:
    shop = Shop(faults={name: [FAULTS[f](f) for f in kinds] for name, kinds in faulty.items()})
    fields: dict[str, Any] = {"policy": policy, "budget": budget, "max_output_tokens": 200}
    request = Request(
        prompt="sell me fruit", request_id="req_1", tenant="acme", environment="test", seed=seed
    )
    result, sink = record_to_sink(shop_agent(shop, **fields), [*script, "done", *["done"] * 9], request)
    recording = sink.recording()
    idle = Shop()

    alone = replay_run(recording)
    coded = replay_run(recording, setup=agent_setup(shop_agent(idle, **fields), request, recording.header))

    assert result.error is None
    assert (alone.verdict, alone.divergences, alone.error) == ("same", (), None)
    assert (coded.verdict, coded.divergences, coded.error) == ("same", (), None)
    assert alone.trace is not None
    assert coded.trace is not None
    assert alone.trace.totals == coded.trace.totals == recording.trace().totals == result.totals
    assert alone.trace.trace_hash == coded.trace.trace_hash == recording.trace().trace_hash
    assert idle.calls == []


def test_finishing_order_of_a_batch_is_never_a_difference() -> None:
    asked = [calls(*(("stock", {"item": item}) for item in ("apple", "pear", "missing", "apple"))), "done"]
    _, sink = record_to_sink(shop_agent(Shop()), asked)
    first, last = 3, 3 + 8
    draw = random.Random(7)

    verdicts = []
    for _ in range(200):
        outcomes = sink.records[first + 4 : last]
        draw.shuffle(outcomes)
        records = [*sink.records[: first + 4], *outcomes, *sink.records[last:]]
        verdicts.append(replay_run(recording_of(records)).verdict)

    assert [r.phase for r in sink.records[first:last]] == ["intent"] * 4 + ["outcome"] * 4
    assert verdicts == ["same"] * 200


def run_in_order(order: list[str]) -> tuple[RunResult, MemoryRuns]:
    """Record a run whose four calls of one turn finish in a given order."""
    sink, wrap = memory_wrap()

    async def main() -> RunResult:
        turns = {name: asyncio.Event() for name in order}
        turns[order[0]].set()

        @tool
        async def work(name: str) -> str:
            await turns[name].wait()
            after = order.index(name) + 1
            if after < len(order):
                turns[order[after]].set()
            return f"{name} is done"

        agent = Agent(name="a", model="m1", tools=(work,))
        model = ScriptedModel([calls(*(("work", {"name": n}) for n in sorted(order))), "done"])
        return await run_agent_async(
            agent, REQUEST, model=model, wrap=wrap, prices=Prices(), clock=FakeClock()
        )

    return asyncio.run(main()), sink


def test_runs_whose_calls_finish_in_any_order_have_one_trace_and_replay_the_same() -> None:
    draw = random.Random(3)
    hashes: set[str] = set()
    arrivals: set[tuple[str, ...]] = set()
    for _ in range(20):
        order = ["a", "b", "c", "d"]
        draw.shuffle(order)
        result, sink = run_in_order(order)
        hashes.add(result.trace.trace_hash)
        arrivals.add(tuple(r.lane for r in sink.records if r.phase == "outcome"))

        assert replay_run(sink.recording()).verdict == "same"

    assert len(hashes) == 1
    assert len(arrivals) > 5


def test_what_pydantic_alone_refuses_replays_from_the_recording_alone() -> None:
    @tool
    async def book(day: date) -> str:
        """Book a day."""
        return day.isoformat()

    agent = Agent(name="a", model="m1", tools=(book,))
    script = [calls(("book", {"day": "never"})), calls(("book", {"day": "2026-01-02"})), "done"]
    result, sink = record_to_sink(agent, script)

    assert [c.status for c in result.trace.tool_calls] == ["invalid_arguments", "ok"]
    assert replay_run(sink.recording()).divergences == ()


def test_a_verdict_on_a_redacted_value_holds_on_replay() -> None:
    @tool
    async def login(key: Annotated[str, Field(pattern="^ghp_", min_length=30)]) -> str:
        """Log in."""
        return "in"

    agent = Agent(name="a", model="m1", tools=(login,))
    result, sink = record_to_sink(agent, [calls(("login", {"key": TOKEN})), "done"])

    assert [c.status for c in result.trace.tool_calls] == ["ok"]
    assert replay_run(sink.recording()).verdict == "same"


def test_a_recorded_25_minute_run_replays_without_waiting_and_with_its_times() -> None:
    clock = FakeClock()
    shop = Shop(faults={"stock": [RetryableError("busy", after_s=1500.0)]})
    result, sink = record_to_sink(
        shop_agent(shop), [calls(("stock", {"item": "apple"})), "done"], clock=clock
    )

    replay = replay_run(sink.recording())

    assert clock.seconds == 1500.0
    assert replay.trace is not None
    assert replay.trace.totals.duration_s == result.totals.duration_s == 1500.0


def test_max_seconds_replays_exactly_and_its_change_is_named_as_budget() -> None:
    retry = RetryPolicy(first_s=8.0, ceiling_s=60.0, attempts=9)
    budget = Budget(max_seconds=20.0)
    shop = Shop(faults={"stock": [RetryableError("busy") for _ in range(9)]})
    agent = shop_agent(shop, tool_retry=retry, budget=budget)
    result, sink = record_to_sink(agent, [calls(("stock", {"item": "apple"}))])
    recording = sink.recording()

    assert result.stop_reason == "max_seconds"
    assert replay_run(recording).verdict == "same"


def test_a_run_that_cannot_be_replayed_says_why() -> None:
    _, sink = record_to_sink(shop_agent(Shop()), ["done"])
    recording = sink.recording()
    recording.header = msgspec.structs.replace(recording.header, assert_only="no tool schemas")

    replay = replay_run(recording)

    assert (replay.verdict, replay.error) == ("assert-only", "no tool schemas")


def test_a_recording_without_an_end_is_not_the_same_as_a_finished_run() -> None:
    _, sink = record_to_sink(shop_agent(Shop()), [calls(("stock", {"item": "apple"})), "done"])
    cut = recording_of(sink.records[:4])

    replay = replay_run(cut, collect=True)

    assert cut.stop_reason == "crashed"
    assert replay.verdict == "diverged"


@pytest.mark.parametrize("changed", [False, True])
def test_the_document_holds_the_fields_of_the_contract(changed: bool) -> None:
    _, sink = record_to_sink(shop_agent(Shop()), [calls(("stock", {"item": "apple"})), "done"])
    recording = sink.recording()
    agent = shop_agent(Shop(), instructions="Other.") if changed else shop_agent(Shop())
    replay = replay_run(recording, setup=agent_setup(agent, REQUEST, recording.header))

    document = replay_json([replay], seconds=0.25)

    assert document["schema"] == "goldrun.replay/1"
    totals = {"runs": 1, "same": 1 - changed, "diverged": int(changed), "errors": 0, "seconds": 0.25}
    assert {k: document["totals"][k] for k in totals} == totals
    run = document["runs"][0]
    assert {"request_id", "source", "verdict", "stop_reason", "totals", "divergences"} <= set(run)
    assert run["stop_reason"] == {"recorded": "finish", "replayed": None if changed else "finish"}
    keys = {"step", "lane", "kind", "name", "verdict", "path", "cause", "recorded", "replayed", "tainted"}
    assert all(keys <= set(d) for d in run["divergences"])
    assert len(run["divergences"]) == changed
