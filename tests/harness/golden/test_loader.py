"""Golden task files: what is read, and how mistakes are told."""

from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from harness.errors import TaskError
from harness.golden.editor_schema import editor_schema
from harness.golden.loader import check_unique, find_tasks, load_task, parse_task
from runtime.core.policy import Budget, LoopLimits, Policy
from runtime.documents.strict_yaml import read_yaml

WHOLE = """\
schema: golden/1
task: refunds/late_parcel            # unique; pytest node id
tags: [smoke, writes]                # become markers
agent: examples.support:build        # factory; or `recorded` for lifted and imported cassettes
input: {prompt: "Where is parcel 8812? Refund it if it is lost.", tenant: acme-test, environment: test}
cassette: refunds/late_parcel        # under cassettes/; default: same path as the task
policy: {allow: [kb.search, ticket.create], approve: [ticket.create], budget: {max_steps: 25, max_seconds: 60, max_usd: 0.05}}
replay: {model: recorded, tools: recorded, match: {model: strict}}
expect:
  stop_reason: finish                            # or one_of, or a glob "tool_timeout:*"
  tools: {mode: in_order, calls: [{tool: kb.search, args: {q: {regex: "8812"}}, times: [1, 2]}, {tool: ticket.create}]}
  never: [shell.exec]
  before: [[kb.search, ticket.create]]
  at_most_once: [ticket.create]
  counts: {tool_calls: {max: 4}, model_calls: {max: 5}, retries: 0, denials: 0}
  cost: {max_usd: 0.03, vs_baseline: {max_ratio: 1.10, min_delta_usd: 0.0005}}
  tokens: {input: {max: 9000}}
  output: {contains: [refund], not_contains: [sorry]}
  trace: baseline                                # compare with the stored baseline trace
quarantine: null                                 # or {reason, owner, until}
"""  # noqa: E501
HEAD = "schema: golden/1\ntask: a/b\nagent: recorded\n"


def error_of(text: str) -> str:
    with pytest.raises(TaskError) as caught:
        parse_task(text.encode(), Path("golden/a/b.golden.yaml"))
    return str(caught.value)


def test_the_task_of_the_design_is_read_in_full(tmp_path: Path) -> None:
    path = tmp_path / "late_parcel.golden.yaml"
    path.write_text(WHOLE)

    task = load_task(path)

    assert task.task == task.cassette_name == "refunds/late_parcel"
    assert task.tags == ("smoke", "writes")
    assert task.path == path
    assert task.policy is not None
    assert task.policy.to_policy() == Policy(allow=("kb.search", "ticket.create"), approve=("ticket.create",))
    assert task.policy.to_budget() == Budget(max_steps=25, max_seconds=60.0, max_usd="0.05")
    assert task.expect.tools is not None
    assert str(task.expect.tools.calls[0].times) == "1 to 2"
    assert task.expect.counts is not None
    assert str(task.expect.counts.retries) == "exactly 0"


def test_rules_have_the_line_they_stand_on(tmp_path: Path) -> None:
    path = tmp_path / "late_parcel.golden.yaml"
    path.write_text(WHOLE)

    task = load_task(path)

    assert task.line_of("expect.stop_reason") == 10
    assert task.line_of("expect.tools.calls[1].tool") == 11
    assert task.line_of(("expect", "counts", "by_tool", "a.b")) == 15
    assert task.where("expect.never[0]") == f"{path.as_posix()}:12"


def test_a_task_survives_pickling_with_its_lines() -> None:
    task = parse_task(WHOLE.encode(), Path("x.golden.yaml"))

    copy = pickle.loads(pickle.dumps(task))

    assert copy.where("expect.never[0]") == "x.golden.yaml:12"


def test_fields_of_the_policy_that_are_not_given_are_those_of_the_agent() -> None:
    task = parse_task(
        (
            HEAD + "policy: {on_denied: stop, loop: {cycle: 2}, budget: {max_steps: unlimited, max_usd: 0}}"
        ).encode(),
        Path("x"),
    )
    agents, budget = Policy(allow=("a",), max_refusals=9), Budget(max_steps=3, max_tokens=7)

    assert task.policy is not None
    assert task.policy.to_policy(agents) == Policy(
        allow=("a",), max_refusals=9, on_denied="stop", loop=LoopLimits(cycle=2)
    )
    assert task.policy.to_budget(budget) == Budget(max_steps=None, max_usd=0, max_tokens=7)


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    text = error_of(
        HEAD
        + "input: {tenat: x}\nexpect:\n  stop_reason: finsih\n  counts: {retries: zero}\n  tools:\n    mode: inorder\n"
        "    calls:\n      - tool: x\n        args: {q: {regex: '('}}\n"
    )

    for line in (
        "golden/a/b.golden.yaml:4: input.tenat: unknown field; did you mean 'tenant'?",
        "golden/a/b.golden.yaml:6: expect.stop_reason[0]: 'finsih' is not a stop reason; did you mean 'finish'?",
        "golden/a/b.golden.yaml:7: expect.counts.retries: ",
        "golden/a/b.golden.yaml:9: expect.tools.mode: 'inorder' is none of exact, in_order",
        "golden/a/b.golden.yaml:12: expect.tools.calls[0].args.q.regex: regex: '(' is not a regular expression",
        "next: ",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("expect: {stop_reason: tool_timeout}", "write tool_timeout:* for any"),
        ("expect: {stop_reason: 'finish:x'}", "has no subject"),
        ("expect: {stop_reason: 'tool_timeout:'}", "nothing after the colon"),
        ("expect: {stop_reason: {one_of: [finish, max_step]}}", "did you mean 'max_steps'"),
        ("expect: {stop_reason: []}", "stop_reason"),
        ("expect: {nevr: [x]}", "did you mean 'never'"),
        ("expect: {never: []}", "never"),
        ("expect: {before: [[a]]}", "missing"),
        ("expect: {counts: {tool_calls: {}}}", "no bound is given"),
        ("expect: {counts: {tool_calls: {min: 3, max: 2}}}", "no number is between"),
        ("expect: {counts: {tool_calls: -1}}", "expect.counts.tool_calls.max: "),
        ("expect: {counts: {tool_calls: true}}", "tool_calls"),
        ("expect: {counts: {by_status: {fine: 1}}}", "by_status"),
        ("expect: {cost: {}}", "no limit is given"),
        ("expect: {cost: {max_usd: '1'}}", "a number is expected"),
        ("expect: {tools: {mode: in_order, calls: []}}", "can never fail"),
        ("expect: {tools: {mode: exact, calls: [{tool: x, times: [2, 1]}]}}", "no number is between"),
        ("expect: {output: {regex: '('}}", "not a regular expression"),
        ("expect: {output: {contains: ['']}}", "contains"),
        ("expect: {trace: golden}", "none of baseline"),
        ("tags: [a b]", "no tag"),
        ("cassette: ../x", "no name like suite/task"),
        ("input: {prompt: a, messages: [{role: user, content: b}]}", "keep one of them"),
        ("replay: {match: {model: loose}}", "none of strict, position, last_message"),
        ("quarantine: {reason: x, owner: y, until: soon}", "quarantine.until"),
        ("quarantine: {reason: x, owner: y, until: 3}", "not a date like"),
        ("policy: {budget: {max_steps: '25'}}", "a whole number is expected, found '25'"),
        ("expect: {loop_free: no}", 'write false, or "no"'),
        ("input: {prompt: x, request_id: 12:30:45}", "base 60"),
    ],
)
def test_a_mistake_is_told_in_words(line: str, says: str) -> None:
    text = error_of(HEAD + line)

    assert says in text
    assert text.startswith("golden/a/b.golden.yaml:4: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schema: golden/2\ntask: a\nagent: recorded", "b.golden.yaml:1: schema"),
        ("schema: golden/1\ntask: a", "agent: the field is missing"),
        (
            "schema: golden/1\ntask: a\nagent: mod.factory",
            "agent: 'mod.factory' is no agent: write module:factory, {http: module:function}, or recorded",
        ),
        ("schema: golden/1\ntask: a\nagent: mod:factory", "give input.prompt or input.messages"),
        ("- a", "a task is an object"),
        ("", "the file is empty"),
    ],
)
def test_a_wrong_head_is_told(text: str, says: str) -> None:
    assert says in error_of(text)


@pytest.mark.parametrize(
    "pattern", ["finish", "tool_timeout:*", "max_*", "tool_*", "tool_timeout:http.get", "model_*:gpt-4o"]
)
def test_stop_reasons_and_globs_are_read(pattern: str) -> None:
    task = parse_task(f"{HEAD}expect: {{stop_reason: '{pattern}'}}".encode(), Path("x"))

    assert task.expect.stop_reason == (pattern,)


def test_a_quarantine_holds_through_its_last_day() -> None:
    task = parse_task((HEAD + "quarantine: {reason: x, owner: '@y', until: 2026-12-01}").encode(), Path("x"))

    assert task.quarantine is not None
    assert not task.quarantine.is_expired(date(2026, 12, 1))
    assert task.quarantine.is_expired(date(2026, 12, 2))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no such task file"):
        load_task(tmp_path / "x.golden.yaml")


def test_tasks_are_found_sorted(tmp_path: Path) -> None:
    for name in ("b/z.golden.yaml", "b/a.golden.yaml", "a.golden.yaml", "b/a.trace.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    found = [p.relative_to(tmp_path).as_posix() for p in find_tasks(tmp_path)]

    assert found == ["a.golden.yaml", "b/a.golden.yaml", "b/z.golden.yaml"]
    with pytest.raises(TaskError):
        find_tasks(tmp_path / "nothing")


def test_two_files_with_one_task_are_refused() -> None:
    tasks = [parse_task(HEAD.encode(), Path(name)) for name in ("a.golden.yaml", "b.golden.yaml")]

    with pytest.raises(TaskError, match=r"b.golden.yaml:2: task 'a/b' is also in a.golden.yaml:2"):
        check_unique(tasks)


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({}, True),
        ({"expect": {"stop_reason": {"one_of": ["finish"]}, "never": [{"tool": "a", "status": "ok"}]}}, True),
        ({"expect": {"counts": {"retries": 0, "by_tool": {"a": {"max": 1}}}}}, True),
        ({"expect": {"nevr": ["a"]}}, False),
        ({"schema": "golden/2"}, False),
        ({"policy": {"budget": {"step": 1}}}, False),
    ],
)
def test_the_published_schema_takes_what_the_loader_takes(change: dict[str, Any], valid: bool) -> None:
    document = {**read_yaml(WHOLE.encode()).value, **change}

    assert jsonschema_rs.is_valid(editor_schema(), document) is valid
