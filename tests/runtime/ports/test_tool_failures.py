"""What an exception of a tool says of its call."""

from __future__ import annotations

import math
import urllib.error

import httpx
import pytest

from runtime.core.effects import Failure, FailureKind
from runtime.ports.tool_failures import failure_of


class Asked(Exception):
    """An exception that says itself what may be done."""

    def __init__(self, **said: object) -> None:
        super().__init__("asked")
        vars(self).update(said)


@pytest.mark.parametrize(
    ("error", "phase", "retryable", "kind"),
    [
        (ConnectionRefusedError(), "connect", True, FailureKind.ERROR),
        (httpx.ConnectTimeout("t"), "connect", True, FailureKind.TIMEOUT),
        (ConnectionResetError(), "lost", True, FailureKind.ERROR),
        (TimeoutError(), "lost", True, FailureKind.TIMEOUT),
        (httpx.ReadError("r"), "lost", True, FailureKind.ERROR),
        (ValueError("no"), "run", False, FailureKind.ERROR),
        (urllib.error.URLError(ConnectionRefusedError()), "connect", True, FailureKind.ERROR),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_exception_says_whether_anything_was_sent(
    error: Exception, phase: str, retryable: bool, kind: FailureKind
) -> None:
    failure = failure_of(error)

    assert (failure.phase, failure.retryable, failure.kind) == (phase, retryable, kind)
    assert failure.error_type == type(error).__name__


def test_nothing_of_a_group_was_sent_only_if_that_holds_for_all_of_it() -> None:
    unsent, lost = ConnectionRefusedError(), ConnectionResetError()

    assert failure_of(ExceptionGroup("g", [unsent, unsent])).phase == "connect"
    assert failure_of(ExceptionGroup("g", [unsent, lost])).phase == "lost"
    assert failure_of(ExceptionGroup("g", [unsent, ValueError()])).phase == "run"


@pytest.mark.parametrize(("said", "believed"), [(True, True), (False, False), (0, False), (1, True)])
def test_an_exception_that_says_whether_it_may_be_repeated_is_believed(said: object, believed: bool) -> None:
    assert failure_of(Asked(retryable=said)).retryable is believed


@pytest.mark.parametrize(
    ("after", "kept"), [(2.5, 2.5), (-1, None), (math.inf, None), (math.nan, None), ("3", None)]
)
def test_only_a_finite_wait_is_kept(after: object, kept: float | None) -> None:
    assert failure_of(Asked(after_s=after)).after_s == kept


def test_a_failure_that_an_exception_carries_is_the_failure() -> None:
    own = Failure(kind=FailureKind.UNAVAILABLE, message="down", retryable=True)

    assert failure_of(Asked(failure=own)) is own


def test_secrets_are_taken_out_before_a_message_is_cut() -> None:
    failure = failure_of(
        ValueError("x" * 3_980 + "secret"), clean=lambda text: text.replace("secret", "[gone]")
    )

    assert "[gone]" in failure.message
    assert (
        "secret"
        not in failure_of(
            ValueError("secret" * 9_000), clean=lambda text: text.replace("secret", "*")
        ).message
    )
