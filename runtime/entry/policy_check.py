"""Values a policy or a budget cannot have: what would be read as something else, or would never hold."""

from __future__ import annotations

import math

import msgspec

from runtime.control.patterns import pattern_problem
from runtime.core.policy import ArgumentRule, Budget, Policy
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
    """Refuse a policy that Python code made with values of the wrong kind, which would count as others.

    Raises:
        UsageError: Names the field.
    """
    _check_kinds("policy", policy, Policy)
    _check_number("policy.approval_timeout_s", policy.approval_timeout_s, above=0.0)
    _check_number("policy.max_refusals", policy.max_refusals, at_least=0)
    if policy.loop is not None:
        for name in ("same_call", "cycle", "same_error"):
            _check_number(f"policy.loop.{name}", getattr(policy.loop, name), at_least=1)
    for tool, rules in policy.arguments.items():
        for rule in rules:
            where = f"policy.arguments[{tool!r}], path {rule.path!r}"
            problem = rule_problem(rule) or (None if rule.pattern is None else pattern_problem(rule.pattern))
            if problem is not None:
                raise UsageError(f"{where}: {problem}", next_step="correct the rule, or remove it")
            for name in ("at_least", "at_most"):
                _check_number(f"{where}: {name}", getattr(rule, name), at_least=-math.inf)


def check_budget(budget: Budget) -> None:
    """Refuse a budget whose limits would never be reached or are none.

    Raises:
        UsageError: Names the limit.
    """
    _check_kinds("budget", budget, Budget)
    for name in ("max_steps", "max_seconds", "max_usd_nanos", "max_tokens", "max_tool_calls"):
        _check_number(f"budget.{name}", getattr(budget, name), at_least=0)


def _check_kinds(what: str, value: Policy | Budget, kind: type[Policy | Budget]) -> None:
    """Read a value as if it came from a file: Python lets a field hold anything."""
    try:
        msgspec.convert(msgspec.to_builtins(value), kind)
    except (TypeError, ValueError, msgspec.ValidationError) as error:
        text = str(error).replace("`$", f"`{what}")
        raise UsageError(f"{what}: {text}", next_step="see the docstring of the field") from error


def _check_number(
    where: str, value: float | None, *, at_least: float | None = None, above: float | None = None
) -> None:
    if value is None:
        return
    if not math.isfinite(value):
        raise UsageError(f"{where} is {value!r}, which is no limit", next_step="use a finite number, or None")
    if (at_least is not None and value < at_least) or (above is not None and value <= above):
        rule = f"at least {at_least}" if above is None else f"above {above}"
        raise UsageError(f"{where} is {value!r}, not {rule}", next_step="correct the value")
