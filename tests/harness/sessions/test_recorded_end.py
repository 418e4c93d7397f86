"""A replay is the same only if it ends as the recording says that the run ended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from harness.replay.divergence import headline
from harness.sessions.replay import agent_setup, replay_run
from runtime.journal.recording import Recording, recording_of
from runtime.journal.records import raw
from runtime.testing import calls
from tests.support.agents import Shop, shop_agent
from tests.support.recordings import REQUEST, record_to_sink

SCRIPT: list[Any] = [calls(("stock", {"item": "apple"})), "There are apples."]


def ending(**fields: Any) -> Recording:
    """Return a recording whose last record states other things than its interactions give."""
    _, sink = record_to_sink(shop_agent(Shop()), SCRIPT)
    records = list(sink.records)
    end = msgspec.json.decode(records[-1].outcome)
    end["totals"].update(fields.pop("totals", {}))
    records[-1] = msgspec.structs.replace(records[-1], outcome=raw({**end, **fields}))
    return recording_of(records, source="mutated")


def test_a_recording_that_says_what_happened_is_the_same() -> None:
    assert replay_run(ending()).verdict == "same"


@pytest.mark.parametrize(
    ("stated", "path"),
    [
        ({"stop_reason": "max_steps"}, "stop_reason"),
        ({"output": "There are pears."}, "output"),
        ({"trace_hash": "0" * 64}, "trace_hash"),
        ({"totals": {"tool_calls": 99}}, "totals.tool_calls"),
        ({"totals": {"cost_nanousd": 1}}, "totals.cost_nanousd"),
        ({"totals": {"input_tokens": 7}}, "totals.input_tokens"),
        ({"totals": {"duration_s": 99.0}}, "totals.duration_s"),
        ({"totals": {"tool_calls_by_name": {"stock": 2}}}, "totals.tool_calls_by_name"),
        ({"totals": {"tool_calls": 99}, "trace_hash": None}, "totals.tool_calls"),
    ],
)
def test_an_end_that_the_interactions_do_not_give_is_a_divergence(stated: Any, path: str) -> None:
    recording = ending(**stated)

    replay = replay_run(recording)

    assert (replay.verdict, replay.divergences[0].path) == ("diverged", path)
    assert headline(replay.divergences[0]).startswith("code: ")


def test_totals_that_are_not_stated_are_not_compared() -> None:
    recording = ending(totals={"cost_nanousd": None, "duration_s": None})

    assert replay_run(recording).verdict == "same"


def test_totals_of_an_older_header_that_todays_fold_explains_are_a_warning() -> None:
    recording = ending(totals={"errors": 3})
    recording.header = msgspec.structs.replace(recording.header, version=1)

    replay = replay_run(recording)

    assert replay.verdict == "same"
    assert "totals are counted otherwise today: errors" in replay.warnings


def test_a_run_that_died_in_a_model_call_replays_the_same() -> None:
    result, sink = record_to_sink(shop_agent(Shop()), SCRIPT[:1])
    assert result.stop_reason == "internal_error"
    recording = sink.recording()

    replay = replay_run(recording)

    assert replay.divergences == ()
    assert replay.verdict == "same"
    assert replay.trace is not None
    assert replay.trace.stop_reason == "internal_error"


def test_a_run_that_died_and_whose_code_asks_for_something_else_diverges() -> None:
    _, sink = record_to_sink(shop_agent(Shop()), SCRIPT[:1])
    recording = sink.recording()
    other = shop_agent(Shop(), instructions="Sell pears.")

    replay = replay_run(recording, setup=agent_setup(other, REQUEST, recording.header), collect=True)

    assert replay.verdict == "diverged"
    assert replay.divergences[0].cause == "prompt"
