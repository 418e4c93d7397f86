"""Each planted change diverges, and the first divergence names its cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from harness.record.recorder import MemoryRuns
from harness.replay.divergence import EffectDivergence
from harness.sessions.replay import RunReplay, agent_setup, replay_run
from runtime.core.effects import EffectKind
from runtime.core.messages import user_message
from runtime.core.policy import Budget, Policy, RetryPolicy
from runtime.entry.agent import Agent
from runtime.entry.run import Request
from runtime.journal.records import Record
from runtime.testing import calls
from runtime.tools.tool import tool
from tests.support.agents import Shop, passing_fault, shop_agent
from tests.support.recordings import REQUEST, changed, record_to_sink, with_outcome

SCRIPT: list[Any] = [
    calls(("stock", {"item": "apple"}), ("stock", {"item": "pear"})),
    calls(("order", {"item": "apple", "count": 2})),
    "You get two apples.",
]


def recorded(**fields: Any) -> MemoryRuns:
    """Record a run in which the first look-up fails once."""
    result, sink = record_to_sink(shop_agent(Shop(faults={"stock": [passing_fault()]}), **fields), SCRIPT)
    assert result.stop_reason == "finish"
    return sink


def replay_under(agent: Agent, request: Request = REQUEST, **options: Any) -> RunReplay:
    recording = recorded().recording()
    return replay_run(recording, setup=agent_setup(agent, request, recording.header), **options)


def first(replay: RunReplay) -> EffectDivergence:
    assert replay.verdict == "diverged"
    return replay.divergences[0]


def with_tool(number: int, of: Any) -> Agent:
    agent = shop_agent(Shop())
    tools = list(agent.tools)
    tools[number] = of
    return shop_agent(Shop(), tools=tuple(tools))


@tool(name="stock_level")
async def renamed_tool(item: str) -> str:
    """Tell how many of an item there are."""
    return item


@tool(name="stock", rename={"item": "product"})
async def renamed_field(item: str) -> str:
    """Tell how many of an item there are."""
    return item


@tool(name="stock")
async def reworded_tool(item: str) -> str:
    """Tell how many of an item there are, now."""
    return item


def test_an_unchanged_agent_replays_the_same_and_calls_nothing() -> None:
    shop = Shop()

    replay = replay_under(shop_agent(shop))

    assert (replay.verdict, replay.divergences, replay.warnings) == ("same", (), ())
    assert shop.calls == []


Change = tuple[str, Callable[[], Agent], str, str, str]
CODE_CHANGES: list[Change] = [
    (
        "prompt word",
        lambda: shop_agent(Shop(), instructions="Sell fish."),
        "0.model/1",
        "prompt",
        "messages[0].parts[0].content",
    ),
    ("tool name", lambda: with_tool(0, renamed_tool), "0.model/1", "tool schema", "tools[0].name"),
    (
        "schema field",
        lambda: with_tool(0, renamed_field),
        "0.model/1",
        "tool schema",
        "tools[0].parameters.properties.item",
    ),
    ("tool words", lambda: with_tool(0, reworded_tool), "0.model/1", "tool schema", "tools[0].description"),
    ("model id", lambda: shop_agent(Shop(), model="m2"), "0.model/1", "model", "model"),
    (
        "parameter",
        lambda: shop_agent(Shop(), parameters={"temperature": 1}),
        "0.model/1",
        "parameters",
        "parameters.temperature",
    ),
    (
        "longer backoff",
        lambda: shop_agent(Shop(), tool_retry=RetryPolicy(first_s=5.0)),
        "0.toolwait/2",
        "retry",
        "seconds",
    ),
    (
        "fewer calls allowed",
        lambda: shop_agent(Shop(), budget=Budget(max_tool_calls=1)),
        "0.tool0/1",
        "budget",
        "status",
    ),
    (
        "fewer steps allowed",
        lambda: shop_agent(Shop(), budget=Budget(max_steps=2)),
        "1.tool0/1",
        "budget",
        "status",
    ),
    (
        "tool not allowed",
        lambda: shop_agent(Shop(), policy=Policy(allow=("stock",))),
        "1.tool0/1",
        "policy",
        "status",
    ),
]


@pytest.mark.parametrize(
    ("agent", "lane", "cause", "path"),
    [c[1:] for c in CODE_CHANGES],
    ids=[c[0] for c in CODE_CHANGES],
)
def test_a_change_of_code_is_named_by_its_cause(
    agent: Callable[[], Agent], lane: str, cause: str, path: str
) -> None:
    found = first(replay_under(agent()))

    assert (found.lane, found.verdict, found.cause) == (lane, "changed", cause)
    assert (found.path or "").startswith(path)


def test_a_changed_request_is_a_prompt_change() -> None:
    request = Request(prompt="sell me fish", tenant="acme", environment="test")

    found = first(replay_under(shop_agent(Shop()), request))

    assert (found.cause, found.recorded, found.replayed) == ("prompt", "sell me fruit", "sell me fish")


def test_a_new_approval_rule_is_named_as_policy() -> None:
    found = first(replay_under(shop_agent(Shop(), policy=Policy(allow="any", approve=("order",)))))

    assert (found.kind, found.verdict, found.cause, found.lane) == (
        "approval",
        "extra",
        "policy",
        "1.approval0/1",
    )


def test_a_tighter_policy_that_changes_nothing_is_a_warning() -> None:
    replay = replay_under(shop_agent(Shop(), policy=Policy(allow=("stock", "order"))))

    assert replay.verdict == "same"
    assert replay.warnings == ('policy.allow any -> ["stock","order"]',)


def test_one_attempt_fewer_changes_what_the_model_sees_and_leaves_the_retry_missing() -> None:
    agent = shop_agent(
        Shop(), tool_retry=RetryPolicy(attempts=1), policy=Policy(allow="any", on_failure="tell")
    )

    replay = replay_under(agent, collect=True)

    guard, effect = replay.divergences[:2]
    assert (guard.cause, guard.path) == ("policy", "policy.on_failure")
    assert (effect.lane, effect.cause) == ("1.model/1", "upstream result")
    missing = [(d.lane, d.cause) for d in replay.divergences if d.verdict == "missing"]
    assert missing == [("0.tool0/2", "count")]


def test_a_retry_tweak_that_doubles_executions_is_a_count() -> None:
    once = {"tool_retry": RetryPolicy(attempts=1), "policy": Policy(allow="any", on_failure="tell")}
    _, sink = record_to_sink(shop_agent(Shop(faults={"stock": [passing_fault()]}), **once), SCRIPT)
    recording = sink.recording()
    tweaked = shop_agent(
        Shop(), tool_retry=RetryPolicy(attempts=2), policy=Policy(allow="any", on_failure="tell")
    )

    found = first(replay_run(recording, setup=agent_setup(tweaked, REQUEST, recording.header)))

    assert (found.lane, found.verdict, found.cause) == ("0.tool0/2", "repeated", "count")


def mutate(change: Callable[[Record], Record | None], **options: Any) -> RunReplay:
    return replay_run(changed(recorded(), change), **options)


def at(lane: str, change: Callable[[Record], Record | None]) -> Callable[[Record], Record | None]:
    return lambda r: change(r) if r.lane == lane and r.phase == "outcome" else r


def parts_of(record: Record) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(record.outcome)["parts"]
    return found


def test_an_unchanged_recording_replays_the_same() -> None:
    assert mutate(lambda r: r).verdict == "same"


def test_another_result_upstream_is_shown_with_its_place() -> None:
    found = first(mutate(at("0.tool1/1", lambda r: with_outcome(r, content="7 of pear"))))

    assert (found.lane, found.verdict, found.cause) == ("1.model/1", "changed", "upstream result")
    assert (found.path, found.recorded, found.replayed) == (
        "messages[4].parts[0].response",
        "0 of pear",
        "7 of pear",
    )


def test_other_arguments_of_the_model_change_the_call() -> None:
    def other(record: Record) -> Record:
        parts = parts_of(record)
        parts[0]["arguments"]["count"] = 3
        return with_outcome(record, parts=parts)

    found = first(mutate(at("1.model/1", other)))

    assert (found.lane, found.cause, found.path) == ("1.tool0/1", "upstream result", "arguments.count")
    assert (found.recorded, found.replayed) == (2, 3)


def test_a_doubled_call_is_a_count() -> None:
    def doubled(record: Record) -> Record:
        parts = parts_of(record)
        return with_outcome(record, parts=[*parts, {**parts[-1], "id": "call_99"}])

    found = first(mutate(at("1.model/1", doubled)))

    assert (found.lane, found.verdict, found.cause) == ("1.tool1/1", "repeated", "count")


def test_a_dropped_call_diverges_at_the_next_model_call_and_is_missing() -> None:
    def dropped(record: Record) -> Record:
        return with_outcome(record, parts=parts_of(record)[:1])

    replay = mutate(at("0.model/1", dropped), collect=True)

    assert (first(replay).lane, first(replay).cause) == ("1.model/1", "upstream result")
    missing = [d for d in replay.divergences if d.verdict == "missing"]
    assert [(d.lane, d.cause, d.tainted) for d in missing] == [("0.tool1/1", "count", True)]


def test_swapped_calls_are_an_order() -> None:
    def swapped(record: Record) -> Record:
        return with_outcome(record, parts=parts_of(record)[::-1])

    found = first(mutate(at("0.model/1", swapped)))

    assert (found.lane, found.verdict, found.cause) == ("0.tool0/1", "moved", "order")


def test_a_failure_turned_into_a_success_leaves_the_retry_missing() -> None:
    sink = recorded()
    good = next(r for r in sink.records if r.lane == "0.tool0/2" and r.phase == "outcome")
    replay = replay_run(
        changed(
            sink, at("0.tool0/1", lambda r: msgspec.structs.replace(r, failure=None, outcome=good.outcome))
        )
    )

    assert [(d.lane, d.verdict, d.cause) for d in replay.divergences] == [("0.tool0/2", "missing", "count")]


def test_a_write_turned_into_a_failure_ends_the_run_early() -> None:
    sink = recorded()
    bad = next(r for r in sink.records if r.lane == "0.tool0/1" and r.phase == "outcome")
    replay = replay_run(
        changed(
            sink,
            at("1.tool0/1", lambda r: msgspec.structs.replace(r, failure=bad.failure, outcome=bad.outcome)),
        )
    )

    assert (replay.trace is not None and replay.trace.stop_reason) == "tool_error_exhausted:order"
    assert (first(replay).lane, first(replay).verdict) == ("2.model/1", "missing")


def test_an_attempt_left_out_of_the_recording_is_extra() -> None:
    def cut(record: Record) -> Record | None:
        return None if record.lane == "1.tool0/1" else record

    found = first(mutate(cut))

    assert (found.lane, found.verdict, found.cause, found.name) == ("1.tool0/1", "extra", "count", "order")


def test_an_answer_of_the_model_left_out_is_extra() -> None:
    found = first(mutate(lambda r: None if r.lane == "2.model/1" else r))

    assert (found.kind, found.verdict) == ("model", "extra")


def test_a_changed_final_answer_differs_at_the_end() -> None:
    def other(record: Record) -> Record:
        return with_outcome(record, parts=[{"type": "text", "content": "No."}])

    replay = mutate(at("2.model/1", other))

    assert (replay.trace is not None and replay.trace.output) == "No."
    assert (first(replay).lane, first(replay).path, first(replay).replayed) == ("end", "output", "No.")


def test_an_added_turn_of_the_user_is_an_input() -> None:
    agent, request = shop_agent(Shop()), REQUEST
    recording = recorded().recording()
    setup = agent_setup(agent, request, recording.header)
    header = msgspec.structs.replace(setup.header, input=(*setup.header.input, user_message("now")))

    found = first(replay_run(recording, setup=type(setup)(header=header, tools=setup.tools)))

    assert (found.verdict, found.kind) == ("changed", EffectKind.MODEL)
