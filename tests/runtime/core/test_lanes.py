"""Lanes: text round trip, children, and what is no lane."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.lanes import admits_model, call_lane, is_first_attempt, lane, parse_lane, step_of

whats = st.sampled_from(["model", "tool", "approval", "wait", "admit", "input", "toolwait"])
counts = st.integers(0, 10**6)


@given(counts, whats, st.none() | counts, counts)
def test_lane_round_trips(step: int, what: str, index: int | None, attempt: int) -> None:
    text = lane(step, what, index=index, attempt=attempt)
    parsed = parse_lane(text)

    assert (parsed.prefix, parsed.step, parsed.what, parsed.index, parsed.attempt) == (
        None,
        step,
        what,
        index,
        attempt,
    )
    assert step_of(text) == step


def test_child_keeps_the_lane_of_the_call_that_started_it() -> None:
    parsed = parse_lane("4.tool2/1>0.tool1/2>3.model/1")

    assert (parsed.prefix, parsed.step, parsed.what) == ("4.tool2/1>0.tool1/2", 3, "model")
    assert step_of("4.tool2/1>3.model/1") == 3


@pytest.mark.parametrize("text", ["", "begin", "end", "4.model", "x.model/1", "4.model/x", "4./1"])
def test_other_texts_are_no_lane(text: str) -> None:
    with pytest.raises(ValueError, match="no lane"):
        parse_lane(text)


def test_begin_and_end_belong_to_no_step() -> None:
    assert step_of("begin") is None
    assert step_of("end") is None


@given(counts, st.none() | counts, st.integers(1, 30), st.sampled_from(["", "4.admit1/2>"]))
def test_an_admission_names_the_call_that_it_is_for(
    step: int, index: int | None, attempt: int, prefix: str
) -> None:
    text = prefix + lane(step, "admit", index=index, attempt=attempt)

    assert admits_model(text) == (index is None)
    what = "model" if index is None else "tool"
    assert call_lane(text) == prefix + lane(step, what, index=index, attempt=attempt)
    assert is_first_attempt(text) == (parse_lane(text).attempt == 1)


@given(counts, counts, st.sampled_from(["", "4.approval1/2>"]))
def test_an_approval_names_the_call_that_it_is_for(step: int, index: int, prefix: str) -> None:
    text = prefix + lane(step, "approval", index=index)

    assert call_lane(text) == prefix + lane(step, "tool", index=index)
