"""An agent or request with a value of the wrong kind is refused where it is made, all mistakes at once."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import Agent, Budget, Policy, Request, tool
from runtime.errors import UsageError


@tool(name="look")
def look() -> str:
    """Look."""
    return "seen"


def plain(q: str) -> str:
    """Search."""
    return q


def test_a_plain_function_as_tool_is_told_what_to_write() -> None:
    tools: Any = [plain, look, "search"]

    with pytest.raises(UsageError) as caught:
        Agent(name="a", model="m", tools=tools)

    assert "the plain function 'plain': decorate it with @tool" in caught.value.what
    assert "'search', which is no tool" in caught.value.what
    assert caught.value.where == "Agent 'a'"


def test_a_list_of_tools_is_kept_as_a_tuple() -> None:
    tools: Any = [look]

    agent = Agent(name="a", model="m", tools=tools)
    tools.clear()

    assert agent.tools == (look,)


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (
            Agent,
            {"name": "a", "model": "m"},
            {
                "model": None, "tools": look, "policy": {"allow": []}, "budget": 5, "max_output_tokens": "9",
                "model_timeout_s": 0, "fallbacks": "m2", "parameters": [1], "model_retry": 3, "max_result_bytes": "x",
            },
        ),
        (
            Request,
            {"prompt": "hi"},
            {
                "prompt": 3, "deploy": 7, "source": "web", "repeat": True, "seed": "1", "policy": Budget(),
                "budget": Policy(), "labels": [1],
            },
        ),
    ],
)  # fmt: skip
def test_all_values_of_the_wrong_kind_are_told_at_once(
    kind: Any, right: dict[str, Any], wrong: dict[str, Any]
) -> None:
    with pytest.raises(UsageError) as caught:
        kind(**{**right, **wrong})

    assert [name for name in wrong if f"{name} is " not in caught.value.what] == []
    assert caught.value.next_step
