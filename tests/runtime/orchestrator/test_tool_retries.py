"""Retries of tool calls: in rounds, only where harmless, within attempts, total and time."""

from __future__ import annotations

import pytest

from runtime.core.effects import CallTool
from runtime.core.policy import Budget, Policy, RetryPolicy
from tests.support.playbook import Playbook, ToolAnswer, asks, failed, header

AGAIN = failed(retryable=True)
LOST = failed("timeout", retryable=True)


def lanes(book: Playbook) -> list[str]:
    return [e.lane for e in book.seen if isinstance(e, CallTool)]


def test_failed_calls_of_a_turn_go_again_together_and_the_others_do_not() -> None:
    book = Playbook(
        [asks("look", "find", "put"), "done"], tools={"look": [AGAIN, AGAIN, "a"], "put": [AGAIN, "c"]}
    )

    finished = book.run()

    assert finished.end.stop_reason == "finish"
    assert lanes(book) == ["0.tool0/1", "0.tool1/1", "0.tool2/1", "0.tool0/2", "0.tool2/2", "0.tool0/3"]
    assert len(book.waits) == 2
    totals = finished.end.totals
    assert (totals.tool_calls, totals.tool_executions, totals.retries, totals.errors) == (3, 6, 3, 0)


def test_a_failure_that_is_not_retryable_is_not_repeated() -> None:
    book = Playbook([asks("look")], tools={"look": [failed()]})

    finished = book.run()

    assert finished.end.stop_reason == "tool_error_exhausted:look"
    assert lanes(book) == ["0.tool0/1"]


def test_attempts_of_one_call_are_limited() -> None:
    book = Playbook([asks("look")], tools={"look": [AGAIN]})

    finished = book.run(header(tool_retry=RetryPolicy(attempts=4)))

    assert finished.end.stop_reason == "tool_error_exhausted:look"
    assert len(lanes(book)) == 4


def test_retries_of_the_whole_run_are_budgeted_also_within_one_round() -> None:
    book = Playbook([asks("look", "find", "put")], tools=lambda _: AGAIN)

    finished = book.run(header(tool_retry=RetryPolicy(attempts=9, total=2)))

    assert finished.end.stop_reason.startswith("tool_error_exhausted")
    assert finished.end.totals.retries <= 2


def test_a_write_whose_answer_was_lost_is_in_doubt_and_never_repeated() -> None:
    book = Playbook([asks("pay")], tools={"pay": [LOST]})

    finished = book.run()

    assert finished.end.stop_reason == "in_doubt:pay"
    assert lanes(book) == ["0.tool0/1"]


@pytest.mark.parametrize("name", ["look", "put", "send"])
def test_reads_and_writes_made_safe_are_repeated_after_a_timeout(name: str) -> None:
    book = Playbook([asks(name), "done"], tools={name: [LOST, "ok"]})

    finished = book.run()

    assert finished.end.stop_reason == "finish"
    assert lanes(book) == ["0.tool0/1", "0.tool0/2"]


def test_a_repeated_write_goes_under_the_same_idempotency_key() -> None:
    book = Playbook([asks("send"), "done"], tools={"send": [LOST, "ok"]})

    book.run()

    assert len({e.limits.idempotency_key for e in book.seen if isinstance(e, CallTool)}) == 1


@pytest.mark.parametrize(
    "answer", [failed("error", retryable=True, phase="connect"), failed("rate_limited", retryable=True)]
)
def test_a_write_that_surely_did_not_happen_is_repeated(answer: ToolAnswer) -> None:
    book = Playbook([asks("pay"), "done"], tools={"pay": [answer, "ok"]})

    assert book.run().end.stop_reason == "finish"
    assert len(lanes(book)) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (failed("timeout"), "tool_timeout:look"),
        (failed("rate_limited"), "tool_rate_limited:look"),
        (failed("unavailable"), "tool_error_exhausted:look"),
        (failed("in_doubt"), "in_doubt:look"),
        (failed("interrupted", cause="deadline"), "max_seconds"),
        (failed("interrupted", cause="kill"), "operator_kill"),
        (failed("interrupted", cause="tenant"), "tenant_disabled"),
        (failed("interrupted", cause="cancelled"), "cancelled"),
        (failed("interrupted", cause="control_unavailable"), "control_unavailable"),
        (failed("interrupted", cause="unrecorded"), "open"),
    ],
)
def test_how_a_read_failed_is_the_stop_reason(answer: ToolAnswer, reason: str) -> None:
    assert Playbook([asks("look")], tools={"look": [answer]}).run().end.stop_reason == reason


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("deadline", "in_doubt:pay"),
        ("kill", "operator_kill"),
        ("tenant", "tenant_disabled"),
        ("cancelled", "cancelled"),
    ],
)
def test_an_interrupted_write_is_in_doubt_under_the_reason_that_takes_precedence(
    cause: str, reason: str
) -> None:
    book = Playbook([asks("pay")], tools={"pay": [failed("interrupted", cause=cause)]})

    finished = book.run()

    assert finished.end.stop_reason == reason
    assert [c.status for c in finished.trace.tool_calls] == ["in_doubt"]
    assert finished.end.totals.in_doubt == 1


def test_finished_calls_of_a_stopped_turn_keep_their_outcome() -> None:
    kill = failed("interrupted", cause="kill")
    book = Playbook([asks("look", "find", "pay")], tools={"find": [kill], "pay": [kill]})

    finished = book.run()

    assert finished.end.stop_reason == "operator_kill"
    assert [c.status for c in finished.trace.tool_calls] == ["ok", "interrupted", "in_doubt"]


def test_a_wait_that_would_pass_the_deadline_ends_the_run_instead() -> None:
    book = Playbook([asks("look")], tools={"look": [AGAIN]})
    retry = RetryPolicy(first_s=1000.0, ceiling_s=2000.0)

    finished = book.run(header(tool_retry=retry, budget=Budget(max_seconds=10.0)))

    assert finished.end.stop_reason == "max_seconds"
    assert book.waits == []


def test_the_longest_wait_that_a_tool_asks_for_is_kept() -> None:
    answers: dict[str, list[ToolAnswer]] = {
        "look": [failed("rate_limited", retryable=True, after_s=7.0), "ok"],
        "find": [failed("rate_limited", retryable=True, after_s=30.0), "ok"],
    }
    book = Playbook([asks("look", "find"), "done"], tools=answers)

    book.run()

    assert book.waits == [30.0]


def test_waits_follow_from_the_seed_alone() -> None:
    def waits(seed: int) -> list[float]:
        book = Playbook([asks("look"), "done"], tools={"look": [AGAIN, AGAIN, "ok"]})
        book.run(header(seed=seed))
        return book.waits

    assert waits(1) == waits(1) != waits(2)


def test_a_failure_that_is_told_does_not_hide_another_s_stop() -> None:
    book = Playbook([asks("look", "pay")], tools={"look": [failed()], "pay": [LOST]})

    finished = book.run(header(policy=Policy(allow="any", on_failure="tell")))

    assert finished.end.stop_reason == "in_doubt:pay"
