"""The YAML reader: values, lines, and what it refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.documents.strict_yaml import MAX_BYTES, read_yaml
from runtime.documents.yaml_events import YamlProblem


def problem_of(text: str | bytes) -> YamlProblem:
    with pytest.raises(YamlProblem) as caught:
        read_yaml(text if isinstance(text, bytes) else text.encode())
    return caught.value


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "Yes", "NO", "On", "OFF"])
def test_unquoted_booleans_of_yaml_1_1_are_refused_with_their_line(word: str) -> None:
    problem = problem_of(f"a: 1\nb: {word}\n")

    assert problem.line == 2
    assert word in problem.what
    assert f'"{word}"' in problem.next_step


@pytest.mark.parametrize("word", ["yes", "on"])
def test_unquoted_booleans_are_refused_as_keys_too(word: str) -> None:
    assert problem_of(f"{word}: 1").line == 1


@pytest.mark.parametrize(
    "text",
    ["12:30:45", "1:30", "190:20:30.15", "0123", "0o17", "0b11", "1_000", "1_0.5", ".inf", "-.INF", ".nan"],
)
def test_numbers_that_two_readers_read_differently_are_refused(text: str) -> None:
    assert problem_of(f"- x\n- {text}\n").line == 2


def test_quoted_traps_are_text() -> None:
    assert read_yaml(b"a: 'yes'\nb: \"12:30:45\"\nc: !!str no\nd: |\n  on\n").value == {
        "a": "yes",
        "b": "12:30:45",
        "c": "no",
        "d": "on\n",
    }


def test_plain_scalars_follow_the_core_schema() -> None:
    text = b"[null, ~, true, False, 12, -3, +4, 0x1f, 1.5, 1e3, .5, 2026-12-01, tool_timeout:*, y, 1.2.3]"

    assert read_yaml(text).value == [
        None, None, True, False, 12, -3, 4, 31, 1.5, 1000.0, 0.5, "2026-12-01", "tool_timeout:*", "y", "1.2.3",
    ]  # fmt: skip


def test_a_duplicate_field_is_refused_with_both_lines() -> None:
    problem = problem_of("a: 1\nb: 2\na: 3\n")

    assert problem.line == 3
    assert "line 1" in problem.what


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("# only a comment\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: [1,\nb: 2\n", 3),
        ("a: *x", 1),
        ("a: 1\n<<: {b: 1}", 2),
        ("12: x", 1),
        ("? [a]\n: b", 1),
        ("a: !!python/object/apply:os.system [x]", 1),
        ("&a [*a]", 1),
        (b"a: 1\nb: \xff", 2),
        ("a: 1\n\tb: 2", 2),
    ],
)
def test_what_is_no_plain_document_is_refused_with_its_line(text: str | bytes, line: int) -> None:
    assert problem_of(text).line == line


@pytest.mark.parametrize("text", [b"[" * 200_000, b"{a: " * 60_000, b"- " * 100_000, b"[{a: " * 40_000])
def test_deep_documents_are_refused_before_anything_is_built(text: bytes) -> None:
    assert "deeper" in problem_of(text).what


def test_large_documents_are_refused_unread() -> None:
    assert problem_of(b"#" * (MAX_BYTES + 1)).line is None


def test_values_behind_aliases_are_counted_each_time() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 8)]

    assert "more than 50,000 values" in problem_of("\n".join(lines)).what


def test_a_few_aliases_are_read() -> None:
    assert read_yaml(b"a: &x [1, 2]\nb: *x\n").value == {"a": [1, 2], "b": [1, 2]}


def test_each_node_has_its_line() -> None:
    lines = read_yaml(b"a: 1\nb:\n  c:\n    - x\n    - {d: 1}\n").lines

    assert [lines.at(p) for p in [("a",), ("b",), ("b", "c"), ("b", "c", 1), ("b", "c", 1, "d")]] == [
        1,
        2,
        3,
        5,
        5,
    ]


def test_the_line_of_what_is_not_there_is_that_of_the_nearest_node_above() -> None:
    assert read_yaml(b"a:\n  b:\n    c: 1\n").lines.at(("a", "b", "x", 3)) == 2


# Characters both formats take raw: JSON's surrogate escapes are no YAML, and YAML folds more line breaks.
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=' \n\t"\\'))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=15,
)


@given(JSON)
def test_json_is_read_as_json_reads_it(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)

    assert read_yaml(text.encode()).value == json.loads(text)


PAIRS = st.text(st.sampled_from('a\\u{}"\U0001f600\U0010ffffd83'), max_size=12)


@given(st.dictionaries(PAIRS, PAIRS, max_size=3))
def test_json_with_surrogate_pairs_is_read_as_json_reads_it(value: dict[str, str]) -> None:
    assert read_yaml(json.dumps(value).encode()).value == value


def test_a_text_that_only_looks_like_a_surrogate_pair_stays_as_it_is() -> None:
    text = "a: '\\ud83d\\ude00'\n"

    assert read_yaml(text.encode()).value == {"a": "\\ud83d\\ude00"}


@pytest.mark.parametrize("number", ["1" * 5_000, "-" + "1" * 5_000, "0x" + "f" * 5_000, "1." + "0" * 5_000])
def test_a_number_of_thousands_of_digits_is_refused_with_its_line(number: str) -> None:
    problem = problem_of(f"a: 1\nb: {number}\n")

    assert problem.line == 2
    assert "characters, more than 400" in problem.what


def test_a_number_past_the_largest_float_is_refused() -> None:
    assert "too large" in problem_of("a: 1e999").what


def test_an_alias_of_a_key_is_the_text_of_the_key() -> None:
    assert read_yaml(b"&x steps: 3\nnames: [*x]\n").value == {"steps": 3, "names": ["steps"]}
