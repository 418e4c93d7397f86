"""Every place and form a secret may have: nested JSON, chunks, encodings, keyed names, logs, limits."""

import base64
import hashlib
import io
import itertools
import json
import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CassetteError
from harness.redaction.log_filter import RedactingFilter
from harness.redaction.redactor import Redactor, known_credentials, process_redactor, redaction_key
from harness.redaction.rules import load_rules
from harness.redaction.samples import sample
from harness.redaction.tripwire import looks_secret, refuse_secrets
from runtime.core.run import Header
from runtime.errors import UsageError

SECRETS = {rule.id: rule.positive for rule in load_rules() if not rule.personal and " " not in rule.positive}


def whole(text: str) -> str:
    return Redactor().text(text)


KEY = "sk-ant-" + "api03-" + "Zz9_" * 10


def test_numbers_under_the_name_of_a_password_are_replaced_also_in_json_text() -> None:
    clean = Redactor().value(
        {"password": 12345678, "port": 12345678, "body": '{"password": 1234567, "n": 1}'}
    )

    assert clean == {"password": "<secret#1>", "port": 12345678, "body": '{"password": "<secret#2>", "n": 1}'}


def test_a_token_is_secret_where_it_looks_like_a_key_and_not_as_a_piece_of_text() -> None:
    told = [
        {"token": "Hello", "logprob": -0.1},
        {"token": "aB3dE5fG7hI9jK1lM3"},
        {"page_token": "aB3dE5fG7hI9jK1"},
    ]

    assert Redactor().value(told) == [told[0], {"token": "<secret#1>"}, told[2]]


def test_a_mapping_of_headers_is_cleaned_as_headers() -> None:
    call = {
        "url": "https://a.test",
        "headers": {"Cookie": "a=b", "Accept": "x", "X-Team-Token": ["t1", "t2"]},
    }

    assert Redactor().value(call) == {
        "url": "https://a.test",
        "headers": {"Cookie": "<secret#1>", "Accept": "x", "X-Team-Token": ["<secret#2>", "<secret#3>"]},
    }


def nested(value: Any, times: int) -> str:
    text = json.dumps(value)
    for _ in range(times):
        text = json.dumps({"inner": text})
    return text


@pytest.mark.parametrize("times", range(8))
def test_json_inside_json_is_cleaned_in_place(times: int) -> None:
    text = nested({"password": "hunter2", "n": 1.0, "a": ["\u00fc", 'q"uote']}, times)

    clean = whole(text)

    assert clean == text.replace("hunter2", "<secret#1>")


def test_json_inside_json_beyond_the_limit_is_dropped_and_named_by_its_hash() -> None:
    text = nested({"password": "hunter2"}, 9)

    redactor = Redactor()
    clean = redactor.text(text)

    assert clean == f"<dropped:sha256:{hashlib.sha256(text.encode()).hexdigest()}>"
    assert redactor.counts == {"dropped": 1}
    assert Redactor().text(clean) is clean


def test_a_text_over_the_limit_is_dropped_and_one_at_the_limit_is_not() -> None:
    redactor = Redactor(max_body_bytes=100)

    assert redactor.text("x" * 100) == "x" * 100
    assert redactor.text("x" * 101).startswith("<dropped:sha256:")
    assert redactor.suspects(b"x" * 101)


def test_a_value_nested_too_deep_for_any_encoder_is_dropped() -> None:
    value: Any = {"password": "hunter2"}
    for _ in range(5_000):
        value = [value]

    clean = Redactor().value(value)

    assert "hunter2" not in str(msgspec.json.encode(clean))
    assert b"<dropped:sha256:" in msgspec.json.encode(clean)


def test_cut_off_json_is_cleaned_by_its_names() -> None:
    text = '{"a": "x", "list": [1, 2], "client_secret": ["one1", "two2"], "password": "hunt'

    assert whole(text) == (
        '{"a": "x", "list": [1, 2], "client_secret": ["<secret#1>", "<secret#2>"], "password": "<secret#3>'
    )


def forms(secret: str) -> list[str]:
    raw = secret.encode()
    return [
        secret,
        base64.b64encode(raw).decode(),
        base64.b64encode(b"u:" + raw).decode(),
        base64.b64encode(b"user:" + raw + b"!").decode(),
        base64.urlsafe_b64encode(raw).decode(),
        raw.hex(),
        raw.hex().upper(),
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret))[1:-1],
    ]


@pytest.mark.parametrize(
    "known", ["correct horse?battery~staple", 'line\none "two" \\ ü', "k" * 8, "0123456789"]
)
def test_known_values_are_found_in_every_encoding_and_have_one_pseudonym(known: str) -> None:
    for form in forms(known):
        clean = Redactor(known=[known]).text(f"a {form} b")

        assert "<secret#1>" in clean
        assert not any(one in clean for one in forms(known))


def test_credentials_come_from_variables_whose_names_say_so() -> None:
    found = known_credentials(
        {
            "ACME_API_KEY": "value-of-the-key",
            "DB_PASSWORD": "hunter2hunter2",
            "SHORT_TOKEN": "1234567",
            "SSH_AUTH_SOCK": "/tmp/agent.sock",
            "KEY_FILE_TOKEN": "/etc/token/file",
            "HOME": "value-of-home",
            "MAX_TOKENS": "1234567890",
        }
    )

    assert found == ("hunter2hunter2", "value-of-the-key")


def test_a_process_redactor_takes_credentials_and_rules_from_the_environment(tmp_path: Path) -> None:
    rule = {"id": "acme", "description": "d", "keywords": ["acme-"], "pattern": "acme-[0-9]{8}"}
    (tmp_path / "r.json").write_text(json.dumps({"schema": "goldrun.secret_rules/1", "rules": [rule]}))
    environ = {"GOLDRUN_REDACTION_RULES": str(tmp_path / "r.json"), "X_PASSWORD": "plain words 1"}

    redactor = process_redactor(environ, known=["told apart"])

    assert redactor.text("acme-12345678, plain words 1, told apart") == "<secret#1>, <secret#2>, <secret#3>"
    assert Redactor().text("plain words 1") == "plain words 1"


def test_personal_data_is_replaced_on_request_only() -> None:
    text = (
        "ann@example.test, +49 30 1234567, DE89 3704 0044 0532 0130 00, 4111 1111 1111 1111, 4111111111111112"
    )

    assert whole(text) == text
    assert Redactor(personal_data=True).text(text) == (
        "<secret#1>, <secret#2>, <secret#3>, <secret#4>, 4111111111111112"
    )


def split(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted(cuts), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(places)]


@given(
    name=st.sampled_from(sorted(SECRETS)),
    before=st.text(max_size=10),
    after=st.text(max_size=10),
    cuts=st.lists(st.integers(0, 400), min_size=1, max_size=5),
)
def test_secrets_split_over_chunks_vanish_and_all_else_stays(
    name: str, before: str, after: str, cuts: list[int]
) -> None:
    secret = sample(SECRETS[name])
    text = f"{before} {secret} {after}"
    chunks = split(text, [min(cut, len(text)) for cut in cuts])

    clean = Redactor().redact_chunks(chunks)

    assert len(clean) == len(chunks)
    assert "".join(clean) == whole(text) != text
    at = 0
    for old, new in zip(chunks, clean, strict=True):
        if at + len(old) <= len(before):
            assert new == old
        at += len(old)


@pytest.mark.parametrize("parts", range(2, 7))
def test_arguments_split_over_chunks_stay_json(parts: int) -> None:
    text = json.dumps({"to": "ann", "note": f"use {KEY}\nnow", "auth": {"password": 'a"b'}, "n": 1})
    chunks = split(text, [len(text) * i // parts for i in range(1, parts)])

    clean = Redactor().redact_chunks(chunks)

    assert len(clean) == parts
    assert json.loads("".join(clean)) == {
        "to": "ann",
        "note": "use <secret#1>\nnow",
        "auth": {"password": "<secret#2>"},
        "n": 1,
    }


def test_chunks_without_a_secret_are_as_they_came() -> None:
    assert Redactor().redact_chunks(["Hel", "", "lo ü", "!"]) == ["Hel", "", "lo ü", "!"]
    assert Redactor().redact_chunks([]) == []


def test_keyed_pseudonyms_are_equal_in_all_runs_under_one_key_and_differ_under_another() -> None:
    one, again, other = (Redactor(pseudonyms="keyed", key=key * 16) for key in (b"a", b"a", b"b"))

    told = one.text(f"use {KEY}")

    assert re.fullmatch(r"use <secret:[0-9a-f]{8}>", told)
    assert again.text(f"x <secret#3> {KEY}") == f"x <secret#3> {told[4:]}"
    assert other.text(f"use {KEY}") != told
    assert one.key_id == again.key_id != other.key_id
    assert Redactor().text(told) is told


def test_renumbering_turns_keyed_pseudonyms_into_numbers_by_first_appearance() -> None:
    value = {"a": "<secret:aaaa1111> <secret:bbbb2222>", "b": ["<secret:aaaa1111>", "<secret#4>", 1]}

    assert Redactor().renumber(value) == {"a": "<secret#1> <secret#2>", "b": ["<secret#1>", "<secret#4>", 1]}
    redactor = Redactor()
    redactor.text("seen <secret#7>")
    assert redactor.renumber("<secret:aaaa1111>") == "<secret#8>"


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"

    made = redaction_key(None, path)

    assert redaction_key(None, path) == made
    assert len(made) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert redaction_key("from the environment", path) == b"from the environment"
    path.chmod(0o644)
    with pytest.raises(UsageError, match="others may read"):
        redaction_key(None, path)


def test_a_short_key_or_none_is_refused() -> None:
    with pytest.raises(UsageError, match="fewer than 16"):
        Redactor(pseudonyms="keyed", key=b"short")
    with pytest.raises(UsageError, match="need a key"):
        Redactor(pseudonyms="keyed")


def test_exceptions_and_log_records_are_written_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter(Redactor()))
    logger = logging.getLogger("goldrun.tests.redact")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        try:
            raise ValueError(f"refused {KEY}")
        except ValueError as error:
            text = Redactor().error_text(error)
            logger.exception("call with %s failed", KEY, extra={"api_key": "p"}, stack_info=True)
        logger.warning("broken %d", KEY)
    finally:
        logger.removeHandler(handler)

    assert "ValueError: refused <secret#1>" in text
    assert "call with <secret#1> failed" in stream.getvalue()
    assert "ValueError: refused <secret#1>" in stream.getvalue()
    assert KEY not in stream.getvalue()


def test_the_tripwire_refuses_what_still_looks_secret_and_names_the_rule_alone() -> None:
    header = Header(request_id="q", run_id="r", tenant="t", environment="e", agent="a", input=())
    data = json.dumps({"a": KEY}).encode()

    with pytest.raises(CassetteError, match="anthropic_key") as caught:
        refuse_secrets(data, header, where="x.seg")

    assert KEY not in str(caught.value)
    refuse_secrets(whole(data.decode()).encode(), header, where="x.seg")
    refuse_secrets(data, msgspec.structs.replace(header, redaction="none"), where="x.seg")


def test_the_tripwire_knows_the_values_of_a_redactor() -> None:
    header = Header(request_id="q", run_id="r", tenant="t", environment="e", agent="a", input=())

    with pytest.raises(CassetteError, match="known_value"):
        refuse_secrets(b"a plain words b", header, where="x", redactor=Redactor(known=["plain words"]))


@pytest.mark.parametrize("secret", [KEY, "ghp_" + "a1B2" * 9])
def test_base64_and_hex_of_a_key_are_replaced(secret: str) -> None:
    for run in (base64.b64encode(secret.encode()).decode(), secret.encode().hex()):
        assert whole(f"see {run}, please") == "see <secret#1>, please"
        assert looks_secret(run.encode()) == "encoded"
