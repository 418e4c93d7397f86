from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.cassette.lines import fold_json, fold_part, fold_text, unfold_json, unfold_part, unfold_text

TEXT = st.text(st.sampled_from("ab\n\r$ ü"), max_size=12)
KEYS = st.one_of(TEXT, st.sampled_from(["$lines", "$json"]))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)


@given(value=JSON)
def test_folding_json_loses_nothing_whatever_looks_like_a_mark(value: Any) -> None:
    assert unfold_json(fold_json(value)) == value


@given(text=TEXT)
def test_folding_text_loses_nothing(text: str) -> None:
    assert unfold_text(fold_text(text)) == text


@given(arguments=JSON)
def test_folding_a_part_loses_nothing(arguments: Any) -> None:
    part = {"type": "tool_call", "id": "call#1", "name": "f", "arguments": arguments}

    assert unfold_part(fold_part(part)) == part


def test_multi_line_text_is_a_list_of_lines() -> None:
    assert fold_text("a\nb\n") == ["a", "b", ""]
    assert fold_json({"body": "a\nb"}) == {"body": {"$lines": ["a", "b"]}}
