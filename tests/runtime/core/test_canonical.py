"""The canonical form: golden vectors, key order, and one form for each value."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.canonical import canonical_bytes, digest, fingerprint
from runtime.core.messages import ToolSchema, user_message

# Computed once when version 1 was fixed; stored keys depend on them, so they never change.
VECTORS: list[tuple[Any, bytes, str]] = [
    (None, b"null", "74234e98afe7498fb5daf1f36ac2d78a"),
    ([], b"[]", "4f53cda18c2baa0c0354bb5f9a3ecbe5"),
    (0.1, b"0.1", "14be4b45f18e0d8c67b4f719b5144eee"),
    (-0.0, b"-0.0", "c26617c7ccbcaa6631b45d851b8cf56e"),
    (1e16, b"1e+16", "a144838520595009e7daf5aff8472573"),
    (
        {"b": 1, "a": [1.5, True, None, "é\u2028"]},
        b'{"a":[1.5,true,null,"\xc3\xa9\xe2\x80\xa8"],"b":1}',
        "431250f964f32d985b6f59b72eb7a923",
    ),
    ({"z": {"y": [{"x": 1}]}}, b'{"z":{"y":[{"x":1}]}}', "0a8537b26f25618b2cbe7879d31008a5"),
    (2**63, b"9223372036854775808", "c5c29af0c2b1ba23907ca40686689919"),
    (2**64, b"18446744073709551616", "8b292fc2d32f1fd491784610c61b90dc"),
    ("\ud800", b'"\\ud800"', "8c0c59dd0d275aadcd462a5fe12eb352"),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(("value", "form", "mark"), VECTORS, ids=[repr(v[0])[:20] for v in VECTORS])
def test_form_and_fingerprint_of_version_1_never_change(value: Any, form: bytes, mark: str) -> None:
    assert canonical_bytes(value) == form
    assert fingerprint(value) == mark == digest(form)


@given(json_values)
def test_canonical_form_is_json_of_the_same_value(value: Any) -> None:
    assert json.loads(canonical_bytes(value)) == value


@given(st.dictionaries(st.text(max_size=4), st.integers(), max_size=6), st.randoms())
def test_order_of_keys_does_not_matter(value: dict[str, int], random: Any) -> None:
    names = list(value)
    random.shuffle(names)

    assert canonical_bytes({n: value[n] for n in names}) == canonical_bytes(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_number_for_is_null_beside_any_neighbour(number: float) -> None:
    assert canonical_bytes([number, 1]) == b"[null,1]"
    assert canonical_bytes([number, 2**70]) == b"[null,1180591620717411303424]"


def test_structs_are_hashed_as_the_mappings_they_are_stored_as() -> None:
    message = user_message("hi")
    schema = ToolSchema(name="a", parameters={"type": "object"})

    assert canonical_bytes(message) == canonical_bytes(msgspec.to_builtins(message))
    assert canonical_bytes([schema]) == canonical_bytes([msgspec.to_builtins(schema)])


def test_values_without_json_form_are_refused() -> None:
    with pytest.raises(TypeError):
        canonical_bytes({"a": object()})
