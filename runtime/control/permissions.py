"""Permission verdicts: exact tool names and argument rules against the policy."""

from __future__ import annotations

from typing import Any

from runtime.control.patterns import full_match
from runtime.core.policy import ArgumentRule, Policy

_ABSENT = object()


def is_allowed(policy: Policy, tool: str, *, write: bool) -> bool:
    """Return whether the policy lets a tool be called at all; what needs an approval may be called with one."""
    allow = policy.allow
    if allow == "any" or (allow == "reads" and not write):
        return True
    return tool in policy.approve or (not isinstance(allow, str) and tool in allow)


def missing_scopes(policy: Policy, needed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes that a tool needs and the caller does not hold."""
    if policy.scopes is None:
        return ()
    return tuple(sorted(set(needed) - set(policy.scopes)))


def needs_approval(policy: Policy, tool: str) -> bool:
    """Return whether each call of a tool waits for an approval."""
    return tool in policy.approve


def broken_rule(policy: Policy, tool: str, arguments: Any, filled: Any = None) -> str | None:
    """Return which argument rule a call breaks, in words for the model; `None` if it keeps all.

    A rule holds for each element of a list on its path, and for each element of a list at its end. A null that the
    model did not give stands for an argument that is absent.

    Args:
        policy: The rules.
        tool: Exact name.
        arguments: As the model gave them; what a rule requires must be among these.
        filled: As they are carried out, with the tool's defaults, where they differ; conditions hold for these.
    """
    for rule in policy.arguments.get(tool, ()):
        parts = rule.path.split(".")
        given = _values(arguments, parts)
        if rule.required and any(v is _ABSENT for v in given):
            return f"{rule.path} must be given"
        left_out = _ABSENT if any(v is None for v in given) else None
        for value in given if filled is None else _values(filled, parts):
            problem = None if value is _ABSENT or value is left_out else _problem(rule, value)
            if problem is not None:
                return f"{rule.path} {problem}"
    return None


def _values(value: Any, parts: list[str]) -> list[Any]:
    """Return all values at a path, through lists, and `_ABSENT` where there is none."""
    if isinstance(value, list):
        return [found for element in value for found in _values(element, parts)]
    if not parts:
        return [value]
    if isinstance(value, dict) and parts[0] in value:
        return _values(value[parts[0]], parts[1:])
    return [_ABSENT]


def _problem(rule: ArgumentRule, value: Any) -> str | None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if rule.one_of is not None and not any(value == v and type(value) is type(v) for v in rule.one_of):
        return f"must be one of {', '.join(map(repr, rule.one_of))}"
    if rule.pattern is not None and (not isinstance(value, str) or not full_match(rule.pattern, value)):
        return f"must match {rule.pattern!r}"
    if rule.at_least is not None and (number is None or not number >= rule.at_least):
        return f"must be at least {rule.at_least:g}"
    if rule.at_most is not None and (number is None or not number <= rule.at_most):
        return f"must be at most {rule.at_most:g}"
    if rule.max_chars is not None and (not isinstance(value, str) or len(value) > rule.max_chars):
        return f"must be text of at most {rule.max_chars} characters"
    return None
