"""Cache: equal calls of one scope alone, for a time, within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.effects import ToolResult
from runtime.errors import UsageError
from runtime.ports.state import Scope
from runtime.state.tools.cache import ToolCache, cache_key

ACME = Scope(tenant="acme", environment="test")
KEY = b"s" * 32
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OK = ToolResult(content="answer")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cache_of(clock: Clock, **fields: Any) -> ToolCache:
    return ToolCache(ACME, **{"key": KEY, "ttl_s": 10.0, "now": clock, **fields})


def shape(value: object) -> object:
    """Return a value in which `1`, `1.0` and `True`, and `0.0` and `-0.0`, differ."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__, repr(value)


@given(
    one=st.tuples(st.text(max_size=3), st.text(max_size=3), JSON),
    two=st.tuples(st.text(max_size=3), st.text(max_size=3), JSON),
)
def test_keys_are_equal_for_equal_calls_alone(one: tuple[str, str, Any], two: tuple[str, str, Any]) -> None:
    same_call = one[:2] == two[:2] and shape(one[2]) == shape(two[2])

    assert (cache_key(KEY, ACME, *one) == cache_key(KEY, ACME, *two)) == same_call
    assert cache_key(KEY, ACME, *one) == cache_key(KEY, ACME, *one)


def test_mode_41_order_of_names_does_not_matter_and_kinds_of_numbers_do() -> None:
    def key(arguments: Any) -> str | None:
        return cache_key(KEY, ACME, "t", "1", arguments)

    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
    values: tuple[Any, ...] = (0, 0.0, -0.0, False, "0", None, [], 2**70, "é", "e\u0301")
    assert len({key({"n": value}) for value in values}) == len(values)


@pytest.mark.parametrize(
    "odd", [{"n": float("nan")}, {"n": float("inf")}, {1: "a"}, {"a": (1, 2)}, {"a": {1, 2}}]
)
def test_mode_41_arguments_without_a_form_of_their_own_are_never_cached(odd: Any) -> None:
    cache = cache_of(Clock())

    assert cache.put("t", "1", odd, OK) is False
    assert cache.get("t", "1", odd) is None
    assert len(cache) == 0


def test_key_tells_nothing_of_the_arguments_without_the_secret() -> None:
    assert cache_key(KEY, ACME, "t", "1", {"n": 1}) != cache_key(b"o" * 32, ACME, "t", "1", {"n": 1})


def test_result_is_served_until_its_time_is_over_and_to_its_version_alone() -> None:
    clock = Clock()
    cache = cache_of(clock)
    cache.put("t", "1", {"n": 1}, OK)

    clock.now = 9.9
    assert cache.get("t", "1", {"n": 1}) == OK
    assert cache.get("t", "2", {"n": 1}) is None
    assert cache.get("u", "1", {"n": 1}) is None
    clock.now = 10.0
    assert cache.get("t", "1", {"n": 1}) is None
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_errors_are_not_kept() -> None:
    cache = cache_of(Clock())

    assert cache.put("t", "1", {}, ToolResult(content="no", status="error", error="no")) is False
    assert cache.get("t", "1", {}) is None


def test_oldest_use_goes_first_when_the_cache_is_full() -> None:
    cache = cache_of(Clock(), max_entries=2)
    cache.put("t", "1", 1, OK)
    cache.put("t", "1", 2, OK)
    cache.get("t", "1", 1)
    cache.put("t", "1", 3, OK)

    assert [cache.get("t", "1", n) is not None for n in (1, 2, 3)] == [True, False, True]


@given(puts=st.lists(st.tuples(st.integers(0, 9), st.text(max_size=30)), max_size=40))
def test_bounds_hold_after_each_put(puts: list[tuple[int, str]]) -> None:
    cache = cache_of(Clock(), max_entries=4, max_bytes=60)

    for number, content in puts:
        kept = cache.put("t", "1", number, ToolResult(content=content))
        assert len(cache) <= 4
        assert cache.size_bytes <= 60
        assert kept == (len(content.encode()) <= 60)
        assert cache.get("t", "1", number) == (ToolResult(content=content) if kept else None)
    cache.clear()

    assert (len(cache), cache.size_bytes) == (0, 0)


def test_flood_of_one_scope_evicts_nothing_of_another() -> None:
    ours, theirs = (
        cache_of(Clock()),
        ToolCache(Scope(tenant="evil", environment="test"), key=KEY, ttl_s=10.0, now=Clock(), max_entries=2),
    )
    ours.put("t", "1", 1, OK)

    for number in range(100):
        theirs.put("t", "1", number, OK)

    assert ours.get("t", "1", 1) == OK


@pytest.mark.parametrize(
    "wrong", [{"key": b"short"}, {"ttl_s": 0}, {"ttl_s": float("nan")}, {"max_entries": 0}]
)
def test_cache_without_secret_time_or_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        cache_of(Clock(), **wrong)
