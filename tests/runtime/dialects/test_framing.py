"""JSON arrays and lines are the same however the bytes are cut, and JSON text is read without harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dialects.errors import DialectError
from runtime.dialects.framing import JsonArrayParser, parse_json_array, parse_json_lines
from runtime.dialects.jsontext import MAX_DEPTH, parse_arguments, parse_document, parse_json

VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), max_size=4)


@settings(deadline=None)
@given(objects=OBJECTS, indent=st.sampled_from([None, 2]), sizes=st.lists(st.integers(1, 30), max_size=40))
def test_an_array_tells_its_objects_however_it_is_cut(
    objects: list[dict[str, Any]], indent: int | None, sizes: list[int]
) -> None:
    body = json.dumps(objects, indent=indent, ensure_ascii=False).encode()
    parser, found, place = JsonArrayParser(), [], 0
    for size in sizes:
        found += parser.feed(body[place : place + size])
        place += size
    found += parser.feed(body[place:])

    assert [json.loads(text) for text in found] == objects
    assert parser.closed


@given(objects=OBJECTS, data=st.data())
def test_a_cut_array_tells_all_objects_before_the_cut(
    objects: list[dict[str, Any]], data: st.DataObject
) -> None:
    body = json.dumps(objects).encode()
    end = data.draw(st.integers(0, len(body) - 1))

    found = [json.loads(text) for text in parse_json_array(body[:end])]

    assert found == objects[: len(found)]


def test_lines_are_told_with_the_last_one_also_if_it_is_not_ended() -> None:
    assert parse_json_lines(b'{"a": 1}\r\n\n{"b": 2}') == ['{"a": 1}', '{"b": 2}']


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5_000, 200_000])
def test_deep_json_is_refused_and_deep_arguments_stay_text(opening: str, depth: int) -> None:
    closing = "]" if opening == "[" else "}"
    text = opening * depth + ("" if opening == "[" else "1") + closing * depth

    with pytest.raises(DialectError, match="nested deeper"):
        parse_json(text)
    assert parse_arguments(text) == text


def test_deep_enough_json_is_read() -> None:
    text = '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH

    assert parse_json(text)
    assert isinstance(parse_arguments(text), dict)


def test_a_whole_document_has_valid_unicode_and_a_chunk_may_hold_half_a_character() -> None:
    text = '{"a\\ud83d": ["\\ude00", 1]}'

    assert parse_document(text) == {"a\ufffd": ["\ufffd", 1]}
    assert parse_json(text) == {"a\ud83d": ["\ude00", 1]}


def test_a_number_that_json_cannot_hold_is_null_and_nan_is_no_json() -> None:
    assert parse_document('{"a": 1e999, "b": 123456789012345678901234567890}') == {
        "a": None,
        "b": 123456789012345678901234567890,
    }
    with pytest.raises(DialectError):
        parse_document('{"a": NaN}')
