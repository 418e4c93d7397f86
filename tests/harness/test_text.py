"""Foreign text cannot reach the terminal's controls; tables line up."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.text import cell_width, safe_text, table


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain text", "plain text"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x00\x07\x7f", "\\x00\\x07\\x7f"),
        ("‮abc⁦", "\\u202eabc\\u2066"),
        ("a​b﻿", "a\\u200bb\\ufeff"),
        ("line\u2028end", "line\\u2028end"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("Größe 報告 é", "Größe 報告 é"),
        ("e\u0301\u0301\u0301\u0301", "e\u0301\u0301\\u0301\\u0301"),
    ],
)
def test_each_kind_of_control_is_shown_as_an_escape(raw: str, shown: str) -> None:
    assert safe_text(raw) == shown


@given(st.text(st.characters(), max_size=80), st.integers(0, 60))
def test_safe_text_is_one_harmless_line_within_its_limit(text: str, limit: int) -> None:
    shown = safe_text(text, limit)

    assert cell_width(shown) <= limit
    assert all(char.isprintable() or unicodedata.category(char) == "Zs" for char in shown)
    assert safe_text(shown, limit) == shown


@given(st.text(max_size=80))
def test_without_a_limit_nothing_is_dropped(text: str) -> None:
    assert len(safe_text(text, None)) >= len(text)


def test_long_text_ends_in_an_ellipsis() -> None:
    assert safe_text("abcdef", 4) == "abc…"
    assert safe_text("報告報告", 5) == "報告…"
    assert safe_text("報告報告", 4) == "報…"


def test_a_table_lines_up_wide_characters_and_numbers() -> None:
    text = table([("報告", "1"), ("x", "1,000")], ("name", "count"), "lr")

    assert text.splitlines() == ["name  count", "報告      1", "x     1,000"]


def test_a_table_shows_hostile_cells_as_escapes() -> None:
    assert table([("\x1b[31m\n",)], ("name",)).splitlines() == ["name", "\\x1b[31m\\n"]


@pytest.mark.parametrize(("rows", "align"), [([("a",)], None), ([], "l"), ([], "lx")])
def test_a_table_refuses_rows_and_alignments_that_do_not_fit(
    rows: list[tuple[str]], align: str | None
) -> None:
    with pytest.raises(ValueError, match="column"):
        table(rows, ("one", "two"), align)
