"""Permission verdicts: exact tool names against the policy."""

from __future__ import annotations

from runtime.core.policy import Policy


def is_allowed(policy: Policy, tool: str) -> bool:
    """Return whether the policy lets a tool be called at all."""
    return policy.allow is None or tool in policy.allow


def needs_approval(policy: Policy, tool: str) -> bool:
    """Return whether each call of a tool waits for an approval."""
    return tool in policy.approve
