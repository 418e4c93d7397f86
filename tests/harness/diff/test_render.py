"""Text, Markdown and figures of a diff: complete, bounded in width, safe with hostile text."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diff import diff_traces, render_markdown, render_stat, render_text
from harness.text import cell_width
from tests.harness.diff.builder import Item, Model, Tool, make_trace, related
from tests.support.counts import examples

RUN: list[Item] = [
    item for n in range(10) for item in (Model(text=f"step {n}"), Tool(arguments={"q": f"rule {n}"}))
]
EDITED: list[Item] = [
    *RUN[:5],
    Tool(arguments={"q": "rule two"}),
    *RUN[6:12],
    Tool(name="ticket.create", arguments={"order": 1}, write=True),
    *RUN[12:19],
]
HOSTILE = "\x1b[2J\x9b31m‮evil\r\nverdict: same\t​\x07"


def test_the_text_shows_verdict_totals_divergence_and_each_differing_call() -> None:
    text = render_text(diff_traces(make_trace(RUN), make_trace(EDITED, stop_reason="max_steps")))

    lines = text.splitlines()
    assert "verdict: regressed" in lines
    assert "stop reason: finish -> max_steps" in lines
    assert "first divergence: A 5, B 5: changed kb.search at arguments.q" in lines
    assert "calls: = 18  ~ 1  > 0  + 1  - 1  r 0" in lines
    assert re.search(r"^= +0\.\.4 +0\.\.4  5 calls the same$", text, re.MULTILINE)
    assert re.search(r'arguments\.q: "rule 2" -> "rule two"$', text, re.MULTILINE)
    assert re.search(r"^\+ +12  ticket\.create \[write\]  \+100 ms$", text, re.MULTILINE)
    assert re.search(r"^- +19 +kb\.search  -100 ms$", text, re.MULTILINE)


def test_comparability_comes_before_the_verdict() -> None:
    a, b = make_trace(RUN, price_table="1"), make_trace(RUN, price_table="2")

    text = render_text(diff_traces(a, b))

    assert 0 < text.index("warning: price_table") < text.index("verdict: same")


def test_equal_runs_are_one_line_of_calls() -> None:
    text = render_text(diff_traces(make_trace(RUN), make_trace(RUN)))

    assert len([line for line in text.splitlines() if line.startswith("= ")]) == 1
    assert "first divergence: none" in text


def test_hostile_text_changes_nothing_on_the_terminal() -> None:
    fields: dict[str, Any] = {"task": HOSTILE, "deploy": HOSTILE, "output": HOSTILE, "request_id": HOSTILE}
    b = make_trace([Model(text=HOSTILE), Tool(name=HOSTILE, arguments={HOSTILE: HOSTILE})], **fields)
    a = make_trace([Model(text="x"), Tool(name=HOSTILE, arguments={HOSTILE: "x"})], task="t")

    diff = diff_traces(a, b)

    for text in (render_text(diff), render_markdown(diff), render_stat(diff)):
        assert all(line.isprintable() for line in text.split("\n"))
        assert not [line for line in text.splitlines() if line == "verdict: same"]


def test_colours_are_the_only_controls_and_only_on_demand() -> None:
    diff = diff_traces(make_trace(RUN), make_trace(EDITED))

    plain, painted = render_text(diff), render_text(diff, color=True)

    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d+m", "", painted) == plain


@settings(max_examples=examples(15, 200))
@given(related(), st.integers(40, 140), st.text(max_size=60))
def test_no_line_is_wider_than_the_terminal(
    runs: tuple[list[Item], list[Item]], width: int, output: str
) -> None:
    diff = diff_traces(make_trace(runs[0]), make_trace([*runs[1], Tool(name="報告 " * 30)], output=output))

    text = render_text(diff, width=width)

    assert max(cell_width(line) for line in text.splitlines()) <= width


def test_markdown_forms_no_markup_mention_or_link_from_foreign_text() -> None:
    hostile = "<img src=x> |a| `b` @octocat #12 [x](https://evil.test) **b**"
    b = make_trace([Tool(arguments={"q": hostile}), Tool(name=hostile)], output=hostile)

    text = render_markdown(diff_traces(make_trace([Tool(arguments={"q": "x"})]), b))

    assert "<img" not in text.replace("\\<", "")
    assert "@octocat" not in text
    assert "https://evil" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_markdown_lists_a_bounded_number_of_calls_and_counts_the_rest() -> None:
    many: list[Item] = [Tool(name=f"t{n}") for n in range(150)]

    text = render_markdown(diff_traces(make_trace([]), make_trace(many)))

    assert "50 more differing calls are not listed." in text
    assert len(text) < 60_000


def test_stat_says_it_in_four_lines() -> None:
    text = render_stat(diff_traces(make_trace(RUN), make_trace(EDITED)))

    assert text.splitlines() == [
        "verdict  changed",
        "calls    = 18  ~ 1  > 0  + 1  - 1  r 0",
        "stop     finish",
        "used     nothing more or less",
    ]


def test_unknown_amounts_are_question_marks_and_never_zero() -> None:
    diff = diff_traces(make_trace([Model(nanousd=None, tokens=None)]), make_trace([Model(text="x")]))

    text = render_text(diff)

    assert re.search(r"^cost +\? +\$0\.000001 +\? +\?$", text, re.MULTILINE)
    assert "? tok ?" in text
