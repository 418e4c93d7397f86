"""The model step: retry, fallback, refusals, truncation, empty replies."""

from __future__ import annotations

import pytest

from runtime.core.effects import Admission, CallModel, Failure, SingleEffect
from runtime.core.messages import ModelReply, RefusalPart, TextPart
from runtime.core.policy import Budget, Policy, RetryPolicy
from runtime.core.stop import StopKind
from tests.support.playbook import Playbook, asks, failed, header

AGAIN = failed(retryable=True)


def models(book: Playbook) -> list[str]:
    return [e.request.model for e in book.requests]


def test_a_retryable_failure_is_repeated_after_a_wait() -> None:
    book = Playbook([AGAIN, AGAIN, "done"])

    finished = book.run()

    assert finished.end.stop_reason == "finish"
    assert [e.lane for e in book.requests] == ["0.model/1", "0.model/2", "0.model/3"]
    assert len(book.waits) == 2
    step = finished.trace.model_calls[0]
    assert (step.attempts, step.error) == (3, None)
    assert (finished.end.totals.model_calls, finished.end.totals.retries) == (3, 2)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (failed(), "model_error_exhausted:m1"),
        (failed("timeout"), "model_timeout:m1"),
        (failed("rate_limited"), "model_rate_limited:m1"),
        (failed("unavailable"), "model_error_exhausted:m1"),
    ],
)
def test_a_failure_that_is_not_retryable_ends_the_run(failure: Failure, reason: str) -> None:
    book = Playbook([failure])

    finished = book.run()

    assert finished.end.stop_reason == reason
    assert len(book.requests) == 1
    assert finished.trace.model_calls[0].error == failure.message


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("deadline", "max_seconds"),
        ("kill", "operator_kill"),
        ("tenant", "tenant_disabled"),
        ("cancelled", "cancelled"),
    ],
)
def test_an_interrupted_call_ends_the_run_with_its_cause(cause: str, reason: str) -> None:
    book = Playbook([failed("interrupted", cause=cause, retryable=True)])

    assert book.run(header(models=("m1", "m2"))).end.stop_reason == reason
    assert models(book) == ["m1"]


def test_fallbacks_are_tried_in_order_each_with_its_own_attempts() -> None:
    book = Playbook([AGAIN, AGAIN, failed(), "done"])

    finished = book.run(header(models=("m1", "m2", "m3"), model_retry=RetryPolicy(attempts=2)))

    assert finished.end.stop_reason == "finish"
    assert models(book) == ["m1", "m1", "m2", "m3"]
    assert [e.lane for e in book.requests] == [f"0.model/{n}" for n in range(1, 5)]


def test_the_last_model_that_failed_is_named() -> None:
    book = Playbook([failed(), failed("timeout")])

    assert book.run(header(models=("m1", "m2"))).end.stop_reason == "model_timeout:m2"


def test_each_step_begins_with_the_first_model_again() -> None:
    book = Playbook([failed(), asks("look"), "done"])

    book.run(header(models=("m1", "m2")))

    assert models(book) == ["m1", "m2", "m1"]


def test_an_unhealthy_model_is_passed_over_and_an_operator_s_kill_is_not() -> None:
    broken = Playbook(admit=lambda e: Admission(granted=e.name != "m1", cause="breaker"))
    killed = Playbook(admit=lambda e: Admission(granted=e.name != "m1", cause="kill"))
    of = header(models=("m1", "m2"))

    assert broken.run(of).end.stop_reason == "finish"
    assert models(broken) == ["m2"]
    assert killed.run(of).end.stop_reason == "operator_kill"


def test_retries_of_the_whole_run_are_budgeted() -> None:
    book = Playbook([AGAIN, asks("look"), AGAIN, AGAIN])

    finished = book.run(header(model_retry=RetryPolicy(attempts=9, total=2)))

    assert finished.end.stop_reason == "model_error_exhausted:m1"
    assert len(book.requests) == 4


def test_what_the_provider_asks_to_wait_is_waited() -> None:
    book = Playbook([failed("rate_limited", retryable=True, after_s=25.0), "done"])

    book.run()

    assert book.waits == [25.0]


def test_a_provider_that_asks_to_wait_past_the_deadline_ends_the_run() -> None:
    book = Playbook([failed("rate_limited", retryable=True, after_s=60.0)])

    finished = book.run(header(budget=Budget(max_seconds=30.0)))

    assert finished.end.stop_reason == "max_seconds"
    assert book.waits == []


def test_time_is_checked_before_each_model_call() -> None:
    def takes(effect: SingleEffect) -> float:
        return 20.0 if isinstance(effect, CallModel) else 0.0

    book = Playbook([asks("look"), asks("look"), asks("look")], takes=takes)

    finished = book.run(header(budget=Budget(max_seconds=30.0)))

    assert finished.end.stop_reason == "max_seconds"
    assert len(book.requests) == 2
    assert finished.end.totals.duration_s == 40.0


def test_the_deadline_and_timeout_ride_on_the_call() -> None:
    book = Playbook(["done"])

    book.run(header(budget=Budget(max_seconds=30.0)))

    limits = book.requests[0].limits
    assert (limits.deadline_s, limits.timeout_s) == (30.0, 120.0)


@pytest.mark.parametrize(
    "reply",
    [
        ModelReply(parts=(RefusalPart("I will not."),), finish_reason="stop"),
        ModelReply(parts=(TextPart("Sor"),), finish_reason="content_filter"),
    ],
)
def test_a_refusal_of_the_model_ends_the_run_without_output(reply: ModelReply) -> None:
    finished = Playbook([reply]).run()

    assert finished.end.stop_reason == "model_refused"
    assert finished.end.output is None


def test_a_reply_cut_by_its_limit_is_truncated_output() -> None:
    finished = Playbook([ModelReply(parts=(TextPart("The first half"),), finish_reason="length")]).run()

    assert finished.end.stop_reason == "output_truncated"
    assert finished.end.output == "The first half"


def test_an_empty_reply_is_asked_for_again() -> None:
    empty = ModelReply(parts=(), finish_reason="stop")
    book = Playbook([empty, "done"])

    finished = book.run()

    assert finished.end.stop_reason == "finish"
    told = book.last_told()
    assert [(m.role, m.parts[0]) for m in told] == [
        ("user", TextPart("Your reply was empty. Answer, or call one of the tools."))
    ]


def test_empty_replies_without_end_are_an_invalid_action() -> None:
    empty = ModelReply(parts=(), finish_reason="stop")
    book = Playbook([empty] * 9)

    finished = book.run(header(policy=Policy(allow="any", max_refusals=2)))

    assert finished.end.stop_reason == StopKind.INVALID_ACTION
    assert len(book.requests) == 3


def test_a_request_holds_instructions_input_and_all_that_followed() -> None:
    book = Playbook([asks("look", n=1), "done"])

    book.run()

    first, second = (e.request.messages for e in book.requests)
    assert [m.role for m in second] == ["system", "user", "assistant", "tool"]
    assert all(a is b for a, b in zip(first, second, strict=False))
