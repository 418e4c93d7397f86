"""Permission verdicts: exact tool names and argument rules against the policy."""

from __future__ import annotations

import re
from typing import Any

from runtime.core.policy import ArgumentRule, Policy

_ABSENT = object()


def is_allowed(policy: Policy, tool: str) -> bool:
    """Return whether the policy lets a tool be called at all."""
    return policy.allow is None or tool in policy.allow


def missing_scopes(policy: Policy, needed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes a tool needs that whoever asks does not hold."""
    if policy.scopes is None:
        return ()
    return tuple(sorted(set(needed) - set(policy.scopes)))


def needs_approval(policy: Policy, tool: str) -> bool:
    """Return whether each call of a tool waits for an approval."""
    return tool in policy.approve


def broken_rule(policy: Policy, tool: str, arguments: Any) -> str | None:
    """Return which argument rule a call breaks, in words for the model; `None` if it keeps all."""
    for rule in policy.arguments.get(tool, ()):
        value = _at(arguments, rule.path)
        if value is _ABSENT:
            if rule.required:
                return f"{rule.path} must be given"
            continue
        problem = _problem(rule, value)
        if problem is not None:
            return f"{rule.path} {problem}"
    return None


def _at(arguments: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(arguments, dict) or part not in arguments:
            return _ABSENT
        arguments = arguments[part]
    return arguments


def _problem(rule: ArgumentRule, value: Any) -> str | None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if rule.one_of is not None and not any(value == v and type(value) is type(v) for v in rule.one_of):
        return f"must be one of {', '.join(map(repr, rule.one_of))}"
    if rule.pattern is not None and (not isinstance(value, str) or re.fullmatch(rule.pattern, value) is None):
        return f"must match {rule.pattern!r}"
    if rule.at_least is not None and (number is None or number < rule.at_least):
        return f"must be at least {rule.at_least:g}"
    if rule.at_most is not None and (number is None or number > rule.at_most):
        return f"must be at most {rule.at_most:g}"
    if rule.max_chars is not None and (not isinstance(value, str) or len(value) > rule.max_chars):
        return f"must be text of at most {rule.max_chars} characters"
    return None
