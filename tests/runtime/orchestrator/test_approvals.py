"""Approvals: one batch, exact arguments, single use, and everything read again after the wait."""

from __future__ import annotations

import pytest

from runtime.core.canonical import fingerprint
from runtime.core.effects import AskApproval, ReadControls, SingleEffect
from runtime.core.policy import Budget, Policy
from tests.support.playbook import Playbook, asks, asks_each, failed, header

POLICY = Policy(allow="any", approve=("pay", "send"), approval_timeout_s=60.0)


def test_an_approval_is_bound_to_the_exact_arguments_and_the_policy() -> None:
    book = Playbook([asks("pay", n=3), "done"])
    of = header(policy=POLICY)

    finished = book.run(of)

    asked = [e for e in book.seen if isinstance(e, AskApproval)]
    assert [(a.name, a.arguments, a.args_hash) for a in asked] == [("pay", {"n": 3}, fingerprint({"n": 3}))]
    assert asked[0].policy_hash == of.policy_hash
    assert asked[0].timeout_s == 60.0
    assert book.started == ["pay"]
    assert [(a.tool, a.decision, a.by) for a in finished.trace.approvals] == [("pay", "granted", "ann")]


def test_an_approval_is_used_once() -> None:
    book = Playbook([asks("pay", n=3), asks("pay", n=3), "done"])

    finished = book.run(header(policy=POLICY))

    assert finished.end.totals.approvals == 2


def test_all_approvals_of_a_turn_are_asked_before_any_call_starts() -> None:
    book = Playbook([asks("pay", "look", "send"), "done"])

    book.run(header(policy=POLICY))

    kinds = [k for k in book.kinds() if k in {"AskApproval", "ReadControls", "CallTool"}]
    assert kinds == ["AskApproval", "AskApproval", "ReadControls", "CallTool", "CallTool", "CallTool"]


def test_no_slot_is_taken_before_the_answer() -> None:
    book = Playbook([asks("pay"), "done"])

    book.run(header(policy=POLICY))

    kinds = book.kinds()
    assert kinds.index("AskApproval") < kinds.index("Admit", kinds.index("CallModel"))


def test_a_denied_call_is_told_and_the_others_go_on() -> None:
    book = Playbook([asks("pay", "look"), "done"], approvals={"pay": "denied"})

    finished = book.run(header(policy=POLICY))

    assert finished.end.stop_reason == "finish"
    assert book.started == ["look"]
    assert [(d.tool, d.rule) for d in finished.trace.denials] == [("pay", "approval")]


def test_a_denial_stops_the_run_where_policy_says_so() -> None:
    book = Playbook([asks("pay", "look")], approvals={"pay": "denied"})

    finished = book.run(header(policy=Policy(allow="any", approve=("pay",), on_denied="stop")))

    assert finished.end.stop_reason == "approval_denied:pay"
    assert book.started == []
    assert book.refused == [("pay", "denied"), ("look", "not_started")]


def test_denied_approvals_are_told_up_to_the_cap() -> None:
    book = Playbook([asks("pay", n=n) for n in range(9)], approvals={"pay": "denied"})

    finished = book.run(header(policy=Policy(allow="any", approve=("pay",), max_refusals=2)))

    assert finished.end.stop_reason == "approval_denied:pay"
    assert len(book.requests) == 3


def test_an_approval_that_times_out_is_not_a_denial_of_a_person() -> None:
    book = Playbook([asks("pay", "look")], approvals={"pay": "timeout"})

    finished = book.run(header(policy=POLICY))

    assert finished.end.stop_reason == "approval_timeout"
    assert book.started == []
    assert finished.trace.approvals[0].decision == "timeout"


def test_a_refused_call_is_never_put_before_a_person() -> None:
    book = Playbook([asks("pay", n="x"), "done"])

    book.run(header(policy=POLICY))

    assert "AskApproval" not in book.kinds()


@pytest.mark.parametrize(
    ("switch", "reason"),
    [
        ("kill", "operator_kill"),
        ("tenant", "tenant_disabled"),
        ("tool:pay", "tool_disabled:pay"),
        ("unavailable", "control_unavailable"),
    ],
)
def test_switches_pulled_while_a_person_thought_stop_the_run(switch: str, reason: str) -> None:
    book = Playbook([asks("pay")], pulled=(switch,))

    finished = book.run(header(policy=POLICY))

    assert finished.end.stop_reason == reason
    assert book.started == []


def test_switches_are_read_for_the_tools_that_may_still_start() -> None:
    book = Playbook(
        [asks_each(("pay", {}), ("send", {}), ("look", {}), ("nope", {})), "done"],
        approvals={"send": "denied"},
    )

    book.run(header(policy=POLICY))

    assert [e.tools for e in book.seen if isinstance(e, ReadControls)] == [("look", "pay")]


def test_a_run_whose_time_passed_while_a_person_thought_starts_nothing() -> None:
    def takes(effect: SingleEffect) -> float:
        return 100.0 if isinstance(effect, AskApproval) else 1.0

    book = Playbook([asks("pay")], takes=takes)

    finished = book.run(header(policy=POLICY, budget=Budget(max_seconds=50.0)))

    assert finished.end.stop_reason == "max_seconds"
    assert book.started == []


def test_an_interrupted_wait_for_a_person_ends_with_its_cause() -> None:
    class Killed(Playbook):
        def _answer(self, effect: SingleEffect) -> object:
            return (
                failed("interrupted", cause="kill")
                if isinstance(effect, AskApproval)
                else super()._answer(effect)
            )

    book = Killed([asks("pay")])

    assert book.run(header(policy=POLICY)).end.stop_reason == "operator_kill"
    assert book.started == []
