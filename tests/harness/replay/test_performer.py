"""The replay performer: look-ups, matchers, neutral guards, misses, and a signal nobody can swallow."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.record.recorder import MemoryRuns
from harness.replay.divergence import ReplayDivergence, describe
from harness.replay.matching import Matchers, RecordingIndex, last_message_key, loose_tool_key
from harness.replay.performer import ReplayPerformer
from harness.sessions.replay import agent_setup, recorded_setup, replay_run
from runtime.control.switches import Switch, SwitchRef
from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    Admission,
    Admit,
    AnyOutcome,
    CallTool,
    Controls,
    InputReply,
    Outcome,
    ReadControls,
    SingleEffect,
    ToolResult,
    Wait,
)
from runtime.core.messages import user_message
from runtime.execution.driver import drive
from runtime.execution.governor import Governor
from runtime.journal.recording import Recording
from runtime.orchestrator.loop import run_flow
from runtime.state.control.blocking import BlockingControlStore
from runtime.testing import calls
from runtime.testing.ram_store import RamControlStore
from tests.support.agents import Shop, shop_agent
from tests.support.recordings import REQUEST, changed, record_to_sink, with_outcome

SCRIPT: list[Any] = [
    calls(("stock", {"item": "apple"}), ("stock", {"item": "pear"})),
    calls(("order", {"item": "apple", "count": 2})),
    "You get two apples.",
]


def recorded() -> MemoryRuns:
    return record_to_sink(shop_agent(Shop()), SCRIPT)[1]


def performer(recording: Recording, **options: Any) -> ReplayPerformer:
    matchers = options.pop("matchers", Matchers())
    return ReplayPerformer(RecordingIndex(recording, matchers), **options)


def call_of(name: str, arguments: dict[str, Any], lane: str = "0.tool0/1") -> CallTool:
    return CallTool(lane=lane, call_id="x", name=name, arguments=arguments, args_hash=fingerprint(arguments))


def test_a_recorded_outcome_is_served_whole_with_its_time() -> None:
    recording = recorded().recording()
    interaction = next(i for i in recording.interactions if i.lane == "0.tool1/1")

    outcome = performer(recording).perform(call_of("stock", {"item": "pear"}, "0.tool1/1"))

    assert outcome == interaction.outcome()
    assert isinstance(outcome.value, ToolResult)
    assert outcome.value.content == "0 of pear"


@pytest.mark.parametrize(
    ("effect", "value"),
    [
        (Admit(lane="9.admit/1", subject="model", name="m"), Admission()),
        (ReadControls(lane="9.controls/1"), Controls()),
        (Wait(lane="9.wait/2", seconds=60.0), None),
    ],
)
def test_a_guard_the_recording_does_not_hold_is_answered_neutrally_and_is_never_extra(
    effect: SingleEffect, value: Any
) -> None:
    replay = performer(recorded().recording())

    assert replay.perform(effect) == Outcome(value)
    assert replay.divergences == []


def test_a_recorded_guard_verdict_is_replayed() -> None:
    import asyncio

    from harness.record.recorder import memory_wrap
    from runtime.entry.run import run_agent_async
    from runtime.testing import ScriptedModel
    from tests.support.agents import Prices

    sink, wrap = memory_wrap()
    store = BlockingControlStore(RamControlStore())
    store.put_switch(Switch(ref=SwitchRef(scope="tool", name="order"), by="ann", reason="test", at=0.0))
    result = asyncio.run(
        run_agent_async(
            shop_agent(Shop()),
            REQUEST,
            model=ScriptedModel(SCRIPT),
            wrap=wrap,
            governor=Governor(store.store),
            prices=Prices(),
        )
    )
    replay = replay_run(sink.recording())

    assert result.stop_reason == "tool_disabled:order"
    assert replay.verdict == "same"
    assert replay.trace is not None
    assert replay.trace.stop_reason == "tool_disabled:order"


class Swallowing:
    """Swallows each exception, as careless code around a call would."""

    def __init__(self, inner: ReplayPerformer) -> None:
        self.inner = inner

    def perform(self, effect: SingleEffect) -> AnyOutcome:
        try:
            return self.inner.perform(effect)
        except Exception:  # noqa: BLE001 - the point of the test
            return Outcome()


def test_a_strict_divergence_is_not_swallowed_by_except_exception() -> None:
    recording = recorded().recording()
    setup = agent_setup(shop_agent(Shop(), instructions="Other."), REQUEST, recording.header)

    with pytest.raises(ReplayDivergence) as caught:
        drive(run_flow(setup), Swallowing(performer(recording)), setup.header)

    assert caught.value.divergence.cause == "prompt"
    assert "0.model/1" in str(caught.value)


def test_strict_replay_ends_at_the_first_divergence_and_collecting_goes_on() -> None:
    recording = recorded().recording()
    setup = agent_setup(shop_agent(Shop(), instructions="Other."), REQUEST, recording.header)

    strict = replay_run(recording, setup=setup)
    collected = replay_run(recording, setup=setup, collect=True)

    assert (len(strict.divergences), strict.trace, strict.effects) == (1, None, 3)
    assert [(d.lane, d.tainted) for d in collected.divergences] == [
        ("0.model/1", False),
        ("1.model/1", True),
        ("2.model/1", True),
    ]
    assert collected.trace is not None
    assert collected.trace.trace_hash == recording.trace().trace_hash


def test_a_miss_never_reaches_the_world() -> None:
    shop = Shop()
    sink = recorded()
    cut = changed(sink, lambda r: None if r.lane == "1.tool0/1" else r)
    setup = agent_setup(shop_agent(shop), REQUEST, cut.header)

    replay = replay_run(cut, setup=setup, collect=True)

    assert shop.calls == []
    assert replay.trace is not None
    assert replay.trace.stop_reason == "open"
    assert [(d.lane, d.verdict) for d in replay.divergences] == [
        ("1.tool0/1", "extra"),
        ("2.model/1", "missing"),
    ]


def test_position_matches_any_request_at_its_place() -> None:
    recording = recorded().recording()
    setup = agent_setup(shop_agent(Shop(), instructions="Other."), REQUEST, recording.header)

    assert replay_run(recording, setup=setup, matchers=Matchers(model="position")).verdict == "same"


def test_last_message_ignores_the_prompt_but_not_the_last_result() -> None:
    sink = recorded()
    setup = agent_setup(shop_agent(Shop(), instructions="Other."), REQUEST, sink.recording().header)
    other = changed(
        sink, lambda r: with_outcome(r, content="9") if (r.lane, r.phase) == ("1.tool0/1", "outcome") else r
    )

    assert (
        replay_run(sink.recording(), setup=setup, matchers=Matchers(model="last_message")).verdict == "same"
    )
    found = replay_run(other, setup=setup, matchers=Matchers(model="last_message"))
    assert found.divergences[0].lane == "2.model/1"


def test_ignored_argument_paths_may_differ_and_no_others() -> None:
    sink = recorded()

    def other(count: int, item: str) -> Recording:
        def change(record: Any) -> Any:
            if (record.lane, record.phase) != ("1.model/1", "outcome"):
                return record
            parts = msgspec.json.decode(record.outcome)["parts"]
            parts[0]["arguments"] = {"item": item, "count": count}
            return with_outcome(record, parts=parts)

        return changed(sink, change)

    loose = Matchers(model="position", ignore=("count",))
    strict = Matchers(model="position")

    assert replay_run(other(9, "apple"), matchers=strict).divergences[0].path == "arguments.count"
    assert replay_run(other(9, "apple"), matchers=loose).divergences == ()
    assert replay_run(other(2, "pear"), matchers=loose).divergences[0].path == "arguments.item"


@given(
    st.dictionaries(
        st.sampled_from("ab"), st.integers(0, 3) | st.dictionaries(st.sampled_from("xy"), st.integers(0, 3))
    )
)
def test_a_loose_key_depends_on_what_is_not_ignored_alone(arguments: dict[str, Any]) -> None:
    without = {k: v for k, v in arguments.items() if k != "a"}

    assert loose_tool_key("t", arguments, ("a",)) == loose_tool_key("t", without, ("a",))
    assert loose_tool_key("t", {**arguments, "c": 1}, ("a",)) != loose_tool_key("t", arguments, ("a",))


def test_the_key_of_a_last_message_is_that_message_s_alone() -> None:
    a, b = user_message("a"), user_message("b")

    assert last_message_key((a, b)) == last_message_key((b,)) != last_message_key((a,))
    assert last_message_key(()) == last_message_key(())


def test_a_divergence_says_itself_in_one_line() -> None:
    recording = recorded().recording()
    setup = agent_setup(shop_agent(Shop(), instructions="Other."), REQUEST, recording.header)

    text = describe(replay_run(recording, setup=setup).divergences[0])

    assert text == "0.model/1: model 'm1' changed at messages[0].parts[0].content (cause: prompt)"


def test_an_answer_that_says_how_a_conversation_ends_is_replayed() -> None:
    class Talk:
        def __init__(self) -> None:
            self.turns = [InputReply(messages=(user_message("more?"),)), InputReply(end="finish")]

        async def next(self, conversation: Any) -> InputReply:
            return self.turns.pop(0)

    result, sink = record_to_sink(shop_agent(Shop()), ["one", "two"], inputs=Talk())
    recording = sink.recording()

    assert result.output == "two"
    assert replay_run(recording).verdict == "same"
    assert (
        replay_run(recording, setup=agent_setup(shop_agent(Shop()), REQUEST, recording.header)).verdict
        == "same"
    )


def test_a_request_is_rebuilt_from_the_recording_alone() -> None:
    recording = recorded().recording()
    setup = recorded_setup(recording)

    finished = drive(run_flow(setup), performer(recording), setup.header)

    assert finished.trace.trace_hash == recording.trace().trace_hash
