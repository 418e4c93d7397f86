"""Rules that hold for every run, or can match nothing: none passes in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TaskError
from harness.golden.loader import parse_task
from harness.golden.rules.evaluation import evaluate, task_facts
from harness.golden.rules.vacuity import ignored_nothing, unchecked_names
from runtime.core.messages import ToolSchema
from runtime.core.run import Header, ToolDecl
from runtime.core.trace import Trace
from tests.harness.golden.conftest import make_header, make_trace_of

HEAD = "schema: golden/1\ntask: a/b\nagent: recorded\n"


def _tool(name: str, properties: dict[str, Any], required: list[str], *, write: bool = False) -> ToolDecl:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return ToolDecl(schema=ToolSchema(name=name, parameters=parameters), write=write)


TEXT = {"type": "string"}
TOOLS = (
    _tool("order.lookup", {"order_id": TEXT}, ["order_id"]),
    _tool(
        "refund.create",
        {"order_id": TEXT, "cents": {"type": "integer"}, "force": {"type": "boolean", "default": False}},
        ["order_id", "cents"],
        write=True,
    ),
    _tool("log.read", {"level": {"enum": ["info", "error"], "type": "string"}}, ["level"]),
)
HEADER = make_header(tools=TOOLS, models=("gpt-4o", "gpt-4o-mini"))
RUN: list[Any] = [
    [("order.lookup", {"order_id": "7301"})],
    [("refund.create", {"order_id": "7301", "cents": 100})],
]

AT_READING = [
    ("stop_reason: '*'", "matches every stop reason"),
    ("stop_reason: '[!x]*'", "matches every stop reason"),
    ("stop_reason: {one_of: ['[a-m]*', '[n-z]*']}", "matches every stop reason"),
    ("stop_reason: finnish", "is not a stop reason"),
    ("stop_reason: 'tool_timeout:'", "nothing after the colon"),
    ("{}", "nothing is expected"),
    ("counts: {}", "nothing is counted"),
    ("tokens: {}", "no number of tokens is bounded"),
    ("output: {}", "nothing is expected of the output"),
    ("cost: {}", "no limit is given"),
    ("never: []", "at least 1 item"),
    ("counts: {tool_calls: {min: 0}}", "min: 0 holds for every run"),
    ("counts: {by_tool: {order.lookup: {min: 0}}}", "min: 0 holds for every run"),
    ("tokens: {input: {min: 0}}", "min: 0 holds for every run"),
    ("output: {regex: '.*'}", "matches every text"),
    ("output: {regex: '(x)?'}", "matches every text"),
    ("output: {regex: ''}", "at least 1 character"),
    ("output: {contains: ''}", "at least 1 character"),
    ("output: {json_schema: {}}", "checks nothing"),
    ("output: {json_schema: {requird: [a]}}", "did you mean 'required'"),
    ("output: {json_schema: {type: object, properties: {a: {typ: string}}}}", "did you mean 'type'"),
    ("tools: {mode: superset, calls: []}", "can never fail"),
    ("tools: {mode: in_order, calls: [{tool: order.lookup, times: {min: 0}}]}", "min: 0 asks for nothing"),
    ("tools: {mode: superset, calls: [{tool: order.lookup, times: {min: 0}}]}", "min: 0 asks for nothing"),
    ("never: [{tool: order.lookup, args: {}}]", "no argument is named"),
    ("never: [{tool: order.lookup, args: {order_id: {regex: ''}}}]", "matches every text"),
    ("never: [{tool: order.lookup, args: {order_id: {regx: '7301'}}}]", "did you mean 'regex'"),
    ("never: [{tool: order.lookup, args: {order_id: {regex: '7301', len: 4}}}]", "one key"),
    ("never: [{tool: order.lookup, args: {order_id: {one_off: ['7301']}}}]", "did you mean 'one_of'"),
    ("never: [{tool: refund.create, args: {cents: {gte: 5}}}]", "did you mean 'between'"),
    ("never: [{tool: order.lookup, args: {exact: {order_id: {regx: '7'}}}}]", "did you mean 'regex'"),
    ("never: [{tool: order.lookup, args: {order_id: {len: {min: 0}}}}]", "every length is in it"),
    ("never: [{tool: order.lookup, args: {order_id: {contains: ['']}}}]", "contained in everything"),
]
AT_JUDGING = [
    ("never: [order.lokup]", "did you mean 'order.lookup'"),
    ("before: [[order.lokup, refund.create]]", "not a tool of the agent"),
    ("same_turn: [[order.lookup, refund.creat]]", "not a tool of the agent"),
    ("at_most_once: [refund]", "not a tool of the agent"),
    ("approvals: [{tool: refund.creat}]", "not a tool of the agent"),
    ("counts: {by_tool: {refund.creat: 0}}", "not a tool of the agent"),
    ("tools: {mode: subset, calls: [order.lookup, refund.create, refund.creat]}", "not a tool of the agent"),
    ("never: [{tool: order.lookup, args: {orderid: '7301'}}]", "did you mean 'order_id'"),
    ("never: [{tool: order.lookup, args: {order_id: 7301}}]", "7301 is never valid there"),
    ("never: [{tool: order.lookup, args: {order_id: {equals: 7301}}}]", "7301 is never valid there"),
    ("never: [{tool: order.lookup, args: {order_id: {one_of: [7301, 7302]}}}]", "never valid there"),
    ("never: [{tool: order.lookup, args: {order_id: {value: '7301'}}}]", "never valid there"),
    ("never: [{tool: order.lookup, args: {order_id: {between: [1, 9]}}}]", "between is for number"),
    ("never: [{tool: order.lookup, args: {order_id: {any: int}}}]", "any is for integer"),
    ("never: [{tool: refund.create, args: {cents: {regex: '9'}}}]", "regex is for string"),
    ("never: [{tool: refund.create, args: {cents: {len: 3}}}]", "len is for"),
    ("never: [{tool: log.read, args: {level: warn}}]", "'warn' is never valid there"),
    ("never: [{tool: refund.create, args: {exact: {order: '7301'}}}]", "did you mean 'order_id'"),
    ("at_most_once: [{tool: refund.create, args: {orderid: '7301'}}]", "did you mean 'order_id'"),
    ("at_most_once: [{tool: refund.create, by: [orderid]}]", "did you mean 'order_id'"),
    ("before: [[{tool: order.lookup, args: {id: '7'}}, refund.create]]", "'id' is not one"),
    (
        "tools: {mode: superset, calls: [{tool: refund.create, args: {forse: {absent: true}}}]}",
        "did you mean 'force'",
    ),
    ("tools: {mode: superset, calls: [{tool: refund.create, args: {not_there: {not: 1}}}]}", "is not one"),
    (
        "tools: {mode: superset, calls: [{tool: refund.create, args: {order_id: {not: 7301}}}]}",
        "`not` of it holds always",
    ),
    ("stop_reason: [finish, 'policy_deny:refund.creat']", "did you mean 'refund.create'"),
    ("stop_reason: [finish, 'tool_timeout:order.lokup']", "did you mean 'order.lookup'"),
    ("stop_reason: [finish, 'model_timeout:gpt-4o-mni']", "did you mean 'gpt-4o-mini'"),
]


def failures(expect: str, trace: Trace | None = None, header: Header = HEADER) -> list[Any]:
    task = parse_task(f"{HEAD}expect:\n  {expect}\n".encode(), Path("golden/a/b.golden.yaml"))
    run = trace or make_trace_of(*RUN, header=header)
    return evaluate(task, run, baseline=None, known_tools=None, header=header)


@pytest.mark.parametrize(("expect", "says"), AT_READING)
def test_a_rule_that_checks_nothing_is_refused_with_its_line(expect: str, says: str) -> None:
    with pytest.raises(TaskError) as caught:
        parse_task(f"{HEAD}expect:\n  {expect}\n".encode(), Path("golden/a/b.golden.yaml"))

    assert says in str(caught.value)
    assert ":4:" in str(caught.value) or ":5:" in str(caught.value)


@pytest.mark.parametrize(("expect", "says"), AT_JUDGING)
def test_a_rule_that_can_match_nothing_fails_with_its_line(expect: str, says: str) -> None:
    found = [f for f in failures(expect) if f.kind == "vacuous"]

    assert found, "the rule passed in silence"
    assert any(says in f.message for f in found), [f.message for f in found]
    assert all(f.where.endswith(":5") for f in found)


@pytest.mark.parametrize(
    "expect",
    [
        "never: [{tool: order.lookup, args: {order_id: '9'}}]",
        "never: [{tool: order.lookup, args: {order_id: 7, mode: fast}, status: invalid_arguments}]",
        "never: [{tool: refund.create, args: {force: true}}]",
        "never: [{tool: refund.create, args: {cents: {between: [500, 900]}}}]",
        "never: [{tool: refund.create, args: {cents: {not: {any: int}}}}]",
        "never: [{tool: refund.create, args: {exact: {order_id: '7301'}}}]",
        "tools: {mode: superset, calls: [{tool: refund.create, args: {force: {absent: true}}}]}",
        "tools: {mode: subset, calls: [{tool: order.lookup, times: {min: 0}}, refund.create]}",
        "output: {regex: '^(?!.*sorry)'}",
        "stop_reason: [finish, 'model_timeout:gpt-4o', 'policy_deny:shell.exec']",
        "output: {json_schema: {type: string, x-note: mine}}",
    ],
)
def test_a_rule_that_may_fail_is_no_empty_one(expect: str) -> None:
    assert [f for f in failures(expect) if f.kind == "vacuous"] == []


def test_an_argument_that_a_call_really_has_is_known(make_trace: Callable[..., Trace]) -> None:
    run = make_trace_of([("order.lookup", {"order": 7301}, {"status": "error"})], header=HEADER)

    (failure,) = failures("never: [{tool: order.lookup, args: {order: 7301}}]", run)

    assert failure.kind == "failed"


IMPORTED = make_header(tools="opaque", source="import")
BANK_RUN: list[Any] = [[("check_policy", {"to": "x"})], [("send_money", {"to": "x"})]]


@pytest.mark.parametrize(
    "expect",
    [
        "never: [send_mony]",
        "before: [[chek_policy, send_money]]",
        "before: [[check_policy, send_moneyy]]",
        "at_most_once: [sendmoney]",
        "counts: {by_tool: {snd_money: 0}}",
    ],
)
def test_a_misspelled_tool_of_an_imported_run_is_told(expect: str) -> None:
    found = failures(expect, make_trace_of(*BANK_RUN, header=IMPORTED), IMPORTED)

    assert [f.kind for f in found] == ["vacuous"]
    assert "did you mean" in found[0].message


def test_a_name_that_nothing_knows_is_told_as_not_checked() -> None:
    task = parse_task(f"{HEAD}expect: {{never: [shell, check_policy]}}".encode(), Path("x"))
    run = make_trace_of(*BANK_RUN, header=IMPORTED)

    facts = task_facts(task, run, baseline=None, known_tools=None, header=IMPORTED)

    assert unchecked_names(task.expect, facts) == ("shell",)


def test_a_rule_of_the_old_or_the_new_name_of_an_argument_is_checked_against_both() -> None:
    renamed = _tool("order.lookup", {"order": TEXT}, ["order"])
    for name in ("order", "order_id"):
        task = parse_task(
            f"{HEAD}expect: {{never: [{{tool: order.lookup, args: {{{name}: '1'}}}}]}}".encode(), Path("x")
        )

        found = evaluate(
            task,
            make_trace_of(*RUN, header=HEADER),
            baseline=None,
            known_tools=None,
            header=HEADER,
            tools=(renamed,),
        )

        assert found == []


def test_an_ignored_path_that_no_call_has_is_told() -> None:
    calls = make_trace_of(
        [("order.lookup", {"order_id": "7301", "at": {"time": 1}})], header=HEADER
    ).tool_calls

    found = list(ignored_nothing(("args.order_id", "at.time", "args.order", "at.tme"), calls))

    assert [f.path[-1] for f in found] == [2, 3]
    assert "did you mean 'args.order_id'" in str(found[0].nearest)
