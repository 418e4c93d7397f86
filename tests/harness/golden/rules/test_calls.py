"""Rules about single calls: what counts as one effect, exact arguments; all of them against brute force."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.golden.rules.fluent import TraceCheck, check
from runtime.core.messages import ToolSchema
from runtime.core.run import ToolDecl
from runtime.core.trace import Trace
from tests.harness.golden.conftest import make_trace_of
from tests.harness.golden.rules.test_evaluation import CREATE, SEARCH, broken, judge

MakeTrace = Callable[..., Trace]


@pytest.mark.parametrize(
    ("turns", "holds"),
    [
        ([[CREATE]], True),
        ([[CREATE], [("ticket.create", {"order": "9"})]], False),
        ([[CREATE], [CREATE]], False),
        ([[("ticket.create", {"order": "8812"}, {"attempts": 3})]], True),
        ([[("ticket.create", {"order": "8812"}, {"attempts": 2, "key": None})]], False),
        ([[CREATE], [("ticket.create", {"order": "8812"}, {"key": "idem_0.0"})]], True),
        ([[CREATE], [("ticket.create", {"order": "8812"}, {"status": "denied"})]], True),
    ],
)
def test_at_most_once_counts_effects_not_attempts_under_a_key(
    make_trace: MakeTrace, turns: Any, holds: bool
) -> None:
    assert (broken({"at_most_once": ["ticket.create"]}, make_trace(*turns)) == []) is holds


def test_at_most_once_counts_a_write_that_is_worded_differently(make_trace: MakeTrace) -> None:
    trace = make_trace(
        [("ticket.create", {"order": "8812", "text": "lost"})],
        [("ticket.create", {"order": "8812", "text": "lost by the carrier"})],
    )

    (failure,) = judge({"at_most_once": ["ticket.create"]}, trace)

    assert failure.expected == "ticket.create at most once, whatever its arguments"
    assert "by: [text]" in str(failure.nearest)
    assert broken({"at_most_once": [{"tool": "ticket.create", "by": "text"}]}, trace) == []
    assert broken({"at_most_once": [{"tool": "ticket.create", "by": ["order"]}]}, trace) == [
        "expect.at_most_once[0]"
    ]


def test_at_most_once_groups_by_the_key_of_the_tool(
    make_trace: MakeTrace, header: Callable[..., Any]
) -> None:
    decl = ToolDecl(schema=ToolSchema(name="ticket.create"), write=True, dedupe_by=("order",))
    of = header(tools=(decl,))
    two_orders = make_trace([CREATE], [("ticket.create", {"order": "9"})], header=of)
    one_order = make_trace([CREATE], [("ticket.create", {"order": "8812", "text": "again"})], header=of)

    assert broken({"at_most_once": ["ticket.create"]}, two_orders, header=of) == []
    (failure,) = judge({"at_most_once": ["ticket.create"]}, one_order, header=of)
    assert failure.expected == "ticket.create at most once for one order"


def test_at_most_once_takes_equal_arguments_of_a_read_as_one(make_trace: MakeTrace) -> None:
    rule = {"at_most_once": ["kb.search"]}

    assert broken(rule, make_trace([SEARCH], [("kb.search", {"q": "9"})])) == []
    assert broken(rule, make_trace([SEARCH], [SEARCH])) == ["expect.at_most_once[0]"]


def test_exact_arguments_refuse_one_that_is_not_named(make_trace: MakeTrace) -> None:
    rule = {
        "tools": {"mode": "exact", "calls": [{"tool": "kb.search", "args": {"exact": {"q": {"any": "str"}}}}]}
    }

    assert broken(rule, make_trace([("kb.search", {"q": "a"})])) == []
    (*_, extra) = judge(rule, make_trace([("kb.search", {"q": "a", "force": True})]))
    assert "force" in extra.message
    assert broken(rule, make_trace([("kb.search", {})])) != []


CALL = st.tuples(
    st.sampled_from(["kb.search", "ticket.create", "mail.send"]),
    st.fixed_dictionaries({"a": st.integers(0, 1)}, optional={"b": st.integers(0, 1)}),
    st.fixed_dictionaries(
        {"status": st.sampled_from(["ok", "ok", "error", "timeout", "denied", "not_started"])},
        optional={"attempts": st.integers(1, 2), "key": st.sampled_from([None, "k1", "k2"])},
    ),
)
TURNS = st.lists(st.lists(CALL, min_size=1, max_size=3), max_size=4)
SPEC = st.fixed_dictionaries(
    {"tool": st.sampled_from(["kb.search", "ticket.create", "mail.send"])},
    optional={
        "args": st.dictionaries(st.sampled_from("ab"), st.integers(0, 1), min_size=1),
        "status": st.lists(st.sampled_from(["ok", "error", "denied"]), min_size=1, unique=True),
    },
)
WRITES = frozenset({"ticket.create"})


def fits(spec: dict[str, Any], call: Any) -> bool:
    name, arguments, options = call
    return (
        name == spec["tool"]
        and all(arguments.get(k) == v for k, v in spec.get("args", {}).items())
        and options["status"] in spec.get("status", [options["status"]])
    )


def started(call: Any) -> bool:
    return call[2]["status"] not in {"denied", "not_started"}


def no_failure(checked: TraceCheck) -> bool:
    checked.close()
    return checked.failures == []


def flat(turns: Any) -> list[tuple[int, Any]]:
    return [(step, call) for step, turn in enumerate(turns) for call in turn]


@given(TURNS, SPEC)
def test_never_agrees_with_brute_force(turns: Any, spec: Any) -> None:
    holds = not any(fits(spec, call) for _, call in flat(turns))

    assert no_failure(check(make_trace_of(*turns)).never(spec)) is holds


@given(TURNS, SPEC, SPEC)
def test_before_agrees_with_brute_force(turns: Any, first: Any, second: Any) -> None:
    steps = [step for step, call in flat(turns) if started(call) and fits(second, call)]
    holds = not steps or any(
        started(call) and fits(first, call) and step < min(steps) for step, call in flat(turns)
    )

    assert no_failure(check(make_trace_of(*turns)).before(first, second)) is holds


@given(TURNS, st.lists(SPEC, min_size=2, max_size=3))
def test_same_turn_agrees_with_brute_force(turns: Any, group: Any) -> None:
    holds = any(
        all(fits(spec, turn[i]) for spec, i in zip(group, pick, strict=True))
        for turn in turns
        for pick in itertools.permutations(range(len(turn)), len(group))
    )

    assert no_failure(check(make_trace_of(*turns)).same_turn(*group)) is holds


@given(TURNS, SPEC, st.none() | st.sampled_from([["a"], ["b"], ["a", "b"]]))
def test_at_most_once_agrees_with_brute_force(turns: Any, spec: Any, by: Any) -> None:
    effects: dict[Any, list[Any]] = {}
    for number, (step, (name, arguments, options)) in enumerate(flat(turns)):
        if not started((name, arguments, options)) or not fits(spec, (name, arguments, options)):
            continue
        if by is not None:
            group = tuple(arguments.get(k) for k in by)
        else:
            group = () if name in WRITES else tuple(sorted(arguments.items()))
        key = options.get("key", f"own{step}.{number}" if name in WRITES else None)
        attempts = options.get("attempts", 1)
        effects.setdefault(group, []).extend(
            [key] if key is not None else [object() for _ in range(attempts)]
        )
    holds = all(len(set(found)) <= 1 for found in effects.values())

    rule = spec if by is None else {**spec, "by": by}
    assert no_failure(check(make_trace_of(*turns)).at_most_once(rule)) is holds


@given(TURNS, SPEC, SPEC, st.sampled_from(["exact", "in_order", "any_order", "subset", "superset"]))
def test_a_rule_in_a_file_and_in_python_says_the_same(turns: Any, one: Any, other: Any, mode: Any) -> None:
    trace = make_trace_of(*turns)
    expect = {
        "tools": {"mode": mode, "calls": [one, other]},
        "never": [one],
        "before": [[one, other]],
        "at_most_once": [other],
        "counts": {"tool_calls": {"max": 3}, "denials": 0},
    }

    written = judge(expect, trace)
    said = (
        check(trace)
        .tools(mode, one, other)
        .never(one)
        .before(one, other)
        .at_most_once(other)
        .counts(tool_calls={"max": 3}, denials=0)
    )

    texts = [(f.expected, f.actual, f.nearest) for f in written]
    assert sorted(map(repr, texts)) == sorted(repr((f.expected, f.actual, f.nearest)) for f in said.failures)
    said.close()
