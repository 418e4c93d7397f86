"""Requests are copied whole: a field that is added later is copied too."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from harness.sessions.replay import agent_setup
from runtime.core.policy import Budget, Policy
from runtime.core.run import Header
from runtime.entry.agent import Agent
from runtime.entry.assemble import child_request
from runtime.entry.children import ChildRequest
from runtime.entry.prepare import prepare
from runtime.entry.request import Request
from tests.support.agents import Prices

AGENT = Agent(name="clerk", model="m1")
FULL: dict[str, Any] = {
    "prompt": "hello",
    "tenant": "acme",
    "environment": "prod",
    "request_id": "req_1",
    "deploy": "2026-11-22",
    "source": "golden",
    "suite": "refunds",
    "task": "late_parcel",
    "repeat": 3,
    "parent": "req_0",
    "root": "req_0",
    "seed": 7,
    "policy": Policy(allow="any", max_refusals=4),
    "budget": Budget(max_steps=4),
    "labels": {"team": "north"},
}


def header_of(request: Request) -> Header:
    return prepare(AGENT, request, prices=Prices()).header


def test_this_file_gives_each_field_of_a_request_a_value_of_its_own() -> None:
    request = Request(**FULL)

    same = [f.name for f in fields(Request) if f.name != "prompt" and getattr(request, f.name) == f.default]

    assert set(FULL) == {f.name for f in fields(Request)}
    assert same == []


def test_a_header_gives_back_the_request_that_it_was_made_of() -> None:
    request = Request(**FULL)

    again = Request.of(header_of(request))

    assert replace(again, prompt="hello") == request


def test_a_child_keeps_all_of_its_parents_request_that_is_not_its_own() -> None:
    parent = header_of(Request(**FULL))
    asked = ChildRequest(
        prompt="look",
        request_id="req_1/0.tool0/1",
        parent="req_1",
        policy=Policy(allow="any", approve=("pay",)),
        budget=Budget(),
    )

    child = child_request(asked, parent)

    changed = {f.name for f in fields(Request) if getattr(child, f.name) != FULL[f.name]}
    assert changed == {"prompt", "request_id", "parent", "policy", "budget", "seed"}
    assert (child.parent, child.root, child.seed) == ("req_1", "req_0", None)


@pytest.mark.parametrize(
    "name", [f.name for f in fields(Request) if f.name not in {"prompt", "request_id", "seed"}]
)
def test_a_replay_by_agent_code_keeps_each_field_of_the_request(name: str) -> None:
    request = Request(**FULL)
    recorded = header_of(Request(prompt="hello", request_id="req_9", seed=9))

    header = agent_setup(AGENT, request, recorded).header

    assert getattr(header, name) == getattr(request, name)
    assert (header.request_id, header.seed) == ("req_9", 9)
