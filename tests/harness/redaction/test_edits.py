"""Edits of a text in pieces: the pieces keep their number, and together they are the edited text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.redaction.edits import TextEdit, edit_pieces


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=6), st.data())
def test_edits_keep_the_number_of_pieces_and_make_the_edited_text(
    pieces: list[bytes], data: st.DataObject
) -> None:
    text = b"".join(pieces)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4, unique=True)))
    edits = [TextEdit(a, b, b"<x>") for a, b in zip(places[::2], places[1::2], strict=False)]
    expected, done = b"", 0
    for edit in edits:
        expected += text[done : edit.start] + edit.new
        done = edit.end

    edited = edit_pieces(pieces, edits)

    assert len(edited) == len(pieces)
    assert b"".join(edited) == expected + text[done:]
