"""Stop reasons: text form, classes, precedence."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.stop import CLASS_OF, SUBJECT_KINDS, StopClass, StopKind, StopReason, first_stop, parse_stop

reasons = st.sampled_from(StopKind).flatmap(
    lambda kind: st.builds(
        StopReason, st.just(kind), st.text(min_size=1) if kind in SUBJECT_KINDS else st.none()
    )
)


@given(reasons)
def test_text_form_round_trips(reason: StopReason) -> None:
    assert parse_stop(str(reason)) == reason


@pytest.mark.parametrize("text", ["", "done", "finish:x", "tool_timeout", "tool_timeout:", "Finish"])
def test_other_texts_are_no_stop_reason(text: str) -> None:
    with pytest.raises(ValueError, match="not a stop reason"):
        parse_stop(text)


def test_each_kind_has_a_class() -> None:
    assert set(CLASS_OF) == set(StopKind)
    assert set(CLASS_OF.values()) == set(StopClass)


@pytest.mark.parametrize(
    ("prefix", "stop_class"),
    [("max_", StopClass.BUDGET), ("approval_", StopClass.POLICY), ("model_", StopClass.MODEL)],
)
def test_classes_follow_the_table_of_the_design(prefix: str, stop_class: StopClass) -> None:
    assert {CLASS_OF[k] for k in StopKind if k.value.startswith(prefix)} == {stop_class}


def test_precedence_is_the_design_s_whatever_the_order() -> None:
    ranked = [
        "internal_error",
        "control_unavailable",
        "operator_kill",
        "tenant_disabled",
        "cancelled",
        "in_doubt:a",
        "policy_deny:a",
        "max_usd",
        "tool_timeout:a",
        "model_refused",
        "loop_detected",
        "finish",
    ]

    for first, second in pairwise(ranked):
        assert str(first_stop([parse_stop(second), parse_stop(first)])) == first
        assert str(first_stop([parse_stop(first), parse_stop(second)])) == first


def test_first_of_equal_rank_wins_and_nothing_gives_nothing() -> None:
    two = [parse_stop("tool_timeout:b"), parse_stop("tool_timeout:a")]

    assert first_stop(two) is two[0]
    assert first_stop([]) is None
