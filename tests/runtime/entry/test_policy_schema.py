"""The JSON Schema of policy files agrees with their reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from runtime import UsageError, policy_json_schema, read_policy

DOCUMENTS: list[dict[str, Any]] = [
    {},
    {"allow": None},
    {"allow": []},
    {"allow": "any"},
    {"allow": "reads"},
    {"allow": "all"},
    {"allow": ["a", ""]},
    {"allow": ["a", 3]},
    {"scopes": "any"},
    {"scopes": None},
    {"scopes": []},
    {"approve": None},
    {"approve": ["a"]},
    {"budget": None},
    {"budget": {}},
    {"budget": {"max_steps": None}},
    {"budget": {"max_steps": 0}},
    {"budget": {"max_steps": "5"}},
    {"budget": {"max_steps": True}},
    {"budget": {"max_steps": 5.5}},
    {"budget": {"max_usd": "5"}},
    {"budget": {"max_usd": "5e2"}},
    {"budget": {"max_usd": -1}},
    {"budget": {"max_usd": 1e-12}},
    {"budget": {"max_usd": 2e9}},
    {"budget": {"max_usd": "1000000000"}},
    {"budget": {"max_usd": "0.0000000001"}},
    {"budget": {"max_usd": True}},
    {"budget": {"max_usd": 0}},
    {"budget": {"max_usd": "unlimited"}},
    {"budget": {"max_seconds": 0}},
    {"budget": {"max_seconds": "60"}},
    {"budget": {"max_seconds": True}},
    {"budget": {"max_seconds": 1}},
    {"arguments": {"a": []}},
    {"arguments": {"a": [{"path": "x"}]}},
    {"arguments": {"a": [{"path": "x", "required": True}]}},
    {"arguments": {"a": [{"path": "x", "required": "yes"}]}},
    {"arguments": {"a": [{"path": "x", "at_least": "5"}]}},
    {"arguments": {"a": [{"path": "x", "at_least": True}]}},
    {"arguments": {"a": [{"path": "x", "at_least": -5}]}},
    {"arguments": {"a": [{"path": "x", "one_of": [1, "a", True, 2.5]}]}},
    {"arguments": {"a": [{"path": "x", "one_of": [None]}]}},
    {"arguments": {"a": [{"path": "x", "pattern": None}]}},
    {"arguments": {"": [{"path": "x", "max_chars": 3}]}},
    {"arguments": {"a": [{"path": "x", "required": False}]}},
    {"loop": None},
    {"loop": "unlimited"},
    {"loop": {"no_progress": None}},
    {"loop": {"no_progress": "unlimited"}},
    {"loop": {"same_call": 0}},
    {"loop": {"levelled": "yes"}},
    {"loop": {"same_call": True}},
    {"on_denied": "halt"},
    {"on_denied": None},
    {"max_refusals": -1},
    {"max_refusals": True},
    {"approval_timeout_s": 0},
    {"approval_timeout_s": "5"},
    {"approval_timeout_s": 5},
    {"nope": 1},
]


def reads(path: Path, document: dict[str, Any]) -> bool:
    path.write_text(json.dumps(document), encoding="utf-8")
    try:
        read_policy(path)
    except UsageError:
        return False
    return True


def test_the_schema_takes_what_the_reader_takes_and_nothing_else(tmp_path: Path) -> None:
    schema = jsonschema_rs.validator_for(policy_json_schema())
    whole = [{"schema": "policy/1", **document} for document in DOCUMENTS]

    verdicts = [(d, reads(tmp_path / "policy.json", d), schema.is_valid(d)) for d in whole]

    assert [v for v in verdicts if v[1] is not v[2]] == []
    assert sum(v[1] for v in verdicts) == 19


@pytest.mark.parametrize(
    "blank",
    [
        "allow:",
        "scopes:",
        "approve:",
        "budget: {max_usd: }",
        "budget: {max_steps: null}",
        "loop:",
        "loop: {no_progress: }",
    ],
)
def test_a_field_with_nothing_in_it_is_refused_with_its_line(blank: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"schema: policy/1\n{blank}\n", encoding="utf-8")

    with pytest.raises(UsageError) as caught:
        read_policy(path)

    assert caught.value.where == f"{path}:2"
