"""Rules of a policy that cannot be meant: what would refuse nothing, or would never hold."""

from __future__ import annotations

from runtime.control.patterns import pattern_problem
from runtime.core.policy import ArgumentRule, Policy
from runtime.errors import UsageError


def rule_problem(rule: ArgumentRule) -> str | None:
    """Return why a rule for an argument cannot be meant; `None` if it can."""
    stated = (rule.one_of, rule.pattern, rule.at_least, rule.at_most, rule.max_chars)
    if not rule.required and all(value is None for value in stated):
        return "the rule states no condition, so it refuses nothing"
    if rule.at_least is not None and rule.at_most is not None and rule.at_least > rule.at_most:
        return f"at_least {rule.at_least:g} is above at_most {rule.at_most:g}, so no number passes"
    return None


def check_policy(policy: Policy) -> None:
    """Refuse a policy whose rules for arguments cannot be meant.

    Raises:
        UsageError: Names each such rule.
    """
    found = [
        f"policy.arguments[{tool!r}], path {rule.path!r}: {problem}"
        for tool, rules in policy.arguments.items()
        for rule in rules
        if (
            problem := rule_problem(rule) or (None if rule.pattern is None else pattern_problem(rule.pattern))
        )
    ]
    if found:
        raise UsageError("; ".join(found), next_step="correct the rules, or remove them")
