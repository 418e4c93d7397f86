"""Requests are threaded to conversations by their messages, by server-side state, and by what compaction leaves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.lift.decoding import LiftedExchange
from harness.lift.endpoints import Endpoint
from harness.lift.lift import iter_lifted, lift_file
from harness.lift.threading import LiftedConversation, Link, thread
from harness.lift.traces import RunNames, conversation_run
from harness.wire.run_identity import RunIdentity
from runtime.core.effects import Failure, FailureKind
from runtime.core.messages import Message, ModelReply, ModelRequest, TextPart, ToolCallPart, tool_message
from runtime.core.trace import Trace

REAL = Path(__file__).parents[3].parent / "shared" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real data set is not here")
BACKGROUND = (
    "http/pydantic-ai/tests/models/cassettes/test_openai_responses/test_background_mode_with_tool_vcr.yaml"
)
ENDPOINT = Endpoint(provider="openai", name="responses", dialect="openai-responses")
SYSTEM = Message(role="system", parts=(TextPart("Be brief."),))
DOWN = Failure(kind=FailureKind.ERROR, message="down", phase="response")


def user(text: str) -> Message:
    return Message(role="user", parts=(TextPart(text),))


def echo(reply: ModelReply) -> Message:
    return Message(role="assistant", parts=reply.parts)


def says(text: str, *, response_id: str | None = None, raw: str = "completed") -> ModelReply:
    parts = (TextPart(text),) if text else ()
    return ModelReply(parts=parts, response_id=response_id, raw_finish_reason=raw)


def asks(name: str, call_id: str, *, response_id: str | None = None) -> ModelReply:
    return ModelReply(parts=(ToolCallPart(id=call_id, name=name, arguments={}),), response_id=response_id)


def sent(*messages: Message, reply: ModelReply | None = None, **parameters: Any) -> LiftedExchange:
    request = ModelRequest(model="m", messages=messages, parameters=parameters)
    failure = DOWN if reply is None else None
    return LiftedExchange(idx=0, endpoint=ENDPOINT, request=request, reply=reply, failure=failure)


def fetched(reply: ModelReply) -> LiftedExchange:
    return LiftedExchange(idx=0, endpoint=ENDPOINT, reply=reply)


def shape(conversations: list[LiftedConversation]) -> list[list[str]]:
    return [[str(turn.link) for turn in conversation.turns] for conversation in conversations]


def traced(conversation: LiftedConversation) -> Trace:
    return conversation_run(conversation, RunNames(request_id="req_x", identity=RunIdentity())).trace()


def test_a_previous_response_id_continues_its_conversation_with_the_results() -> None:
    [conversation] = thread(
        (
            sent(SYSTEM, user("Weather?"), reply=asks("weather", "c1", response_id="r1")),
            sent(
                SYSTEM,
                tool_message("c1", "rain"),
                reply=says("Rain.", response_id="r2"),
                previous_response_id="r1",
            ),
            sent(user("Thanks."), reply=says("Bye.", response_id="r3"), previous_response_id="r2"),
        )
    )

    assert shape([conversation]) == [["first", "server-state", "server-state"]]
    assert conversation.sureness == "certain"
    assert [c.result for c in traced(conversation).tool_calls] == ["rain"]


def test_naming_an_earlier_reply_begins_a_branch() -> None:
    conversations = thread(
        (
            sent(user("One?"), reply=says("1", response_id="r1")),
            sent(user("Two?"), reply=says("2", response_id="r2"), previous_response_id="r1"),
            sent(user("Three?"), reply=says("3", response_id="r3"), previous_response_id="r1"),
        )
    )

    assert shape(conversations) == [["first", "server-state"], ["first"]]


def test_interleaved_server_side_conversations_are_told_apart_by_their_id() -> None:
    conversations = thread(
        (
            sent(user("One?"), reply=asks("f", "a"), conversation="conv_1"),
            sent(user("One?"), reply=asks("f", "b"), conversation={"id": "conv_2"}),
            sent(tool_message("a", "of 1"), reply=says("1"), conversation={"id": "conv_1"}),
            sent(tool_message("b", "of 2"), reply=says("2"), conversation="conv_2"),
        )
    )

    assert shape(conversations) == [["first", "server-state"]] * 2
    assert [[c.result for c in traced(each).tool_calls] for each in conversations] == [["of 1"], ["of 2"]]


def test_a_retry_under_server_side_state_is_an_attempt() -> None:
    [conversation] = thread(
        (
            sent(user("One?"), reply=says("1", response_id="r1")),
            sent(user("Two?"), previous_response_id="r1"),
            sent(user("Two?"), reply=says("2"), previous_response_id="r1"),
        )
    )

    assert [len(turn.attempts) for turn in conversation.turns] == [1, 2]
    assert traced(conversation).totals.retries == 1


def test_a_polled_reply_takes_the_place_of_the_queued_one() -> None:
    [conversation] = thread(
        (
            sent(user("Weather?"), reply=says("", response_id="r1", raw="queued"), background=True),
            fetched(says("", response_id="r1", raw="in_progress")),
            fetched(asks("weather", "c1", response_id="r1")),
            sent(
                tool_message("c1", "rain"), reply=says("Rain.", response_id="r2"), previous_response_id="r1"
            ),
        )
    )
    trace = traced(conversation)

    assert [(c.name, c.result) for c in trace.tool_calls] == [("weather", "rain")]
    assert (trace.stop_reason, trace.output, trace.totals.model_calls) == ("finish", "Rain.", 2)


def test_a_background_reply_that_was_never_fetched_leaves_the_run_open() -> None:
    [conversation] = thread((sent(user("Hi"), reply=says("", response_id="r1", raw="queued")),))

    assert traced(conversation).stop_reason == "open"


def test_a_shortened_history_continues_its_conversation_as_likely() -> None:
    first, second = asks("f", "a"), asks("g", "b")
    begin = (SYSTEM, user("A long story."), echo(first), tool_message("a", "A"))
    conversations = thread(
        (
            sent(*begin[:2], reply=first),
            sent(*begin, reply=second),
            sent(SYSTEM, user("In short."), echo(second), tool_message("b", "B"), reply=says("Done.")),
        )
    )

    assert shape(conversations) == [["first", "prefix", "compaction"]]
    assert conversations[0].sureness == "likely"
    assert [c.result for c in traced(conversations[0]).tool_calls] == ["A", "B"]


def test_a_short_text_that_two_conversations_share_is_no_compaction() -> None:
    conversations = thread(
        (
            sent(SYSTEM, user("One?"), reply=says("Yes.")),
            sent(SYSTEM, user("Two?"), echo(says("Yes.")), user("Three?"), reply=says("No.")),
        )
    )

    assert shape(conversations) == [["first"], ["first"]]


def test_a_sub_agent_within_a_call_is_a_conversation_of_its_own() -> None:
    asked = asks("delegate", "d")
    conversations = thread(
        (
            sent(user("Plan a trip."), reply=asked),
            sent(SYSTEM, user("Find a hotel."), reply=says("The Ritz.")),
            sent(user("Plan a trip."), echo(asked), tool_message("d", "The Ritz."), reply=says("Booked.")),
        )
    )

    assert shape(conversations) == [["first", "prefix"], ["first"]]


def test_of_equal_conversations_the_latest_is_continued_and_said_to_be_ambiguous() -> None:
    conversations = thread(
        (
            sent(user("Hi"), reply=says("Ho")),
            sent(user("Hi"), reply=says("Ho")),
            sent(user("Hi"), echo(says("Ho")), user("More"), reply=says("Ok")),
        )
    )

    assert shape(conversations) == [["first"], ["first", "ambiguous-prefix"]]
    assert [each.sureness for each in conversations] == ["certain", "ambiguous"]


def test_a_trace_says_how_sure_its_links_are() -> None:
    [conversation] = thread((sent(user("Hi")), sent(user("Hi"), user("Again"), reply=says("Ho"))))

    assert traced(conversation).labels == {"link": "likely", "linked_by": ["first", "failed-request"]}
    assert conversation.turns[1].link is Link.FAILURE


@needs_real
def test_a_real_background_run_is_one_conversation_with_its_call_and_result() -> None:
    [trace] = lift_file(REAL / BACKGROUND).traces

    assert [(c.name, c.status) for c in trace.tool_calls] == [("get_weather", "ok")]
    assert trace.output is not None
    assert trace.output.startswith("The weather in Paris")
    assert trace.labels["link"] == "certain"


@needs_real
def test_each_real_request_is_an_attempt_of_exactly_one_trace() -> None:
    asked = traced_calls = 0
    links: Counter[str] = Counter()
    folder = REAL / "http/pydantic-ai/tests/models/cassettes/test_openai_responses"
    for lifted in iter_lifted([folder]):
        asked += sum(exchange.request is not None for exchange in lifted.exchanges)
        traced_calls += sum(step.attempts for trace in lifted.traces for step in trace.model_calls)
        links.update(str(link) for trace in lifted.traces for link in trace.labels["linked_by"])

    assert asked == traced_calls > 0
    assert links["server-state"] > 0
