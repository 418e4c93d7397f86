"""The scripted model: order, filled-in facts, failures, policies, and the end of the script."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.effects import NO_LIMITS, Failure, FailureKind
from runtime.core.messages import Message, ModelReply, ModelRequest, ToolCallPart, user_message
from runtime.errors import UsageError
from runtime.models.sizes import sized_usage
from runtime.testing import ScriptedModel, calls, fails, says

REQUEST = ModelRequest(model="demo", messages=(user_message("hello there"),))


def ask(model: ScriptedModel, request: ModelRequest = REQUEST) -> ModelReply | Failure:
    return asyncio.run(model.call(request, NO_LIMITS))


def test_turns_are_answered_in_order_and_counted() -> None:
    model = ScriptedModel([calls(("kb.search", {"q": "a"})), fails("rate_limited", retryable=True), "done"])

    answers = [ask(model) for _ in range(3)]

    assert isinstance(answers[0], ModelReply)
    assert answers[0].tool_calls == (ToolCallPart(id="call_1", name="kb.search", arguments={"q": "a"}),)
    assert isinstance(answers[1], Failure)
    assert (answers[1].kind, answers[1].retryable) == (FailureKind.RATE_LIMITED, True)
    assert isinstance(answers[2], ModelReply)
    assert (answers[2].text, answers[2].finish_reason) == ("done", "stop")
    assert model.remaining == 0
    assert model.requests == [REQUEST] * 3


def test_used_up_script_is_one_clear_error() -> None:
    model = ScriptedModel(["only one"])
    ask(model)

    with pytest.raises(
        UsageError, match="script of 1 turns is used up: the agent makes model call 2"
    ) as caught:
        ask(model)

    assert caught.value.next_step is not None


def test_call_ids_go_on_from_the_conversation() -> None:
    earlier = Message(role="assistant", parts=(ToolCallPart(id="x", name="a", arguments={}),))
    request = ModelRequest(model="demo", messages=(*REQUEST.messages, earlier))

    reply = ask(ScriptedModel([calls(("a", {}), ("b", {}))]), request)

    assert isinstance(reply, ModelReply)
    assert [call.id for call in reply.tool_calls] == ["call_2", "call_3"]


def test_policy_answers_from_the_request_alone() -> None:
    model = ScriptedModel(lambda request: f"{len(request.messages)} messages")

    first, second = ask(model), ask(model)

    assert isinstance(first, ModelReply)
    assert first == second
    assert first.text == "1 messages"
    assert model.remaining is None


def test_names_and_usage_are_filled_in() -> None:
    reply = ask(ScriptedModel(["x" * 398], provider="acme"))

    assert isinstance(reply, ModelReply)
    assert (reply.response_model, reply.provider) == ("demo", "acme")
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (3, 100)


def test_observer_is_told_the_text() -> None:
    shown: list[str] = []

    class Screen:
        def on_text(self, delta: str) -> None:
            shown.append(delta)

        def on_restart(self) -> None:
            shown.clear()

    asyncio.run(ScriptedModel(["hi"]).call(REQUEST, NO_LIMITS, Screen()))

    assert shown == ["hi"]


@pytest.mark.parametrize("script", ["a bare text", [says("x"), 3], [None]])
def test_script_that_is_none_is_refused_when_it_is_made(script: Any) -> None:
    with pytest.raises(UsageError):
        ScriptedModel(script)


def test_policy_that_returns_no_turn_is_refused() -> None:
    with pytest.raises(UsageError, match="no turn"):
        ask(ScriptedModel(cast("Any", lambda request: None)))


def test_calls_without_a_tool_and_unknown_failures_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one tool"):
        calls()
    with pytest.raises(UsageError, match="no kind of failure"):
        fails("melted")


@given(st.text(max_size=200), st.text(max_size=200))
def test_usage_is_at_least_one_token_and_grows_with_the_text(sent: str, more: str) -> None:
    small = sized_usage(ModelRequest(model="m", messages=(user_message(sent),)), says(sent).parts)
    large = sized_usage(
        ModelRequest(model="m", messages=(user_message(sent + more),)), says(sent + more).parts
    )

    assert small.input_tokens is not None
    assert large.input_tokens is not None
    assert 1 <= small.input_tokens <= large.input_tokens
    assert small.input_tokens == small.output_tokens
