"""Approvals: a person's answer to one exact call, which is good once.

pending --decide--> granted --use--> used
                    denied
pending | granted --expire--> expired
pending | granted --other arguments, other policy, or the run is over--> void

An answer is bound to run, lane, tool, arguments and policy version. A late answer, a second answer and an answer to
other arguments change nothing and say why. A grant must be used before `usable_s` is over.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runtime.core.canonical import fingerprint

ApprovalState = Literal["pending", "granted", "denied", "expired", "void", "used"]
Why = Literal[
    "unknown",
    "pending",
    "already_decided",
    "denied",
    "expired",
    "void",
    "used",
    "other_arguments",
    "other_policy",
    "other_call",
]


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """The exact call an approval is for."""

    tenant: str
    environment: str
    request_id: str
    lane: str
    tool: str
    args_hash: str
    policy_hash: str


class Approval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An approval as it is stored.

    Attributes:
        id: Follows from the binding, so a resumed run finds the answer to the call it asks for again.
        binding: The exact call.
        arguments: What the person is shown; redacted by the caller.
        state: Where it stands.
        opened_at: Epoch seconds, as all times here.
        expires_at: Until when it can be decided; once granted, until when it can be used.
        usable_s: Seconds a grant is good for.
        by: Who decided.
        reason: What they said.
        decided_at: When they decided.
        used_at: When the call was started with it.
    """

    id: str
    binding: Binding
    state: ApprovalState
    opened_at: float
    expires_at: float
    usable_s: float
    arguments: Any = None
    by: str | None = None
    reason: str | None = None
    decided_at: float | None = None
    used_at: float | None = None


class ApprovalChange(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to deciding or using an approval.

    Attributes:
        applied: Whether the decision counts, or the call may start.
        why: If not.
        approval: The approval as it stands now, if there is one.
    """

    applied: bool
    why: Why | None = None
    approval: Approval | None = None


def approval_id(binding: Binding) -> str:
    """Return the id of the approval for one exact call."""
    return "appr_" + fingerprint(binding)[:24]


def opened(binding: Binding, *, arguments: Any, now: float, ttl_s: float, usable_s: float) -> Approval:
    """Return a pending approval.

    Args:
        binding: The exact call.
        arguments: What the person is shown.
        now: Epoch seconds.
        ttl_s: Seconds in which it can be decided.
        usable_s: Seconds a grant is good for.
    """
    return Approval(
        id=approval_id(binding),
        binding=binding,
        state="pending",
        opened_at=now,
        expires_at=now + ttl_s,
        usable_s=usable_s,
        arguments=arguments,
    )


def as_of(approval: Approval, now: float) -> Approval:
    """Return an approval as it stands at a time; what was not decided or not used in time is expired."""
    if approval.state in ("pending", "granted") and approval.expires_at <= now:
        return msgspec.structs.replace(approval, state="expired")
    return approval


def decide(
    found: Approval | None,
    *,
    decision: Literal["granted", "denied"],
    by: str,
    args_hash: str,
    now: float,
    reason: str | None = None,
) -> ApprovalChange:
    """Return what a person's answer changes.

    Args:
        found: The stored approval.
        decision: The answer.
        by: Who answers.
        args_hash: Fingerprint of the arguments they were shown.
        now: Epoch seconds.
        reason: What they say.
    """
    if found is None:
        return ApprovalChange(applied=False, why="unknown")
    found = as_of(found, now)
    match found.state:
        case "expired" | "void" as why:
            return ApprovalChange(applied=False, why=why, approval=found)
        case "granted" | "denied" | "used":
            return ApprovalChange(applied=False, why="already_decided", approval=found)
        case "pending":
            pass
    if found.binding.args_hash != args_hash:
        return ApprovalChange(applied=False, why="other_arguments", approval=found)
    expires_at = now + found.usable_s if decision == "granted" else found.expires_at
    decided = msgspec.structs.replace(
        found, state=decision, by=by, reason=reason, decided_at=now, expires_at=expires_at
    )
    return ApprovalChange(applied=True, approval=decided)


def use(found: Approval | None, *, binding: Binding, now: float) -> ApprovalChange:
    """Return what starting a call with an approval changes; only a grant of this very call lets it start.

    A grant that is offered for other arguments or under another policy is void from then on: ask again.
    """
    if found is None:
        return ApprovalChange(applied=False, why="unknown")
    found = as_of(found, now)
    if found.state != "granted":
        return ApprovalChange(applied=False, why=found.state, approval=found)
    if found.binding == binding:
        return ApprovalChange(
            applied=True, approval=msgspec.structs.replace(found, state="used", used_at=now)
        )
    place = ("tenant", "environment", "request_id", "lane", "tool")
    if any(getattr(found.binding, name) != getattr(binding, name) for name in place):
        return ApprovalChange(applied=False, why="other_call", approval=found)
    why: Why = "other_arguments" if found.binding.args_hash != binding.args_hash else "other_policy"
    return ApprovalChange(applied=False, why=why, approval=msgspec.structs.replace(found, state="void"))


def voided(found: Approval, now: float) -> Approval | None:
    """Return the approval as void because its run is over; `None` if it no longer waits for anything."""
    if as_of(found, now).state not in ("pending", "granted"):
        return None
    return msgspec.structs.replace(found, state="void")
