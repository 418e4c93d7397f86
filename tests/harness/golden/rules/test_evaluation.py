"""Judging traces by the rules of a task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.golden.loader import parse_task
from harness.golden.rules.evaluation import CheckFailure, evaluate
from harness.golden.task import GoldenTask
from runtime.core.money import Usage
from runtime.core.trace import Trace

MakeTrace = Callable[..., Trace]
HEAD = "schema: golden/1\ntask: a/b\nagent: recorded\n"
FOUND = {"tool": "kb.search", "args": {"q": {"regex": "8812"}}}
SEARCH, CREATE = ("kb.search", {"q": "parcel 8812"}), ("ticket.create", {"order": "8812"})


def task_of(expect: Any, **fields: Any) -> GoldenTask:
    text = HEAD + "".join(
        f"{name}: {json.dumps(value)}\n" for name, value in {"expect": expect, **fields}.items()
    )
    return parse_task(text.encode(), Path("golden/a/b.golden.yaml"))


def judge(expect: Any, trace: Trace, **more: Any) -> list[CheckFailure]:
    return evaluate(task_of(expect), trace, **{"baseline": None, "known_tools": None, **more})


def broken(expect: Any, trace: Trace, **more: Any) -> list[str]:
    return [failure.rule for failure in judge(expect, trace, **more)]


def test_a_good_run_breaks_nothing(make_trace: MakeTrace) -> None:
    trace = make_trace([SEARCH], [CREATE])
    expect = {
        "stop_reason": "finish",
        "tools": {"mode": "in_order", "calls": [{**FOUND, "times": [1, 2]}, "ticket.create"]},
        "never": ["shell.exec"],
        "before": [["kb.search", "ticket.create"]],
        "at_most_once": ["ticket.create"],
        "counts": {"tool_calls": {"max": 4}, "model_calls": 3, "retries": 0, "denials": 0, "by_tool": {"kb.search": 1}},
        "loop_free": True,
        "cost": {"max_usd": 0.003, "vs_baseline": {"max_ratio": 1.0}},
        "tokens": {"input": {"max": 300}, "output": 30, "total": 330},
        "output": {"contains": "refund", "not_contains": ["sorry"], "regex": "^Your"},
        "trace": "baseline",
    }  # fmt: skip

    assert judge(expect, trace, baseline=trace) == []


def test_every_broken_rule_is_told_in_the_order_of_the_file(make_trace: MakeTrace) -> None:
    text = (
        HEAD
        + "expect:\n  never: [shell.exec]\n  stop_reason: max_steps\n  counts:\n    tool_calls: 0\n    steps: 9\n"
    )
    task = parse_task(text.encode(), Path("golden/a/b.golden.yaml"))

    found = evaluate(task, make_trace([("shell.exec", {})]), baseline=None, known_tools=None)

    assert [(f.rule, f.where.rpartition(":")[2]) for f in found] == [
        ("expect.never[0]", "5"),
        ("expect.stop_reason", "6"),
        ("expect.counts.tool_calls", "8"),
        ("expect.counts.steps", "9"),
    ]


def test_never_fails_when_the_tool_was_asked_for_even_if_it_was_denied(make_trace: MakeTrace) -> None:
    trace = make_trace([SEARCH], [("shell.exec", {"cmd": "rm"}, {"status": "denied"})])

    (failure,) = judge({"never": ["shell.exec"]}, trace)

    assert failure.kind == "failed"
    assert failure.step == 1
    assert failure.message == (
        "golden/a/b.golden.yaml:4: expect.never[0]\n"
        "  expected: no call of shell.exec\n"
        "  actual:   1: shell.exec({'cmd': 'rm'}) [denied] at step 1"
    )
    assert judge({"never": [{"tool": "shell.exec", "status": "ok"}]}, trace) == []


@pytest.mark.parametrize(
    ("expect", "rule"),
    [
        ({"never": ["shel.exec"]}, "expect.never[0]"),
        ({"tools": {"mode": "superset", "calls": ["kb.serach"]}}, "expect.tools.calls[0]"),
        ({"before": [["kb.search", "ticket.crate"]]}, "expect.before[0][1]"),
        ({"at_most_once": ["ticket.crate"]}, "expect.at_most_once[0]"),
        ({"counts": {"by_tool": {"mail.sent": {"max": 1}}}}, "expect.counts.by_tool.mail.sent"),
        ({"same_turn": [["kb.search", "mail.sent"]]}, "expect.same_turn[0][1]"),
        ({"approvals": [{"tool": "ticket.crate"}]}, "expect.approvals[0]"),
        ({"stop_reason": ["finish", "tool_timeout:kb.serach"]}, "expect.stop_reason"),
    ],
)
def test_a_misspelt_tool_is_an_error_of_the_task_with_a_suggestion(
    make_trace: MakeTrace, expect: Any, rule: str
) -> None:
    (failure,) = judge(expect, make_trace([SEARCH]))

    assert (failure.rule, failure.kind) == (rule, "vacuous")
    assert failure.nearest is not None
    assert failure.nearest.startswith("did you mean")


def test_misspelt_names_in_the_policy_are_told(make_trace: MakeTrace) -> None:
    policy = {"allow": ["kb.serach", "web.fetch"], "approve": ["ticket.crate"]}

    found = evaluate(
        task_of({"loop_free": True}, policy=policy), make_trace([SEARCH]), baseline=None, known_tools=None
    )

    assert {f.rule for f in found} == {"policy.allow[0]", "policy.approve[0]"}


def test_names_are_not_judged_where_tools_are_unknown(
    make_trace: MakeTrace, header: Callable[..., Any]
) -> None:
    assert judge({"never": ["shel.exec"]}, make_trace([SEARCH], header=header(tools="opaque"))) == []


def test_the_greedy_case_of_agentevals_passes(make_trace: MakeTrace) -> None:
    trace = make_trace([("kb.search", {"a": 1, "b": 2, "c": 3})], [("kb.search", {"a": 1, "z": 0})])
    calls = [{"tool": "kb.search", "args": {"a": 1}}, {"tool": "kb.search", "args": {"a": 1, "b": 2}}]

    for mode in ("any_order", "superset", "subset"):
        assert broken({"tools": {"mode": mode, "calls": calls}}, trace) == []
        assert broken({"tools": {"mode": mode, "calls": calls[::-1]}}, trace) == []


def test_a_missing_call_names_direction_and_nearest_miss(make_trace: MakeTrace) -> None:
    trace = make_trace([("kb.search", {"q": "refund"})])

    (failure,) = judge(
        {"tools": {"mode": "superset", "calls": [{"tool": "kb.search", "args": {"q": {"regex": "8812"}}}]}},
        trace,
    )

    assert "actual ⊇ expected" in failure.expected
    assert "kb.search(q: regex '8812') at least once" in failure.expected
    assert failure.nearest == (
        "kb.search({'q': 'refund'}) at step 0: args.q: expected text with regex '8812', got 'refund'"
    )


def test_a_call_too_many_names_what_it_nearly_was(make_trace: MakeTrace) -> None:
    trace = make_trace([SEARCH], [SEARCH], [SEARCH])
    calls = [{"tool": "kb.search", "times": [1, 2]}]

    for mode in ("exact", "in_order", "any_order", "superset", "subset"):
        (failure,) = judge({"tools": {"mode": mode, "calls": calls}}, trace)
        assert failure.actual.startswith("1 too many: kb.search")
        assert failure.nearest is not None
        assert "used up" in failure.nearest


def test_calls_in_another_order_are_told_as_such(make_trace: MakeTrace) -> None:
    (failure,) = judge(
        {"tools": {"mode": "in_order", "calls": ["ticket.create", "kb.search"]}},
        make_trace([SEARCH], [CREATE]),
    )

    assert failure.rule == "expect.tools.calls[1]"
    assert "another order" in failure.actual


def test_malformed_arguments_are_a_mismatch(make_trace: MakeTrace) -> None:
    (failure,) = judge(
        {"tools": {"mode": "exact", "calls": [{"tool": "kb.search", "args": {"q": "x"}}]}},
        make_trace([("kb.search", '{"q": ')]),
    )[:1]

    assert failure.nearest is not None
    assert "malformed" in failure.nearest


@pytest.mark.parametrize(
    ("turns", "holds"),
    [
        ([[SEARCH], [CREATE]], True),
        ([[SEARCH, CREATE]], False),
        ([[CREATE], [SEARCH]], False),
        ([[CREATE]], False),
        ([[SEARCH]], True),
        ([[("kb.search", {}, {"status": "denied"})], [CREATE]], False),
        ([[("ticket.create", {}, {"status": "denied"})]], True),
    ],
)
def test_before_wants_a_started_call_in_an_earlier_turn(
    make_trace: MakeTrace, turns: Any, holds: bool
) -> None:
    assert (broken({"before": [["kb.search", "ticket.create"]]}, make_trace(*turns)) == []) is holds


def test_same_turn_wants_one_turn_with_all_calls(make_trace: MakeTrace) -> None:
    expect = {"same_turn": [["kb.search", "mail.send"]]}
    mail = ("mail.send", {"to": "a"})

    assert broken(expect, make_trace([SEARCH, mail])) == []
    assert broken(expect, make_trace([SEARCH], [mail])) == ["expect.same_turn[0]"]


def test_approvals_are_expected_with_their_answer(make_trace: MakeTrace) -> None:
    trace = make_trace([("ticket.create", {}, {"approval": "granted"})])

    assert broken({"approvals": [{"tool": "ticket.create", "decision": "granted"}]}, trace) == []
    (failure,) = judge(
        {"approvals": [{"tool": "ticket.create", "decision": "denied"}, {"tool": "ticket.create"}]}, trace
    )
    assert failure.actual == "'granted' at step 0"


def test_a_retry_tweak_shows_in_executions_and_retries(make_trace: MakeTrace) -> None:
    trace = make_trace([("kb.search", {"q": "x"}, {"attempts": 2})])

    found = judge({"counts": {"tool_calls": 1, "tool_executions": 1, "retries": 0}}, trace)

    assert [(f.rule, f.expected, f.actual) for f in found] == [
        ("expect.counts.tool_executions", "exactly 1", "2"),
        ("expect.counts.retries", "exactly 0", "1"),
    ]
    assert found[0].nearest == "kb.search({'q': 'x'}) at step 0 in 2 attempts"


def test_a_loop_shows_and_names_the_call(make_trace: MakeTrace) -> None:
    trace = make_trace([SEARCH], [SEARCH], [SEARCH])

    (failure,) = judge({"loop_free": True}, trace)

    assert failure.nearest is not None
    assert failure.nearest.startswith("kb.search")
    assert broken({"counts": {"loops": 0, "by_status": {"ok": {"max": 2}}}}, trace) == [
        "expect.counts.loops",
        "expect.counts.by_status.ok",
    ]


def test_a_cost_rule_on_an_unknown_price_fails(make_trace: MakeTrace) -> None:
    unknown, known = make_trace([SEARCH], cost=None), make_trace([SEARCH])
    expect = {"cost": {"max_usd": 100, "vs_baseline": {"max_ratio": 100}}}

    found = judge(expect, unknown, baseline=known)

    assert [f.rule for f in found] == ["expect.cost.max_usd", "expect.cost.vs_baseline"]
    assert all("no price or usage for gpt-4o" in f.actual for f in found)
    assert broken(expect, known, baseline=unknown) == ["expect.cost.vs_baseline"]


def test_a_token_rule_on_unknown_usage_fails(make_trace: MakeTrace) -> None:
    trace = make_trace([SEARCH], usage=Usage(output_tokens=1))

    assert broken({"tokens": {"input": {"max": 10**9}, "output": {"max": 9}}}, trace) == [
        "expect.tokens.input"
    ]


def test_doubled_calls_at_doubled_cost_fail(make_trace: MakeTrace) -> None:
    before, now = make_trace([SEARCH]), make_trace([SEARCH], [SEARCH], [SEARCH])

    (failure,) = judge(
        {"cost": {"vs_baseline": {"max_ratio": 1.1, "min_delta_usd": 0.0005}}}, now, baseline=before
    )

    assert failure.actual == "0.004000000 USD, baseline 0.002000000 USD, 2 times"


def test_a_small_rise_of_cost_is_let_through(make_trace: MakeTrace) -> None:
    before, now = make_trace([SEARCH], cost=10), make_trace([SEARCH], cost=20)

    assert (
        broken({"cost": {"vs_baseline": {"max_ratio": 1.1, "min_delta_usd": 0.0005}}}, now, baseline=before)
        == []
    )


def test_rules_that_need_a_baseline_fail_without_one(make_trace: MakeTrace) -> None:
    found = judge({"trace": "baseline", "cost": {"vs_baseline": {"max_ratio": 2}}}, make_trace([SEARCH]))

    assert {f.actual for f in found} == {"no baseline is stored"}
    assert len(found) == 2


def test_the_first_difference_from_the_baseline_is_told(make_trace: MakeTrace) -> None:
    before, now = make_trace([SEARCH], [CREATE]), make_trace([SEARCH], [("ticket.create", {"order": "9"})])

    (failure,) = judge({"trace": "baseline"}, now, baseline=before)

    assert failure.step == 1
    assert failure.nearest is not None
    assert failure.nearest.startswith("step 1, call 1\n")
    assert "verdict: changed" in failure.nearest
    assert "--golden-update=changed" in failure.nearest


def test_a_stop_reason_is_one_of_texts_and_globs(make_trace: MakeTrace) -> None:
    trace = make_trace([SEARCH], stop="tool_timeout:kb.search", output=None)

    assert broken({"stop_reason": "tool_timeout:*"}, trace) == []
    assert broken({"stop_reason": {"one_of": ["finish", "tool_timeout:kb.search"]}}, trace) == []
    assert broken({"stop_reason": "finish"}, trace) == ["expect.stop_reason"]


@pytest.mark.parametrize(
    ("rule", "broken_at"),
    [
        ({"contains": ["a", "refund"]}, ["expect.output.contains[0]"]),
        ({"not_contains": "refund"}, ["expect.output.not_contains[0]"]),
        ({"regex": ["^{", "nope"]}, ["expect.output.regex[1]"]),
        ({"equals": {"kind": "refund", "usd": {"between": [1, 2]}}}, ["expect.output.equals"]),
        ({"equals": {"kind": {"any": "str"}, "usd": 3}}, []),
        ({"json_schema": {"type": "object", "required": ["id"]}}, ["expect.output.json_schema"]),
        ({"json_schema": {"properties": {"usd": {"maximum": 5}}}}, []),
        ({"json_schema": {"type": "thing"}}, ["expect.output.json_schema"]),
        ({"json_schema": {"$ref": "http://schemas.invalid/x.json"}}, ["expect.output.json_schema"]),
        ({"json_schema": "missing.json"}, ["expect.output.json_schema"]),
    ],
)
def test_output_rules(make_trace: MakeTrace, rule: Any, broken_at: list[str]) -> None:
    trace = make_trace([SEARCH], output='{"kind":"refund","usd":3}')

    assert broken({"output": rule}, trace) == broken_at


def test_a_run_without_output_fails_every_output_rule(make_trace: MakeTrace) -> None:
    assert broken({"output": {"not_contains": "x"}}, make_trace([SEARCH], output=None, stop="max_steps")) == [
        "expect.output"
    ]


def test_failures_after_a_divergence_are_marked_as_its_consequence(make_trace: MakeTrace) -> None:
    trace = make_trace([("shell.exec", {})], [("mail.send", {})])

    found = judge({"never": ["shell.exec", "mail.send"], "counts": {"tool_calls": 0}}, trace, tainted_from=1)

    assert {f.rule: f.consequence for f in found} == {
        "expect.never[0]": False,
        "expect.never[1]": True,
        "expect.counts.tool_calls": True,
    }
    assert "follows the divergence" in found[1].message


def test_known_tools_come_from_the_header_where_none_are_given(
    make_trace: MakeTrace, header: Callable[..., Any]
) -> None:
    trace = make_trace([SEARCH], header=header(tools="opaque"))

    (failure,) = judge({"never": ["shel.exec"]}, trace, header=header())

    assert failure.kind == "vacuous"
