"""The order of the guards of one turn, and turns that start none of their calls."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.core.effects import Admission, Admit, CallTool, Refuse
from runtime.core.policy import Policy
from tests.support.playbook import Playbook, asks, asks_each, decl, failed, header, with_budget


def test_a_run_begins_with_begin_and_ends_with_one_end() -> None:
    book = Playbook([asks("look"), "done"])

    finished = book.run()

    assert book.kinds()[0] == "Begin"
    assert book.kinds()[-1] == "End"
    assert len(book.ends) == 1
    assert (finished.end.stop_reason, finished.end.output) == ("finish", "done")


def test_guards_stand_in_the_order_of_the_design() -> None:
    book = Playbook([asks("look", "pay"), "done"])

    book.run(header(policy=Policy(allow="any", approve=("pay",))))

    turn = book.kinds()[book.kinds().index("CallModel") + 1 :]
    assert turn[:6] == ["AskApproval", "ReadControls", "Admit", "Admit", "CallTool", "CallTool"]


def test_model_calls_are_admitted_before_they_are_made() -> None:
    book = Playbook(["done"])

    book.run()

    assert book.kinds() == ["Begin", "Admit", "CallModel", "End"]


def test_each_effect_has_a_lane_of_its_own() -> None:
    book = Playbook(
        [failed(retryable=True), asks("look", "find", "pay"), asks("look"), "done"],
        tools={"find": [failed(retryable=True), "found"]},
    )

    book.run(header(policy=Policy(allow="any", approve=("pay",))))

    lanes = [e.lane for e in book.seen[1:-1] if hasattr(e, "lane")]
    assert len(set(lanes)) == len(lanes) == len(book.seen) - 2
    assert {"0.model/1", "0.wait/2", "0.model/2", "0.approval2/1", "0.tool1/2", "0.toolwait/2"} < set(lanes)


def test_an_added_retry_leaves_every_other_lane_alone() -> None:
    def lanes(tools: Any) -> set[str]:
        book = Playbook([asks("look", "find"), asks("look"), "done"], tools=tools)
        book.run()
        return {e.lane for e in book.seen[1:-1] if hasattr(e, "lane")}

    calm, retried = lanes(None), lanes({"find": [failed(retryable=True), "ok"]})

    assert retried - calm == {"0.tool1/2", "0.toolwait/2", "0.admit1/2"}
    assert calm <= retried


def test_a_turn_that_does_not_fit_into_max_tool_calls_starts_none() -> None:
    book = Playbook([asks("look"), asks("look", "find")])

    finished = book.run(with_budget(max_tool_calls=2))

    assert finished.end.stop_reason == "max_tool_calls"
    assert book.started == ["look"]
    assert book.refused == [("look", "not_started"), ("find", "not_started")]
    assert [c.status for c in finished.trace.tool_calls] == ["ok", "not_started", "not_started"]
    assert (finished.end.totals.tool_calls, finished.end.totals.tool_executions) == (3, 1)


def test_a_turn_that_just_fits_starts_all() -> None:
    book = Playbook([asks("look"), asks("look", "find"), "done"])

    finished = book.run(with_budget(max_tool_calls=3))

    assert finished.end.stop_reason == "finish"
    assert book.started == ["look", "look", "find"]


def test_refused_calls_do_not_use_up_the_call_budget() -> None:
    book = Playbook([asks("nope", "look"), "done"])

    finished = book.run(with_budget(max_tool_calls=1))

    assert finished.end.stop_reason == "finish"
    assert book.started == ["look"]


def test_the_last_step_may_finish_but_starts_no_calls() -> None:
    book = Playbook([asks("look"), asks("look", "find")])

    finished = book.run(with_budget(max_steps=2))

    assert finished.end.stop_reason == "max_steps"
    assert book.started == ["look"]
    assert book.refused == [("look", "not_started"), ("find", "not_started")]
    assert len(book.requests) == 2


def test_the_last_step_s_plain_reply_finishes_the_run() -> None:
    finished = Playbook([asks("look"), "done"]).run(with_budget(max_steps=2))

    assert finished.end.stop_reason == "finish"


def test_a_policy_stop_leaves_the_whole_turn_unstarted() -> None:
    book = Playbook([asks("look", "pay")])

    finished = book.run(header(policy=Policy(allow=("look",), on_denied="stop")))

    assert finished.end.stop_reason == "policy_deny:pay"
    assert book.started == []
    assert book.refused == [("look", "not_started"), ("pay", "denied")]


def test_arguments_are_checked_before_policy() -> None:
    book = Playbook([asks("pay", n="many"), "done"])

    book.run(header(policy=Policy(allow=("look",))))

    assert book.refused == [("pay", "invalid_arguments")]


def test_the_precedence_of_the_design_decides_between_reasons() -> None:
    book = Playbook([asks("pay", "look")])

    finished = book.run(header(policy=Policy(allow=("look",), on_denied="stop"), budget=_one_step()))

    assert finished.end.stop_reason == "policy_deny:pay"


def _one_step() -> Any:
    from runtime.core.policy import Budget

    return Budget(max_steps=1)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("rate", "tool_rate_limited:look"),
        ("concurrency", "concurrency_limited:look"),
        ("breaker", "tool_unhealthy:look"),
        ("disabled", "tool_disabled:look"),
        ("spend", "max_usd"),
        ("tenant", "tenant_disabled"),
        ("kill", "operator_kill"),
        ("unavailable", "control_unavailable"),
        (None, "control_unavailable"),
    ],
)
def test_a_refused_admission_of_a_call_stops_the_run_before_it(cause: str | None, reason: str) -> None:
    def admit(effect: Admit) -> Admission:
        return Admission(granted=effect.name != "look", cause=cause)

    book = Playbook([asks("look", "find")], admit=admit)
    finished = book.run()

    assert finished.end.stop_reason == reason
    assert book.started == []
    assert book.refused == [("look", "not_started"), ("find", "not_started")]


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("rate", "model_rate_limited:m1"),
        ("breaker", "model_unhealthy:m1"),
        ("spend", "max_usd"),
        ("tenant", "tenant_disabled"),
        ("kill", "operator_kill"),
        ("unavailable", "control_unavailable"),
    ],
)
def test_a_refused_admission_of_a_model_stops_the_run_before_it(cause: str, reason: str) -> None:
    book = Playbook(admit=lambda _: Admission(granted=False, cause=cause))

    finished = book.run()

    assert finished.end.stop_reason == reason
    assert book.requests == []


def test_admission_refused_on_a_retry_keeps_the_failed_attempt_as_the_call_s_last() -> None:
    def admit(effect: Admit) -> Admission:
        return Admission(granted=not effect.lane.endswith("admit0/2"), cause="breaker")

    book = Playbook([asks("look")], tools={"look": [failed(retryable=True)]}, admit=admit)
    finished = book.run()

    assert finished.end.stop_reason == "tool_unhealthy:look"
    assert [(c.status, c.attempts) for c in finished.trace.tool_calls] == [("error", 1)]


def test_what_each_call_came_to_is_told_in_declared_order() -> None:
    book = Playbook([asks_each(("look", {"n": 1}), ("nope", {}), ("find", {"q": "x"})), "done"])

    book.run()

    told = [p.response for m in book.last_told() for p in m.parts if hasattr(p, "response")]
    assert told == [
        "look ok",
        "There is no tool 'nope'. The tools are: find, look, pay, put, send.",
        "find ok",
    ]


def test_ids_are_made_where_a_provider_gives_none_or_the_same_twice() -> None:
    from runtime.core.messages import ModelReply, ToolCallPart

    doubled = ModelReply(
        parts=tuple(ToolCallPart(id="x", name="look", arguments={"n": n}) for n in (1, 2)),
        finish_reason="tool_call",
    )
    book = Playbook([doubled, doubled, "done"])

    book.run()

    ids = [e.call_id for e in book.seen if isinstance(e, CallTool)]
    assert len(set(ids)) == 4
    assert ids[0] == "x"


def test_an_idempotency_key_is_only_given_to_writes_and_counts_occurrences() -> None:
    book = Playbook([asks("pay", "look"), asks("pay"), "done"])

    book.run()

    keys = {e.lane: e.limits.idempotency_key for e in book.seen if isinstance(e, CallTool)}
    assert keys["0.tool1/1"] is None
    assert keys["0.tool0/1"] != keys["1.tool0/1"]


def test_an_idempotency_key_is_stable_over_retries_and_other_steps() -> None:
    plain = Playbook([asks("send", n=1), "done"])
    late = Playbook([asks("look"), asks("send", n=1), "done"], tools={"send": [failed(retryable=True), "ok"]})

    plain.run()
    late.run()

    keys = [
        e.limits.idempotency_key for b in (plain, late) for e in b.seen if isinstance(e, CallTool) and e.write
    ]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_opaque_tools_are_started_unchecked() -> None:
    book = Playbook([asks("anything", odd=True), "done"])

    finished = book.run(header(tools="opaque", policy=Policy(allow="any", loop=None)))

    assert finished.end.stop_reason == "finish"
    assert book.started == ["anything"]
    assert book.requests[0].request.tools == ()
    assert finished.trace.tools_known is None


def test_a_tool_s_own_timeout_rides_on_its_calls() -> None:
    book = Playbook([asks("slow"), "done"])

    book.run(header(tools=(decl("slow", timeout_s=2.5),)))

    assert [e.limits.timeout_s for e in book.seen if isinstance(e, CallTool)] == [2.5]


def test_no_refused_call_is_ever_started() -> None:
    book = Playbook([asks("nope", "pay", "look", n=1), asks("look", n="x"), "done"])

    book.run(header(policy=Policy(allow=("look",))))

    refused = {e.lane for e in book.seen if isinstance(e, Refuse)}
    started = {e.lane for e in book.seen if isinstance(e, CallTool)}
    assert len(refused) == 3
    assert len(started) == 1
    assert refused.isdisjoint(started)
