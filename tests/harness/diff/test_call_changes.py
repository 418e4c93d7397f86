"""Field changes inside one pair: paths, absent members, lists."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from harness.diff.call_changes import call_changes, value_changes
from harness.diff.document import Change, flatten
from tests.harness.diff.builder import Model, Tool, make_trace

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=7), st.dictionaries(st.sampled_from(["x", "y", "z"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def changes(a: Any, b: Any) -> list[tuple[str, Any, Any]]:
    return [(c.path, c.a, c.b) for c in value_changes(a, b, "arguments")]


def test_a_changed_member_has_its_path() -> None:
    assert changes({"q": "a", "n": 1}, {"q": "b", "n": 1}) == [("arguments.q", "a", "b")]


def test_a_member_that_one_side_lacks_is_unset_and_not_null() -> None:
    assert changes({"q": None}, {}) == [("arguments.q", None, UNSET)]
    assert changes({}, {"q": None}) == [("arguments.q", UNSET, None)]


def test_numbers_and_booleans_that_python_calls_equal_are_changes() -> None:
    assert changes({"n": 1}, {"n": True}) == [("arguments.n", 1, True)]
    assert changes({"n": 1}, {"n": 1.0}) == [("arguments.n", 1, 1.0)]


def test_one_item_put_before_a_long_list_is_one_change() -> None:
    items = [{"sku": n} for n in range(30)]

    assert changes({"items": items}, {"items": [{"sku": "new"}, *items]}) == [
        ("arguments.items[0]", UNSET, {"sku": "new"})
    ]


def test_a_deep_change_has_a_deep_path() -> None:
    a = {"items": [{"sku": 1, "tags": ["x", "y"]}]}
    b = {"items": [{"sku": 1, "tags": ["x", "z"]}]}

    assert changes(a, b) == [("arguments.items[0].tags[1]", "y", "z")]


@given(json_values, json_values)
def test_values_have_no_changes_exactly_if_they_are_equal(a: Any, b: Any) -> None:
    assert (changes(a, b) == []) == (repr(_sorted(a)) == repr(_sorted(b)))
    assert changes(a, a) == []


def test_a_tool_call_lists_what_came_of_it() -> None:
    a, b = flatten(make_trace([Tool(), Tool(status="error", result=None, write=True)]))

    assert call_changes(a, b) == (
        Change("status", "ok", "error"),
        Change("result", "found", None),
        Change("write", False, True),
    )


def test_a_model_call_lists_names_it_asked_for_and_no_money() -> None:
    a, b = flatten(make_trace([Model(text="x", nanousd=1), Model(text="y", tools=("kb.search",), nanousd=2)]))

    assert call_changes(a, b) == (
        Change("finish_reason", "stop", "tool_call"),
        Change("text", "x", "y"),
        Change("tool_calls", [], ["kb.search"]),
    )


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
