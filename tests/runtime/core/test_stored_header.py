"""What a stored header means does not change with the defaults of the classes that runs are made with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtime.core import rules_v1
from runtime.core.messages import ToolSchema
from runtime.core.policy import ArgumentRule, Budget, LoopLimits, Policy, RetryPolicy
from runtime.core.rules_v1 import policy_hash
from runtime.core.run import Header, ToolDecl, with_hashes
from runtime.core.stored_header import header_from, read_header, stated_policy_hash

NAMES: dict[str, Any] = {
    "request_id": "req_1",
    "run_id": "run_1",
    "tenant": "acme",
    "environment": "test",
    "agent": "support",
}
FULL = Header(
    **NAMES,
    tools=(ToolDecl(schema=ToolSchema(name="a", description="", parameters={})),),
    policy=Policy(
        allow=("a",), arguments={"a": (ArgumentRule(path="x", at_most=5),)}, loop=LoopLimits(no_progress=10)
    ),
    budget=Budget(max_steps=None, max_usd="0.05", max_parallel=8),
    model_retry=RetryPolicy(attempts=5),
)


def stored(header: Header) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(header))
    return plain


def test_a_header_is_written_with_every_rule_in_full() -> None:
    plain = stored(Header(**NAMES))

    assert plain["version"] == 2
    assert plain["budget"] == {
        "max_steps": 25, "max_seconds": None, "max_usd": None, "max_tokens": None, "max_tool_calls": None,
        "max_parallel": None,
    }  # fmt: skip
    assert plain["policy"].keys() == set(Policy.__struct_fields__)
    assert plain["policy"]["loop"] == {"same_call": 3, "cycle": 4, "same_error": 5, "no_progress": None}
    assert plain["model_retry"].keys() == plain["tool_retry"].keys() == set(RetryPolicy.__struct_fields__)


def test_a_header_is_read_as_it_was_written() -> None:
    data = msgspec.json.encode(FULL)

    assert read_header(data) == FULL
    assert stored(FULL)["budget"]["max_usd"] == "0.05"
    assert stored(FULL)["tools"][0]["timeout_s"] == 30.0


@pytest.mark.parametrize(
    ("part", "name"),
    [("policy", "on_denied"), ("policy", "loop"), ("budget", "max_parallel"), ("model_retry", "total")],
)
def test_a_header_of_version_2_that_lacks_a_rule_is_refused(part: str, name: str) -> None:
    plain = stored(FULL)
    del plain[part][name]

    with pytest.raises(msgspec.ValidationError, match=f"{part} lacks {name}"):
        header_from(plain)


@pytest.mark.parametrize(
    "change",
    [{"version": 3}, {"version": "2"}, {"budget": None}, {"budget": {"max_steps": -1}, "version": 1}],
)
def test_a_header_that_cannot_be_read_is_a_decoding_error(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        header_from({**stored(FULL), **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_children": 3, "quota": 1}, "the header has max_children, quota, unknown in version 2"),
        ({"tools": [{"schema": {"name": "look"}, "danger": 9}]}, "a tool of the header has danger, unknown"),
    ],
)
def test_a_field_of_version_2_that_is_not_known_is_refused_by_name(
    change: dict[str, Any], words: str
) -> None:
    plain = {**stored(FULL), **change}

    with pytest.raises(msgspec.ValidationError, match=words):
        header_from(plain)


def test_a_field_that_version_1_never_had_does_not_keep_an_old_file_from_being_read() -> None:
    assert header_from({**NAMES, "version": 1, "note": "by hand"}).request_id == NAMES["request_id"]


def test_a_header_of_version_1_has_the_defaults_of_version_1() -> None:
    header = header_from({**NAMES, "tools": [{"schema": {"name": "a", "description": "", "parameters": {}}}]})

    assert header.policy == Policy(
        allow=None, approve=(), arguments={}, scopes=None, on_denied="tell", on_unknown="tell", on_invalid="tell",
        on_failure="stop", max_refusals=5, approval_timeout_s=300.0,
        loop=LoopLimits(same_call=3, cycle=4, same_error=5, no_progress=None),
    )  # fmt: skip
    assert header.budget == Budget(max_steps=25, max_parallel=None)
    assert header.model_retry == RetryPolicy(
        attempts=3, first_s=0.5, ceiling_s=20.0, total=20, longest_wait_s=3600.0
    )
    assert header.tools[0].timeout_s == 30.0  # type: ignore[union-attr]  # they are not opaque


V1: list[dict[str, Any]] = [
    {},
    {"policy": {"approve": ["a"], "loop": None}, "budget": {"max_steps": None, "max_usd_nanos": 50_000_000}},
    {"policy": {"loop": {"cycle": 2}, "arguments": {"a": [{"path": "x", "required": True}]}}},
    {"model_retry": {"attempts": 1, "total": 0}, "tool_retry": {}, "budget": {"max_seconds": 60.0}},
]


@pytest.mark.parametrize("rules", V1)
def test_new_defaults_change_no_header_of_version_1(
    rules: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = header_from({**NAMES, **rules})
    own: dict[str, Any] = dict(Budget.__init__.__kwdefaults__ or {})
    changed: dict[str, Any] = {
        "Policy": {"approve": ("z",), "on_denied": "stop", "max_refusals": 1, "loop": None, "scopes": ()},
        "LoopLimits": {"same_call": 99, "no_progress": 10},
        "ArgumentRule": {"required": True, "max_chars": 1},
        "RetryPolicy": {"attempts": 9, "total": 1, "longest_wait_s": 1.0},
    }
    for name, defaults in changed.items():
        monkeypatch.setattr(rules_v1, name, _with_defaults(getattr(rules_v1, name), defaults))
    monkeypatch.setattr(Budget.__init__, "__kwdefaults__", {**own, "max_steps": 1, "max_parallel": 8})
    assert (Budget().max_steps, Budget().max_parallel) == (1, 8)

    after = header_from({**NAMES, **rules})

    assert after == before


def _with_defaults(kind: Any, defaults: dict[str, Any]) -> Any:
    """Return what makes objects of a class as if its defaults were others."""
    return lambda **fields: kind(**{**defaults, **fields})


@pytest.mark.parametrize("rules", V1)
def test_the_policy_hash_of_a_version_is_that_of_the_next(rules: dict[str, Any]) -> None:
    plain = {**NAMES, **rules}
    header = header_from(plain)

    assert stated_policy_hash(plain) == policy_hash(header.policy, header.budget)
    assert with_hashes(header).policy_hash == stated_policy_hash(stored(header))


def test_the_policy_hash_of_the_first_version_stands_for_ever() -> None:
    plain = {**NAMES, **V1[1]}

    assert stated_policy_hash(plain) == "636462d5afc666f55a4417e91b36a00e"
    assert policy_hash(Policy(), Budget()) == "d827049039f82a8b65a9b0f52e637cf3"


def test_a_rule_that_version_1_cannot_name_changes_the_policy_hash() -> None:
    assert policy_hash(Policy(), Budget(max_parallel=8)) != policy_hash(Policy(), Budget())


def test_a_rule_that_the_header_cannot_mean_is_refused_and_not_passed_over() -> None:
    rule = ArgumentRule(path="n", at_most=3)
    policy = Policy(arguments={"t": (rule,)})
    whole = stored(Header(agent="a", request_id="r", run_id="r", tenant="t", environment="e", policy=policy))
    bare = {n: v for n, v in whole["policy"]["arguments"]["t"][0].items() if n != "at_most"}

    with pytest.raises(msgspec.ValidationError, match="policy has max_cost, unknown"):
        header_from({**whole, "policy": {**whole["policy"], "max_cost": 1}})
    with pytest.raises(msgspec.ValidationError, match="budget has max_usd_nanos, unknown"):
        header_from({**whole, "budget": {**whole["budget"], "max_usd_nanos": 1}})
    with pytest.raises(msgspec.ValidationError, match="argument rule lacks at_most"):
        header_from({**whole, "policy": {**whole["policy"], "arguments": {"t": [bare]}}})
    with pytest.raises(msgspec.ValidationError, match="a budget of version 2"):
        header_from({name: value for name, value in whole.items() if name != "version"})
