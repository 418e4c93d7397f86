"""Approvals: bound to one exact call, decided once, used once, and never late."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from runtime.control.approvals import Approval, Binding, approval_id, as_of, decide, opened, use, voided

BINDING = Binding(
    tenant="acme",
    environment="prod",
    request_id="req_1",
    lane="2.approval0/1",
    tool="payments.refund",
    args_hash="a1",
    policy_hash="p1",
)


def pending() -> Approval:
    return opened(BINDING, arguments={"eur": 40}, now=100.0, ttl_s=60.0, usable_s=600.0)


def granted(now: float = 110.0) -> Approval:
    change = decide(pending(), decision="granted", by="ana", args_hash="a1", now=now)
    assert change.approval is not None
    return change.approval


@pytest.mark.parametrize("decision", ["granted", "denied"])
def test_a_decision_in_time_counts(decision: Literal["granted", "denied"]) -> None:
    change = decide(pending(), decision=decision, by="ana", args_hash="a1", now=159.9, reason="checked")

    assert change.applied
    assert change.approval is not None
    assert (change.approval.state, change.approval.by, change.approval.reason) == (decision, "ana", "checked")


def test_a_late_decision_changes_nothing_and_says_expired() -> None:
    change = decide(pending(), decision="granted", by="ana", args_hash="a1", now=160.0)

    assert (change.applied, change.why) == (False, "expired")


def test_a_second_decision_changes_nothing() -> None:
    change = decide(granted(), decision="denied", by="bob", args_hash="a1", now=111.0)

    assert (change.applied, change.why) == (False, "already_decided")
    assert change.approval is not None
    assert change.approval.by == "ana"


def test_a_decision_about_other_arguments_changes_nothing() -> None:
    change = decide(pending(), decision="granted", by="ana", args_hash="a2", now=110.0)

    assert (change.applied, change.why, change.approval) == (False, "other_arguments", pending())


def test_a_grant_is_used_once() -> None:
    first = use(granted(), binding=BINDING, now=120.0)
    second = use(first.approval, binding=BINDING, now=120.0)

    assert (first.applied, second.applied, second.why) == (True, False, "used")


def test_a_grant_that_was_not_used_in_time_is_expired() -> None:
    change = use(granted(110.0), binding=BINDING, now=710.0)

    assert (change.applied, change.why) == (False, "expired")


@pytest.mark.parametrize(
    ("field", "why", "state"),
    [
        ("args_hash", "other_arguments", "void"),
        ("policy_hash", "other_policy", "void"),
        ("tool", "other_call", "granted"),
        ("lane", "other_call", "granted"),
        ("request_id", "other_call", "granted"),
        ("tenant", "other_call", "granted"),
        ("environment", "other_call", "granted"),
    ],
)
def test_a_grant_is_good_for_its_own_call_only(field: str, why: str, state: str) -> None:
    other = msgspec.structs.replace(BINDING, **{field: "other"})

    change = use(granted(), binding=other, now=120.0)

    assert (change.applied, change.why) == (False, why)
    assert change.approval is not None
    assert change.approval.state == state


@pytest.mark.parametrize("decision", [None, "denied"])
def test_what_is_not_granted_is_not_used(decision: Literal["denied"] | None) -> None:
    approval: Approval | None = pending()
    if decision is not None:
        approval = decide(approval, decision=decision, by="ana", args_hash="a1", now=110.0).approval

    assert not use(approval, binding=BINDING, now=120.0).applied


def test_an_unknown_approval_is_neither_decided_nor_used() -> None:
    decided = decide(None, decision="granted", by="ana", args_hash="a1", now=1.0)

    assert (decided.why, use(None, binding=BINDING, now=1.0).why) == ("unknown", "unknown")


def test_denied_is_not_timed_out() -> None:
    denied = decide(pending(), decision="denied", by="ana", args_hash="a1", now=110.0).approval

    assert denied is not None
    assert as_of(denied, 10_000.0).state == "denied"
    assert as_of(pending(), 10_000.0).state == "expired"


def test_the_end_of_a_run_voids_what_it_waits_for() -> None:
    void = voided(pending(), 110.0)
    late = decide(void, decision="granted", by="ana", args_hash="a1", now=111.0)

    assert (late.applied, late.why) == (False, "void")
    assert voided(pending(), 160.0) is None


def test_each_part_of_the_binding_makes_another_approval() -> None:
    others = [msgspec.structs.replace(BINDING, **{f: "other"}) for f in BINDING.__struct_fields__]

    assert len({approval_id(each) for each in [BINDING, *others]}) == 8
