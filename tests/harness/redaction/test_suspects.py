"""The look at encoded values that lets cleaning be skipped: it must never pass what cleaning would change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.redaction.redactor import Redactor
from runtime.core.canonical import canonical_bytes
from runtime.core.effects import CallTool
from runtime.core.keys import Keyer, tool_key
from runtime.core.messages import Message, Part, TextPart, ToolCallPart, ToolResponsePart

SECRETS = (
    "sk-" + "a1B2" * 8,
    "AKIA" + "ABCD1234" * 2,
    "ghp_" + "x9Y8" * 10,
    "Bearer " + "z1" * 20,
    "api_key=" + "q7w8" * 5,
    "https://user:" + "pass9word" + "@a.test/",
    "<secret#4>",
)
NAMES = (
    "password",
    "pwd",
    "Authorization",
    "API-Key",
    "client secret",
    "pa\u017fsword",
    "session_to\u212aen",
    "plain",
)
TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(SECRETS), st.sampled_from(("Monday", "hunter22", "a\nb"))
)
VALUES = st.recursive(
    TEXTS | st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_a_value_that_is_not_suspect_is_not_changed(value: Any) -> None:
    for shared in (False, True):
        redactor = Redactor()

        suspect = redactor.suspects(canonical_bytes(value), shared=shared)

        assert suspect or (redactor.value(value) is value and redactor.secrets == 0)


@given(st.lists(TEXTS, max_size=3), VALUES)
def test_a_message_that_is_not_suspect_is_not_changed(texts: list[str], arguments: Any) -> None:
    parts: tuple[Part, ...] = (
        *map(TextPart, texts),
        ToolCallPart("c1", "look", arguments),
        ToolResponsePart("c1", "".join(texts)),
    )
    message = Message("assistant", parts)
    try:
        encoded = msgspec.json.encode(message)
    except UnicodeEncodeError:
        return
    redactor = Redactor()

    suspect = redactor.suspects(encoded)

    assert suspect or redactor.message(message) is message


@pytest.mark.parametrize("secret", SECRETS[:-1])
def test_a_secret_in_arguments_is_not_part_of_the_key(secret: str) -> None:
    def call(text: str) -> CallTool:
        return CallTool(
            lane="0.tool0/1", call_id="c", name="t", arguments={"q": text}, args_hash="of the secret"
        )

    key = Keyer(Redactor()).key(call(secret))

    assert key != tool_key("t", "of the secret")
