"""The SSE parser gives the same events however the bytes are split."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dialects.sse import SseEvent, SseParser, parse_sse

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
LINES = st.lists(
    st.text(alphabet=st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20), max_size=4
)


def _feed(body: bytes, cuts: list[int]) -> list[SseEvent]:
    parser = SseParser()
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    events: list[SseEvent] = []
    for start, end in itertools.pairwise(edges):
        events += parser.feed(body[start:end])
    return [*events, *parser.finish()]


@given(st.lists(LINES, max_size=4), LINE_ENDS, st.lists(st.integers(0, 300), max_size=12), st.booleans())
def test_events_do_not_depend_on_splits_and_line_ends(
    events: list[list[str]], end: str, cuts: list[int], closed: bool
) -> None:
    blocks = [end.join(f"data: {line}" for line in lines) for lines in events if lines]
    body = (end * 2).join(blocks) + (end * 2 if closed else "")

    found = _feed(body.encode(), cuts)

    assert [event.data for event in found] == ["\n".join(lines) for lines in events if lines]


def test_comments_and_pings_are_no_events() -> None:
    body = b": OPENROUTER PROCESSING\n\n: ping\ndata: a\n\nevent: ping\n\n:\n\ndata: b\n\n"

    assert [event.data for event in parse_sse(body)] == ["a", "b"]


def test_event_names_and_ids_are_kept() -> None:
    body = b"id: 7\nevent: error\ndata: {}\nretry: 10\n\ndata: x\n\n"

    assert parse_sse(body) == [
        SseEvent(data="{}", event="error", id="7"),
        SseEvent(data="x", event="message", id="7"),
    ]


def test_a_byte_order_mark_is_passed_over_in_any_split() -> None:
    body = b"\xef\xbb\xbfdata: a\n\n"

    assert [e.data for e in _feed(body, list(range(len(body))))] == ["a"]


@pytest.mark.parametrize("body", [b"data: a", b"data: a\n", b"data: a\r\n"])
def test_an_event_without_its_closing_blank_line_is_delivered(body: bytes) -> None:
    assert [event.data for event in parse_sse(body)] == ["a"]


def test_events_are_delivered_as_soon_as_they_are_complete() -> None:
    parser = SseParser()

    assert [e.data for e in parser.feed(b"data: a\r\n\r")] == ["a"]
    assert parser.feed(b"\n") == []
    assert [e.data for e in parser.feed(b"data: b\n\n")] == ["b"]
    assert parser.finish() == []


def test_blanks_before_data_are_passed_over() -> None:
    assert [event.data for event in parse_sse(b"  data: a\n\n")] == ["a"]
