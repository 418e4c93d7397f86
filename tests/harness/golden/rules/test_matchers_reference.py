"""The matchers against a second reading of their rules, written apart from them."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.golden.rules.matcher_problems import check_expectation
from harness.golden.rules.matchers import MISSING, argument_mismatches, mismatches

LEAF = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "a", "ab", "b1", 1.0, 0.5])
VALUE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
    max_leaves=5,
)
NUMBER = st.integers(-2, 3) | st.sampled_from([0.5, 1.0])
PLAIN_MATCHER = st.one_of(
    st.sampled_from(["a", "^a", "b$", r"\d"]).map(lambda p: {"regex": p}),
    st.sampled_from([True, "str", "int", "number", "bool", "list", "object", "null"]).map(
        lambda t: {"any": t}
    ),
    st.lists(NUMBER, min_size=2, max_size=2).map(lambda pair: {"between": sorted(pair)}),
    st.tuples(NUMBER, st.sampled_from([0, 0.5, 1])).map(lambda pair: {"approx": list(pair)}),
    st.tuples(st.integers(0, 2), st.integers(0, 2)).map(lambda t: {"len": sorted(t)}),
    st.booleans().map(lambda yes: {"absent": yes}),
    VALUE.map(lambda value: {"equals": value}),
)
EXPECTED = st.recursive(
    VALUE | PLAIN_MATCHER,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2).map(lambda options: {"one_of": options})
        | inner.map(lambda one: {"not": one})
        | inner.map(lambda one: {"contains": [one]})
        | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
        | st.lists(inner, max_size=2)
    ),
    max_leaves=4,
)
KINDS = {
    "str": lambda v: type(v) is str,
    "int": lambda v: type(v) is int,
    "number": lambda v: type(v) in (int, float),
    "bool": lambda v: type(v) is bool,
    "list": lambda v: type(v) is list,
    "object": lambda v: type(v) is dict,
    "null": lambda v: v is None,
}
NAMES = {"regex", "any", "between", "approx", "len", "absent", "equals", "one_of", "not", "contains"}


def same(a: Any, b: Any) -> bool:
    """Equal as JSON: 1 and 1.0 are one number, `true` is none."""

    def form(value: Any) -> Any:
        if isinstance(value, bool) or value is None or isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return ["number", float(value)]
        if isinstance(value, list):
            return ["list", *map(form, value)]
        return {"object": {key: form(value[key]) for key in sorted(value)}}

    return b is not MISSING and json.dumps(form(a)) == json.dumps(form(b))


def holds(expected: Any, actual: Any) -> bool:
    if isinstance(expected, dict) and len(expected) == 1 and next(iter(expected)) in NAMES:
        ((name, operand),) = expected.items()
        return matcher_holds(name, operand, actual)
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and all(holds(want, actual.get(key, MISSING)) for key, want in expected.items())
            and set(actual) <= set(expected)
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(holds(want, got) for want, got in zip(expected, actual, strict=True))
        )
    return same(expected, actual)


def matcher_holds(name: str, operand: Any, actual: Any) -> bool:
    is_number = type(actual) in (int, float)
    match name:
        case "regex":
            return type(actual) is str and re.search(operand, actual) is not None
        case "any":
            return actual is not MISSING and (operand is True or KINDS[operand](actual))
        case "between":
            return is_number and operand[0] <= actual <= operand[1]
        case "approx":
            return is_number and abs(actual - operand[0]) <= operand[1]
        case "len":
            return type(actual) in (str, list, dict) and operand[0] <= len(actual) <= operand[1]
        case "absent":
            return (actual is MISSING) is operand
        case "equals":
            return same(operand, actual)
        case "one_of":
            return any(holds(option, actual) for option in operand)
        case "not":
            return not holds(operand, actual)
        case _:
            return contains(operand, actual)


def contains(parts: list[Any], actual: Any) -> bool:
    if isinstance(actual, list):
        return all(any(holds(part, item) for item in actual) for part in parts)
    if isinstance(actual, str | dict):
        return all(isinstance(part, str) and part in actual for part in parts)
    return False


@settings(max_examples=400)
@given(EXPECTED, VALUE | st.just(MISSING))
def test_matchers_agree_with_a_second_reading_of_their_rules(expected: Any, actual: Any) -> None:
    assume(not list(check_expectation(expected)))  # what is written wrongly is refused and never judged

    assert (mismatches(expected, actual) == []) is holds(expected, actual)


@given(st.dictionaries(st.sampled_from("xyz"), EXPECTED, max_size=2), VALUE)
def test_arguments_that_are_not_named_are_not_looked_at(expected: Any, actual: Any) -> None:
    assume(not any(list(check_expectation(value)) for value in expected.values()))

    wanted = isinstance(actual, dict) and all(
        holds(value, actual.get(name, MISSING)) for name, value in expected.items()
    )
    assert (argument_mismatches(expected, actual) == []) is wanted
