"""Verdicts: each rule of `harness.diff.verdict`, and the warnings that come first."""

from __future__ import annotations

import pytest

from harness.diff import TraceDiff, diff_traces
from tests.harness.diff.builder import Item, Model, Tool, make_trace

RUN: list[Item] = [
    item for n in range(12) for item in (Model(text=f"step {n}"), Tool(arguments={"q": n}, name="kb.search"))
]


def compare(b: list[Item], **fields: object) -> TraceDiff:
    return diff_traces(make_trace(RUN), make_trace(b, **fields))  # type: ignore[arg-type]  # fields of a trace


def test_a_run_that_no_longer_finishes_is_regressed() -> None:
    diff = compare(RUN, stop_reason="tool_timeout:kb.search")

    assert diff.verdict == "regressed"
    assert diff.causes == ("stop reason: finish -> tool_timeout:kb.search",)
    assert diff.first_divergence is not None
    assert diff.first_divergence.path == "stop_reason"


def test_a_run_that_finishes_again_is_changed() -> None:
    a, b = make_trace(RUN, stop_reason="max_steps"), make_trace(RUN)

    assert diff_traces(a, b).verdict == "changed"


def test_another_output_of_the_same_calls_is_changed() -> None:
    diff = compare(RUN, output="other")

    assert diff.verdict == "changed"
    assert diff.first_divergence is not None
    assert diff.first_divergence.path == "output"


@pytest.mark.parametrize(("added", "verdict"), [(1, "changed"), (2, "regressed")])
def test_tool_calls_may_grow_by_a_tenth(added: int, verdict: str) -> None:
    extra: list[Item] = [Tool(name="http.get", arguments={"url": n}) for n in range(added)]

    assert compare([*RUN, *extra]).verdict == verdict


def test_a_growing_retry_count_is_regressed_as_executions() -> None:
    retried: list[Item] = [*RUN[:-1], Tool(arguments={"q": 11}, attempts=3)]

    diff = compare(retried)

    assert diff.verdict == "regressed"
    assert diff.causes == ("tool_executions: 12 -> 14 (+16.7%, allowed +10%)",)


def test_dearer_equal_calls_are_regressed() -> None:
    dearer: list[Item] = [Model(text=i.text, nanousd=1_200) if isinstance(i, Model) else i for i in RUN]

    diff = compare(dearer)

    assert diff.verdict == "regressed"
    assert diff.counts["same"] == len(RUN)
    assert diff.causes == ("cost_usd: 0.000012000 -> 0.000014400 (+20.0%, allowed +10%)",)


def test_an_unknown_cost_is_a_warning_and_no_growth() -> None:
    unknown: list[Item] = [Model(text=i.text, nanousd=None) if isinstance(i, Model) else i for i in RUN]

    diff = compare(unknown)

    assert diff.verdict == "same"
    assert diff.comparability == ("unknown in B: cost",)
    assert diff.delta.nanousd is None


def test_a_new_error_is_regressed() -> None:
    diff = compare([*RUN[:-1], Tool(arguments={"q": 11}, status="timeout", result=None)])

    assert diff.verdict == "regressed"
    assert diff.causes == ("errors: 0 -> 1",)


def test_a_repeated_write_is_regressed_below_any_share() -> None:
    long_run = RUN * 2
    write = Tool(name="ticket.create", arguments={"order": 1}, write=True)

    diff = diff_traces(make_trace([*long_run, write]), make_trace([*long_run, write, write]))

    assert diff.verdict == "regressed"
    assert diff.causes == ("write repeated: ticket.create at call 49 of B",)


def test_a_label_that_turned_false_is_regressed() -> None:
    a, b = make_trace(RUN, labels={"passed": True}), make_trace(RUN, labels={"passed": False})

    assert diff_traces(a, b).causes == ("label passed: true -> false",)


def test_warnings_name_what_makes_the_runs_hard_to_compare() -> None:
    a = make_trace(RUN, task="s/a", price_table="2026-01", prompt_hash="1", tools_hash="1", policy_hash="1")
    b = make_trace(RUN, task="s/b", price_table="2026-02", prompt_hash="2", tools_hash="2", policy_hash="2")

    diff = diff_traces(a, b)

    assert [warning.split()[0] for warning in diff.comparability] == [
        "task", "prompt_hash", "tools_hash", "policy_hash", "price_table",
    ]  # fmt: skip


def test_another_model_is_a_warning() -> None:
    other: list[Item] = [Model(text=i.text, model="claude") if isinstance(i, Model) else i for i in RUN]

    assert compare(other).comparability == ("model differs: 'gpt-4o' -> 'claude'",)


def test_other_tasks_with_no_common_call_are_not_comparable() -> None:
    other: list[Item] = [Model(text="hello"), Tool(name="mail.send", arguments={"to": "x"})]

    diff = diff_traces(make_trace(RUN, task="s/a"), make_trace(other, task="s/b"))

    assert diff.verdict == "not_comparable"
    assert diff.causes == ("task differs: 's/a' -> 's/b', and no call of A is found in B",)


def test_other_tasks_that_share_a_call_are_compared() -> None:
    other: list[Item] = [Model(text="hello"), Tool(arguments={"q": 3}, result="other")]

    assert diff_traces(make_trace(RUN, task="s/a"), make_trace(other, task="s/b")).verdict == "changed"


def test_one_task_with_no_common_call_is_compared() -> None:
    other: list[Item] = [Model(text="hello")]

    assert diff_traces(make_trace(RUN, task="s/a"), make_trace(other, task="s/a")).verdict == "changed"
