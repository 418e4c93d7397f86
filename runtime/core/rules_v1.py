"""Policy, budget and retry schedule as headers of version 1 hold them; nothing in this file ever changes.

Version 1 leaves out a field that is at its default, so these defaults are part of what stored files say. They are
not those of today's classes, which may change. The fingerprint of policy and budget is made of this form too: it
stays the same over versions and over changes of defaults.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runtime.core.canonical import fingerprint
from runtime.core.money import exact_usd
from runtime.core.policy import ArgumentRule, Budget, LoopLimits, Policy, RetryPolicy

Refusal = Literal["tell", "stop"]


class LoopLimitsV1(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As `LoopLimits` was."""

    same_call: int = 3
    cycle: int = 4
    same_error: int = 5
    no_progress: int | None = None


class ArgumentRuleV1(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As `ArgumentRule` was."""

    path: str
    one_of: tuple[str | int | float | bool, ...] | None = None
    pattern: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    max_chars: int | None = None
    required: bool = False


class PolicyV1(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As `Policy` was."""

    allow: tuple[str, ...] | None = None
    approve: tuple[str, ...] = ()
    arguments: dict[str, tuple[ArgumentRuleV1, ...]] = {}
    scopes: tuple[str, ...] | None = None
    on_denied: Refusal = "tell"
    on_unknown: Refusal = "tell"
    on_invalid: Refusal = "tell"
    on_failure: Refusal = "stop"
    max_refusals: int = 5
    approval_timeout_s: float = 300.0
    loop: LoopLimitsV1 | None = LoopLimitsV1()


class BudgetV1(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As `Budget` was."""

    max_steps: int | None = 25
    max_seconds: float | None = None
    max_usd_nanos: int | None = None
    max_tokens: int | None = None
    max_tool_calls: int | None = None


class RetryPolicyV1(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As `RetryPolicy` was."""

    attempts: int = 3
    first_s: float = 0.5
    ceiling_s: float = 20.0
    total: int = 20
    longest_wait_s: float = 3_600.0


class RulesV1(msgspec.Struct, frozen=True, kw_only=True):
    """All rules of a header of version 1."""

    policy: PolicyV1 = PolicyV1()
    budget: BudgetV1 = BudgetV1()
    model_retry: RetryPolicyV1 = RetryPolicyV1()
    tool_retry: RetryPolicyV1 = RetryPolicyV1()

    @property
    def policy_hash(self) -> str:
        """The fingerprint of policy and budget."""
        return fingerprint([self.policy, self.budget])

    def current(self) -> dict[str, Any]:
        """Return the rules as today's classes, each field stated; a rule that version 1 has no name for is off."""
        return {
            "policy": _policy(self.policy),
            "budget": _budget(self.budget),
            "model_retry": RetryPolicy(**_fields(self.model_retry)),
            "tool_retry": RetryPolicy(**_fields(self.tool_retry)),
        }


def policy_hash(policy: Policy, budget: Budget) -> str:
    """Return the fingerprint of policy and budget: the rules that differ from the defaults of version 1.

    Rules that version 1 has no name for join it only where they are on.
    """
    form: list[Any] = [_policy_form(policy), _budget_form(budget)]
    later: dict[str, Any] = {}
    if budget.max_parallel is not None:
        later["max_parallel"] = budget.max_parallel
    if policy.allow == "reads":
        later["allow"] = policy.allow
    if policy.loop is not None and policy.loop.levelled:
        later["levelled"] = True
    if later:
        form.append(later)
    return fingerprint(form)


def _policy(old: PolicyV1) -> Policy:
    loop = None if old.loop is None else LoopLimits(**_fields(old.loop), levelled=False)
    arguments = {t: tuple(ArgumentRule(**_fields(r)) for r in rules) for t, rules in old.arguments.items()}
    allow = "any" if old.allow is None else old.allow
    # In version 1 an approval allowed nothing by itself.
    approve = old.approve if old.allow is None else tuple(t for t in old.approve if t in old.allow)
    return Policy(
        **{**_fields(old), "allow": allow, "approve": approve, "loop": loop, "arguments": arguments}
    )


def _budget(old: BudgetV1) -> Budget:
    return Budget(
        max_steps=old.max_steps,
        max_seconds=old.max_seconds,
        max_usd=None if old.max_usd_nanos is None else exact_usd(old.max_usd_nanos),
        max_tokens=old.max_tokens,
        max_tool_calls=old.max_tool_calls,
        max_parallel=None,
    )


def _policy_form(policy: Policy) -> PolicyV1:
    stated = _differing(policy, PolicyV1())
    stated.pop("arguments", None)
    if isinstance(policy.allow, str):
        stated.pop("allow")
    if policy.arguments:
        stated["arguments"] = {
            tool: tuple(
                ArgumentRuleV1(path=r.path, **_differing(r, ArgumentRuleV1(path=r.path))) for r in rules
            )
            for tool, rules in policy.arguments.items()
        }
    stated.pop("loop", None)
    if policy.loop is None:
        stated["loop"] = None
    elif loop := _differing(policy.loop, LoopLimitsV1()):
        stated["loop"] = LoopLimitsV1(**loop)
    return PolicyV1(**stated)


def _budget_form(budget: Budget) -> BudgetV1:
    return BudgetV1(**_differing(budget, BudgetV1()))


def _differing(value: Any, default: msgspec.Struct) -> dict[str, Any]:
    names = default.__struct_fields__
    return {n: own for n in names if (own := getattr(value, n)) != getattr(default, n)}


def _fields(value: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}
