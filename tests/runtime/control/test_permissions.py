"""Permissions: exact names, no prefixes or globs."""

from __future__ import annotations

import pytest

from runtime.control.permissions import is_allowed, needs_approval
from runtime.core.policy import Policy


@pytest.mark.parametrize(
    ("allow", "tool", "verdict"),
    [
        (None, "a", True),
        ((), "a", False),
        (("a",), "a", True),
        (("a",), "ab", False),
        (("a*",), "ab", False),
        (("A",), "a", False),
    ],
)
def test_only_exact_names_are_allowed(allow: tuple[str, ...] | None, tool: str, verdict: bool) -> None:
    assert is_allowed(Policy(allow=allow), tool) is verdict


def test_approval_is_asked_for_exact_names_alone() -> None:
    policy = Policy(approve=("pay",))

    assert needs_approval(policy, "pay")
    assert not needs_approval(policy, "pay.all")
