import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.redaction.redactor import Redactor
from harness.redaction.tripwire import looks_secret
from runtime.core.canonical import fingerprint
from runtime.core.effects import Begin, CallModel, Outcome
from runtime.core.keys import Keyer
from runtime.core.messages import (
    Message,
    ModelReply,
    ModelRequest,
    TextPart,
    ToolCallPart,
    tool_message,
    user_message,
)
from runtime.core.run import Header
from runtime.journal.builder import RecordBuilder

# Joined at run time, so that no scanner takes this file for a leak.
SECRETS = {
    "openai_key": "sk-" + "aB3" * 16,
    "openai_project": "sk-proj-" + "aB3_-x" * 10,
    "anthropic_key": "sk-ant-" + "api03-" + "Zz9_" * 10,
    "stripe_key": "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "stripe_restricted": "rk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "aws_access_key": "AKIA" + "IOSFODNN7EXAMPLE",
    "github_token": "ghp_" + "a1B2" * 9,
    "github_fine": "github_pat_" + "11ABCDEFG0" + "_" + "x1Y2" * 10,
    "slack_token": "xoxb-" + "123456789012-" + "AbCdEf123456",
    "google_key": "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"[:35],
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N",
    "private_key": "-----BEGIN "
    + "RSA PRIVATE KEY-----\n"
    + "MIIEow" * 20
    + "\n-----END RSA PRIVATE KEY-----",
}


def whole(text: str) -> str:
    return Redactor().text(text)


@pytest.mark.parametrize("name", SECRETS)
def test_a_known_shape_is_replaced_wherever_it_stands(name: str) -> None:
    secret = SECRETS[name]

    assert whole(secret) == "<secret#1>"
    assert whole(f"use {secret}, please") == "use <secret#1>, please"
    assert whole(f'["{secret}"]'.replace("\n", "\\n")) == '["<secret#1>"]'
    assert looks_secret(json.dumps({"a": f"line\n{secret}"}).encode()) is not None


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer <secret#1>"),
        ("authorization: basic dXNlcjpwYXNzd29yZA", "authorization: basic <secret#1>"),
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic <secret#1>"),
        ("postgres://app:hunter2@db:5432/x", "postgres://app:<secret#1>@db:5432/x"),
        ("https://a.test/?api_key=abcdef123&x=1", "https://a.test/?api_key=<secret#1>&x=1"),
        ("OPENAI_API_KEY=abcdef123", "OPENAI_API_KEY=<secret#1>"),
        ('cut off {"password": "hunter22", "a": ', 'cut off {"password": "<secret#1>", "a": '),
        ("The key: password: hunter22x", "The key: password: <secret#1>"),
        ("{'db_password': 'hunter22'}", "{'db_password': '<secret#1>'}"),
    ],
)
def test_credentials_in_text_are_replaced_and_what_surrounds_them_stays(text: str, clean: str) -> None:
    assert whole(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "The risk-adjusted-return-on-capital was fine.",
        "Please reset your password: click the link.",
        "The bearer of responsibilities-and-duties signs here.",
        "a basic understanding of tokens",
        "https://example.test:8080/path@2",
        "AKIA is a prefix, ghp_ too, and xoxb- as well",
        "<secret#1> and <secret:9f3a> stay",
        "password=<secret#4>",
        "https://app:<secret#2>@db/x",
    ],
)
def test_ordinary_text_and_pseudonyms_are_the_same_object_afterwards(text: str) -> None:
    redactor = Redactor()
    message = user_message(text)

    assert redactor.text(text) is text
    assert redactor.message(message) is message
    assert redactor.value(value := {"a": [text, 1, None]}) is value


def test_fields_with_a_secret_name_are_replaced_in_structures_and_in_json_inside_text() -> None:
    inner = {"user": "ann", "password": "p", "nested": [{"client_secret": "q"}], "token_count": 3}

    clean = Redactor().value({"body": json.dumps(inner), "api-key": "p", "passwords": "kept", "password": ""})

    assert json.loads(clean["body"]) == {
        "user": "ann",
        "password": "<secret#1>",
        "nested": [{"client_secret": "<secret#2>"}],
        "token_count": 3,
    }
    assert clean["api-key"] == "<secret#1>"
    assert (clean["passwords"], clean["password"]) == ("kept", "")


def test_each_distinct_secret_has_one_number_by_first_appearance() -> None:
    redactor = Redactor()
    a, b = SECRETS["openai_key"], SECRETS["aws_access_key"]

    assert redactor.text(f"{b} {a} {b}") == "<secret#1> <secret#2> <secret#1>"
    assert redactor.value([a, {"password": "p"}, b]) == [
        "<secret#2>",
        {"password": "<secret#3>"},
        "<secret#1>",
    ]
    assert redactor.secrets == 3


def test_a_new_secret_takes_a_number_above_those_already_there() -> None:
    redactor = Redactor()
    redactor.text("seen: <secret#7>")

    assert redactor.text(SECRETS["openai_key"]) == "<secret#8>"


def test_headers_of_the_deny_list_lose_their_values_and_keep_their_scheme() -> None:
    clean = Redactor().headers(
        {
            "Authorization": "Bearer short",
            "X-API-Key": ["one", "two"],
            "Set-Cookie": "a=b",
            "Content-Type": "application/json",
            "X-Note": SECRETS["github_token"],
        }
    )

    assert clean == {
        "Authorization": "Bearer <secret#1>",
        "X-API-Key": ["<secret#2>", "<secret#3>"],
        "Set-Cookie": "<secret#4>",
        "Content-Type": "application/json",
        "X-Note": "<secret#5>",
    }


def test_no_secret_reaches_a_record_and_the_keys_are_those_of_the_clean_form() -> None:
    secret = SECRETS["anthropic_key"]
    history = (user_message(f"my key is {secret}"),)
    reply = ModelReply(parts=(TextPart(f"ok {secret}"), ToolCallPart("c", "f", {"password": "hunter2"})))
    later = (*history, Message("assistant", reply.parts), tool_message("c", json.dumps({"api_key": secret})))
    builder = RecordBuilder(cleaner=Redactor())
    header = Header(request_id="q", run_id="r", tenant="t", environment="e", agent="a", input=history)
    made = [builder.intent(Begin(header=header))]
    calls = [
        CallModel(lane=f"{i}.model/1", request=ModelRequest(model="m", messages=m))
        for i, m in enumerate((history, later))
    ]

    for call in calls:
        made += [builder.intent(call), builder.outcome(call, Outcome(reply))]

    text = repr(made)
    assert secret not in text
    assert "hunter2" not in text
    redactor = Redactor()
    clean = tuple(map(redactor.message, later))
    assert made[3] is not None
    assert made[3].key == Keyer().model_key(ModelRequest(model="m", messages=clean))


PIECES = st.one_of(
    st.sampled_from([*SECRETS.values(), "password=", '"', "{", "<secret#3>", "://", "Bearer ", "\\n"]),
    st.text(max_size=8),
)
VALUES = st.recursive(
    st.lists(PIECES, max_size=4).map("".join),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "password", "b"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(value=VALUES)
def test_cleaning_twice_changes_nothing(value: Any) -> None:
    once = Redactor().value(value)

    assert Redactor().value(once) == once


@given(
    before=st.text(alphabet="ab \n\"'{}[]:,", max_size=20), after=st.text(alphabet="\n\"' ,;", max_size=10)
)
def test_nothing_secret_is_left_after_cleaning(before: str, after: str) -> None:
    for secret in SECRETS.values():
        text = whole(f"{before} {secret}{after}")

        assert secret not in text
        assert looks_secret(text.encode()) is None


def test_json_inside_text_with_a_lone_surrogate_can_still_be_written() -> None:
    clean = whole('{"password": "hunter2", "a": "\\ud800 ü"}')

    assert json.loads(clean) == {"password": "<secret#1>", "a": "\ud800 ü"}
    assert clean.encode()


def test_hostile_text_costs_about_linear_time() -> None:
    texts = [
        "-----BEGIN PRIVATE KEY-----" * 400,
        "://" + "a:" * 20_000,
        "password=" * 5_000,
        "bearer " * 8_000,
    ]

    began = time.perf_counter()
    for text in texts:
        whole(text)

    assert time.perf_counter() - began < 5.0


def test_base64_of_a_header_is_replaced_as_a_whole() -> None:
    pair = base64.b64encode(b"user:password!!").decode()

    assert pair not in whole(f"Authorization: Basic {pair}")
    assert fingerprint(whole(pair)) == fingerprint(pair)
