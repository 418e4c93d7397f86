"""A child run can only narrow what its parent may do."""

from __future__ import annotations

import pytest

from runtime.control.permissions import is_allowed
from runtime.core.policy import AnyTool, Policy
from runtime.entry.agent import Agent
from runtime.entry.children import narrowed_policy
from runtime.tools.tool import tool


@tool
async def look() -> str:
    return "seen"


@tool(write=True)
async def pay() -> str:
    return "paid"


def child(policy: Policy) -> Agent:
    return Agent(name="child", model="m", tools=(look, pay), policy=policy)


ALLOWED: list[tuple[tuple[str, ...] | AnyTool, tuple[str, ...]]] = [
    ("any", ()), ("reads", ()), ("reads", ("pay",)), ((), ()), (("look",), ()), (("pay",), ("pay",)),
    (("look",), ("pay",)),
]  # fmt: skip


@pytest.mark.parametrize("own", ALLOWED)
@pytest.mark.parametrize("parent", ALLOWED)
def test_a_child_may_call_what_both_policies_allow_and_asks_where_either_asks(
    own: tuple[tuple[str, ...] | AnyTool, tuple[str, ...]],
    parent: tuple[tuple[str, ...] | AnyTool, tuple[str, ...]],
) -> None:
    policies = [Policy(allow=allow, approve=approve) for allow, approve in (own, parent)]

    narrowed = narrowed_policy(child(policies[0]), policies[1])

    for each in (look, pay):
        both = all(is_allowed(p, each.name, write=each.decl.write) for p in policies)
        assert is_allowed(narrowed, each.name, write=each.decl.write) is both
        assert (each.name in narrowed.approve) is (both and any(each.name in p.approve for p in policies))


def test_a_child_waits_no_longer_and_stops_where_its_parent_does() -> None:
    parent = Policy(approval_timeout_s=1.0, on_denied="stop", on_failure="stop")

    narrowed = narrowed_policy(child(Policy(on_failure="tell")), parent)

    assert (narrowed.approval_timeout_s, narrowed.on_denied, narrowed.on_failure) == (1.0, "stop", "stop")


def test_the_child_of_a_child_keeps_its_reads() -> None:
    first = narrowed_policy(Agent(name="middle", model="m"), Policy())

    assert narrowed_policy(child(Policy()), first).allow == "reads"
