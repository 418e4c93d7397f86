"""Patterns of argument rules match in linear time, and what cannot is refused where it is written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.control.patterns import full_match, pattern_problem
from runtime.control.permissions import broken_rule
from runtime.core.policy import ArgumentRule, Policy
from runtime.entry.policy_check import check_policy
from runtime.errors import UsageError

ADDRESS = r"([a-z0-9]+[._-]?)+@acme\.com"


def test_a_pattern_that_backtracks_answers_a_long_text_at_once() -> None:
    policy = Policy(arguments={"mail": (ArgumentRule(path="to", pattern=ADDRESS),)})

    # Python's own engine would need longer than the universe has lasted.
    assert broken_rule(policy, "mail", {"to": "a" * 100_000}) is not None
    assert broken_rule(policy, "mail", {"to": "jane.doe@acme.com"}) is None


@pytest.mark.parametrize(
    "pattern", [r"(?=a)b", r"(?!a)b", r"(?<=a)b", r"(a)\1", r"a{1001}", "(", r"(?P<n>a)(?P=n)"]
)
def test_a_pattern_that_is_not_linear_is_refused_where_the_policy_is_checked(pattern: str) -> None:
    policy = Policy(arguments={"mail": (ArgumentRule(path="to", pattern=pattern),)})

    assert pattern_problem(pattern) is not None
    with pytest.raises(UsageError, match=r"policy\.arguments\['mail'\], path 'to'"):
        check_policy(policy)


def test_a_recorded_policy_from_before_the_rule_still_replays() -> None:
    assert full_match(r"(?=a)\w+", "abc")
    assert not full_match(r"(?=a)\w+", "xbc")


def test_a_lone_surrogate_is_matched_and_breaks_nothing() -> None:
    assert full_match(".", "\ud800")
    assert not full_match("[a-z]*", "a\ud800")


@given(
    st.from_regex(r"[ab.*+?|()-]{0,12}", fullmatch=True),
    st.text(alphabet="ab\n-", max_size=12),
)
def test_the_linear_engine_agrees_with_pythons_on_small_patterns(pattern: str, text: str) -> None:
    if pattern_problem(pattern) is None:
        assert full_match(pattern, text) == (re.fullmatch(pattern, text) is not None)
