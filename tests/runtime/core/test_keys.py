"""Keys: the chain over messages, renamed ids, and redaction before hashing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.redaction.redactor import Redactor
from runtime.core.canonical import fingerprint
from runtime.core.effects import AskApproval, CallModel, CallTool, Input, Limits, Refuse, Wait
from runtime.core.keys import IdNames, Keyer, rename_ids, tool_key
from runtime.core.messages import (
    Message,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolSchema,
    system_message,
    tool_message,
    user_message,
)

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"[:36]

texts = st.text(max_size=6)
plain_messages = st.one_of(
    st.builds(user_message, texts),
    st.builds(system_message, texts),
    st.builds(lambda t: Message(role="assistant", parts=(TextPart(t), ReasoningPart(t))), texts),
)
id_messages = st.one_of(
    plain_messages,
    st.builds(tool_message, st.sampled_from("abc"), texts),
    st.builds(
        lambda i: Message(role="assistant", parts=(ToolCallPart(i, "t", {"x": i}),)), st.sampled_from("abc")
    ),
)


def request(*messages: Message, **fields: Any) -> ModelRequest:
    return ModelRequest(**{"model": "m", "messages": messages, **fields})


def fresh(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return equal messages that are other objects, as a reader of a file makes them."""
    return msgspec.convert(msgspec.to_builtins(messages), tuple[Message, ...])


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[Message, ...]]:
    """Draw the requests of a run: each keeps a prefix of the one before and adds messages."""
    found: list[tuple[Message, ...]] = [()]
    for _ in range(draw(st.integers(1, 6))):
        kept = draw(st.integers(0, len(found[-1])))
        found.append((*found[-1][:kept], *draw(st.lists(id_messages, max_size=4))))
    return found


@given(conversations())
def test_sharing_prefixes_never_changes_a_key(run: list[tuple[Message, ...]]) -> None:
    sharing, reading = Keyer(), Keyer()

    assert [sharing.model_key(request(*m)) for m in run] == [
        reading.model_key(request(*fresh(m))) for m in run
    ]


@given(st.lists(st.lists(plain_messages, max_size=5).map(tuple), min_size=1, max_size=5), st.data())
def test_chain_equals_a_key_made_from_nothing(run: list[tuple[Message, ...]], data: st.DataObject) -> None:
    keyer = Keyer()
    before: tuple[Message, ...] = ()
    for messages in run:
        kept = data.draw(st.integers(0, len(before)))
        before = (*before[:kept], *messages)

        assert keyer.model_key(request(*before)) == Keyer().model_key(request(*before))
        assert keyer.links(before) == Keyer().links(before)


def test_first_link_that_differs_names_the_message() -> None:
    left = (user_message("a"), user_message("b"), user_message("c"))
    right = (user_message("a"), user_message("x"), user_message("c"))

    links = zip(Keyer().links(left), Keyer().links(right), strict=True)

    assert [a == b for a, b in links] == [True, False, False]


def call(call_id: str, arguments: Any, response: str) -> tuple[Message, ...]:
    asked = Message(role="assistant", parts=(ToolCallPart(call_id, "t", arguments),))
    return (asked, tool_message(call_id, response))


def test_provider_ids_are_no_part_of_a_key() -> None:
    first = Keyer().model_key(request(*call("id_1", {"q": 1}, "r")))

    assert Keyer().model_key(request(*call("other", {"q": 1}, "r"))) == first


def test_text_and_arguments_are_never_searched_for_ids() -> None:
    first = Keyer().model_key(request(*call("id_1", {"q": "id_1"}, "see id_1")))

    assert Keyer().model_key(request(*call("id_2", {"q": "id_2"}, "see id_1"))) != first
    assert Keyer().model_key(request(*call("id_2", {"q": "id_1"}, "see id_2"))) != first
    assert Keyer().model_key(request(*call("id_2", {"q": "id_1"}, "see id_1"))) == first


def test_ids_are_renamed_by_first_appearance() -> None:
    ids = IdNames()
    message = Message(role="assistant", parts=(ToolCallPart("z", "t", {}), ToolCallPart("a", "t", {})))

    renamed = rename_ids(message, ids)

    assert [p.id for p in renamed.parts if isinstance(p, ToolCallPart)] == ["call#1", "call#2"]
    assert ids.name("z") == "call#1"


@pytest.mark.parametrize(
    "other",
    [
        {"model": "m2"},
        {"parameters": {"temperature": 1}},
        {"tools": (ToolSchema(name="t", parameters={"type": "object"}),)},
    ],
)
def test_model_parameters_and_tools_close_the_key(other: dict[str, Any]) -> None:
    keyer = Keyer()
    base = keyer.model_key(request(user_message("a")))

    assert keyer.model_key(request(user_message("a"), **other)) != base
    assert keyer.model_key(request(user_message("a"))) == base


def test_limits_lanes_and_ids_are_no_part_of_a_key() -> None:
    keyer = Keyer()
    limits = Limits(deadline_s=1.0, max_output_tokens=5, idempotency_key="idem_x")
    asked = request(user_message("a"))
    one = CallTool(lane="0.tool0/1", call_id="a", name="t", arguments={"q": 1}, args_hash="h")
    two = CallTool(lane="3.tool1/2", call_id="b", name="t", arguments={"q": 1}, args_hash="h", limits=limits)

    assert keyer.key(CallModel(lane="0.model/1", request=asked)) == keyer.key(
        CallModel(lane="5.model/2", request=asked, limits=limits)
    )
    assert keyer.key(one) == keyer.key(two) == tool_key("t", "h")


def test_a_refused_call_has_the_key_of_the_call() -> None:
    refused = Refuse(
        lane="0.tool0/1",
        call_id="a",
        name="t",
        arguments={},
        args_hash="h",
        status="denied",
        message="",
        rule="policy",
    )
    asked = AskApproval(
        lane="0.approval0/1", call_id="a", name="t", arguments={}, args_hash="h", policy_hash="p", timeout_s=1
    )

    assert Keyer().key(refused) == Keyer().key(asked) == tool_key("t", "h")


def test_waits_loads_and_saves_are_keyed_by_what_was_decided() -> None:
    keyer = Keyer()

    assert keyer.key(Wait(lane="0.wait/2", seconds=1.5)) == fingerprint(1.5)
    assert keyer.key(Input(lane="0.input/1")) is None


def test_keys_are_made_after_redaction_so_a_redacted_recording_matches() -> None:
    arguments = {"q": f"use {TOKEN}"}
    live = CallTool(
        lane="0.tool0/1", call_id="a", name="t", arguments=arguments, args_hash=fingerprint(arguments)
    )
    stored = {"q": "use <secret#1>"}
    replayed = msgspec.structs.replace(live, arguments=stored, args_hash=fingerprint(stored))

    assert Keyer(Redactor()).key(live) == Keyer(Redactor()).key(replayed) != Keyer().key(live)
    assert Keyer(Redactor()).model_key(request(user_message(f"use {TOKEN}"))) == Keyer(Redactor()).model_key(
        request(user_message("use <secret#1>"))
    )
