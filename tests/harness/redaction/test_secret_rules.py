"""The rules as data: each finds its generated sample, leaves the near miss, and stays linear on hostile text."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.redaction.engine import PythonKeywords, compile_finder, compile_keywords, re2_binding
from harness.redaction.redactor import Redactor
from harness.redaction.rules import Rule, is_suspect, load_rules, ruleset
from harness.redaction.samples import sample
from harness.redaction.secret_fields import is_secret_field, is_secret_header
from harness.redaction.tripwire import looks_secret
from runtime.errors import UsageError

RULES = {rule.id: rule for rule in load_rules()}
ENGINES = ["python", "re2"] if re2_binding() is not None else ["python"]
NEAR_QUADRATIC_S = 10.0
"""Quadratic time on 100 kB is minutes; the slowest rule takes about half a second in re2, three in Python."""


def test_there_are_at_least_eighty_kinds_of_key_each_described_once() -> None:
    kinds = [rule for rule in RULES.values() if rule.tripwire and not rule.personal]

    assert len(kinds) >= 80
    assert len(RULES) == len(load_rules())
    assert len({rule.description for rule in RULES.values()}) == len(RULES)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", RULES)
def test_a_rule_finds_its_sample_wherever_it_stands_and_leaves_the_near_miss(name: str, engine: str) -> None:
    rule = RULES[name]
    found = ruleset(personal=rule.personal, engine=engine)
    for seed in range(3):
        secret, near = sample(rule.positive, seed), f"use {sample(rule.negative, seed)} now"
        for text in (secret, f"use {secret} now", json.dumps({"a": f"line\n{secret}"})):
            redactor = Redactor(rules=found)
            clean = redactor.text(text)

            assert name in redactor.counts, text
            assert Redactor(rules=found).text(clean) == clean
        assert Redactor(rules=found).text(near) == near


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.tripwire])
def test_the_tripwire_sees_the_sample_in_encoded_text(name: str) -> None:
    encoded = json.dumps({"a": f"line\n{sample(RULES[name].positive)}\n"}).encode()

    assert looks_secret(encoded) is not None
    assert is_suspect(encoded.decode().lower())


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if not rule.personal])
def test_a_sample_vanishes_from_headers_chunks_arguments_and_errors(name: str) -> None:
    text = sample(RULES[name].positive, 7)
    clean = Redactor().text(text)
    head, tail = clean.partition("<secret#1>")[0], clean.rpartition("<secret#1>")[2]
    secret = text[len(head) : len(text) - len(tail)]
    arguments = json.dumps({"note": f"use {text}", "deep": json.dumps({"a": [text]})})
    told = [
        str(Redactor().headers({"X-Note": text, "X-Api-Key": [text]})),
        str(Redactor().value({"body": {"list": [text, {"password": text}]}})),
        Redactor().error_text(ValueError(f"refused: {text}")),
    ]
    for parts in range(2, 7):
        for whole in (f"I use {text} now", arguments):
            chunks = [whole[len(whole) * i // parts : len(whole) * (i + 1) // parts] for i in range(parts)]
            cleaned = Redactor().redact_chunks(chunks)
            assert len(cleaned) == parts
            told.append("".join(cleaned))
    assert json.loads(told[-1])["note"].startswith("use ")

    assert secret
    escaped = json.dumps(secret)[1:-1]
    assert [one for one in told if secret in one or escaped in one or repr(secret)[1:-1] in one] == []


@pytest.mark.parametrize("name", RULES)
def test_each_match_holds_a_keyword_of_its_rule(name: str) -> None:
    rule = RULES[name]

    assert all(any(k in sample(rule.positive, seed) for k in rule.keywords) for seed in range(5))


@pytest.mark.parametrize("name", RULES)
def test_no_pattern_nests_repetitions(name: str) -> None:
    parsed = re._parser.parse(RULES[name].expression)  # type: ignore[attr-defined]  # no types for it

    assert list(nested_repetitions(parsed)) == []


def nested_repetitions(parsed: Any, inside: bool = False) -> Iterator[str]:
    """Yield repetitions without limit inside of others without limit, the source of exponential time."""
    if isinstance(parsed, list | tuple) or hasattr(parsed, "data"):
        items = list(getattr(parsed, "data", parsed))
        if len(items) == 3 and isinstance(items[1], int) and hasattr(items[2], "data"):
            low, high, inner = items
            many = high - low > 1000
            if inside and many:
                yield str(inner)
            yield from nested_repetitions(inner, inside or many)
            return
        for item in items:
            yield from nested_repetitions(item, inside)


def test_nested_repetitions_would_be_seen() -> None:
    parsed = re._parser.parse("x(?:a+b*)*")  # type: ignore[attr-defined]  # no types for it

    assert len(list(nested_repetitions(parsed))) == 2


def hostile(rule: Rule) -> Iterator[str]:
    size = 100_000
    whole = sample(rule.positive)
    keyword = rule.keywords[0] or " "
    yield (keyword + "a1") * (size // (len(keyword) + 2))
    yield (" " + keyword + "-") * (size // (len(keyword) + 2))
    yield whole[: len(whole) // 2] + "a1" * (size // 2)


@pytest.mark.parametrize("name", RULES)
def test_hostile_text_of_100_kb_takes_bounded_time(name: str) -> None:
    rule = RULES[name]
    found = ruleset(personal=rule.personal)

    for text in hostile(rule):
        began = time.perf_counter()
        Redactor(rules=found).text(text)
        assert time.perf_counter() - began < NEAR_QUADRATIC_S


PIECES = st.one_of(
    st.sampled_from([sample(rule.positive) for rule in RULES.values()]),
    st.sampled_from(["password=", '"', "\\", "\n", "\\n", "{", "Bearer ", "://", " ", "é", "ſ", "\u212a"]),
    st.text(max_size=6),
)


@pytest.mark.skipif(len(ENGINES) < 2, reason="google-re2 is not installed")
@given(pieces=st.lists(PIECES, max_size=6))
def test_both_engines_replace_the_same(pieces: list[str]) -> None:
    text = "".join(pieces)

    told = [Redactor(rules=ruleset(engine=engine)).text(text) for engine in ENGINES]

    assert told[0] == told[1]


@given(pieces=st.lists(PIECES, max_size=6))
@example(pieces=["\x1f", sample("fw_{a:24}")])
@example(pieces=["a\x08", sample("sk-proj-{w:74}")])
def test_what_the_gate_lets_pass_would_not_be_changed(pieces: list[str]) -> None:
    text = "".join(pieces)
    encoded = json.dumps({"a": text, "b": [{"password": text}]}, ensure_ascii=False)

    redactor = Redactor()

    if not redactor.suspects(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")):
        assert redactor.text(text) is text
    assert redactor.suspects(encoded.encode("utf-8", "surrogatepass"))


def words(text: str) -> list[str]:
    return text.split()


def rules_file(path: Path, **fields: object) -> Path:
    rule = {
        "id": "acme_key",
        "description": "Acme key",
        "keywords": ["acme-"],
        "pattern": "acme-[0-9a-f]{16}",
        "positive": "acme-{h:16}",
        "negative": "acme-{h:8}",
        **fields,
    }
    path.write_text(json.dumps({"schema": "goldrun.secret_rules/1", "rules": [rule]}))
    return path


def test_rules_of_users_are_added_to_ours(tmp_path: Path) -> None:
    redactor = Redactor(rules=rules_file(tmp_path / "rules.json"))
    mine, ours = sample("acme-{h:16}"), sample(RULES["github_token"].positive)

    assert redactor.text(f"{mine} {ours} acme-1234") == "<secret#1> <secret#2> acme-1234"
    assert redactor.counts == {"acme_key": 1, "github_token": 1}
    assert redactor.looks_secret(mine.encode()) == "acme_key"
    assert Redactor().text(mine) == mine


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"pattern": "acme-(?=x)"}, "cannot be compiled"),
        ({"pattern": "acme-("}, "cannot be compiled"),
        ({"keywords": []}, "needs a keyword"),
        ({"keywords": ["é"]}, "must be ASCII"),
        ({"pattern": "(?P<secret>x*)", "edge": False}, "matches empty text"),
        ({"id": "github_token"}, "the id is one of ours"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(tmp_path: Path, fields: dict[str, object], told: str) -> None:
    path = rules_file(tmp_path / "rules.json", **fields)

    with pytest.raises(UsageError, match=told):
        Redactor(rules=path)


def test_a_file_that_is_no_file_of_rules_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text('{"schema": "other/1", "rules": []}')

    with pytest.raises(UsageError, match="schema"):
        Redactor(rules=tmp_path / "rules.json")
    with pytest.raises(UsageError, match="cannot be read"):
        Redactor(rules=tmp_path / "missing.json")


def test_a_pattern_error_names_the_rule() -> None:
    with pytest.raises(UsageError, match="redaction rule 'x'"):
        compile_finder("(", where="redaction rule 'x'")


@pytest.mark.parametrize(
    "name",
    words(
        "password db_password DB-PASSWORD userPassword passwd pwd secret client_secret clientSecret api_key apiKey"
        " x-api-key access_token refreshToken authorization private_key aws_secret_access_key password2"
        " newPasswordConfirm"
    ),
)
def test_names_that_say_secret(name: str) -> None:
    assert is_secret_field(name)


@pytest.mark.parametrize(
    "name",
    words(
        "max_tokens token_count tokens secretary passwords page_token nextPageToken pad_token key primary_key"
        " public_key cache_key author passenger keyboard bypass compass secretariat tokenizer prompt_tokens"
        " password_policy"
    ),
)
def test_names_that_only_look_like_it(name: str) -> None:
    value = {name: "abcdefgh12345678ijklmnop"}

    assert not is_secret_field(name)
    assert Redactor().value(value) is value


def test_headers_that_say_how_many_tokens_are_left_stay() -> None:
    assert is_secret_header("X-Custom-Auth-Token")
    assert is_secret_header("Cookie")
    assert not is_secret_header("x-ratelimit-remaining-tokens")
    assert not is_secret_header("content-type")


_KEYWORDS = sorted({keyword.encode() for rule in RULES.values() for keyword in rule.keywords})


@given(
    st.lists(st.one_of(st.sampled_from(_KEYWORDS), st.binary(max_size=12)), max_size=20),
    st.sampled_from([b"", b" ", b"_", b"\x00", b"\xff"]),
)
def test_the_set_of_keywords_finds_what_one_scan_for_each_finds(parts: list[bytes], between: bytes) -> None:
    data = between.join(parts)

    assert sorted(compile_keywords(_KEYWORDS).found(data)) == sorted(PythonKeywords(_KEYWORDS).found(data))


def test_a_set_without_keywords_finds_none() -> None:
    assert list(compile_keywords([]).found(b"token")) == []
