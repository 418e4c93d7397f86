"""The fold: order independence, laws of the totals, loops."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.canonical import fingerprint
from runtime.core.effects import (
    ApprovalAnswer,
    AskApproval,
    CallModel,
    CallStatus,
    CallTool,
    Denial,
    End,
    Failure,
    FailureKind,
    Input,
    InputReply,
    Outcome,
    Refuse,
    ToolResult,
)
from runtime.core.fold import Pair, failure_status, fold_trace
from runtime.core.lanes import lane
from runtime.core.messages import ModelReply, ModelRequest, TextPart
from runtime.core.money import Usage
from runtime.core.totals import count_loops
from runtime.core.trace import ToolStep, Trace
from tests.support.playbook import header

END = End(stop_reason="finish", output="done")
seconds = st.none() | st.integers(0, 90).map(float)
counts = st.none() | st.integers(0, 99)


@st.composite
def model_pairs(draw: st.DrawFn, step: int) -> list[Pair]:
    """Draw the attempts of one model decision; the last may be answered."""
    pairs: list[Pair] = []
    for attempt in range(1, draw(st.integers(1, 3)) + 1):
        usage = draw(st.none() | st.builds(Usage, input_tokens=counts, output_tokens=counts))
        reply = ModelReply(
            parts=(TextPart(draw(st.text(max_size=3))),), usage=usage, cost_nanousd=draw(counts)
        )
        failure = Failure(kind=draw(st.sampled_from(FailureKind)), message="m")
        effect = CallModel(
            lane=lane(step, "model", attempt=attempt), request=ModelRequest(model="m", messages=())
        )
        at, took = draw(seconds), draw(seconds)
        answered = draw(st.booleans())
        pairs.append((effect, Outcome(reply if answered else None, None if answered else failure, at, took)))
    return pairs


@st.composite
def call_pairs(draw: st.DrawFn, step: int, index: int) -> list[Pair]:
    """Draw the attempts of one tool call, or its refusal."""
    arguments = {"n": draw(st.integers(0, 1))}
    known: dict[str, Any] = {
        "call_id": f"id_{step}_{index}",
        "name": draw(st.sampled_from(["look", "pay"])),
        "arguments": arguments,
        "args_hash": fingerprint(arguments),
        "write": draw(st.booleans()),
    }
    if draw(st.booleans()):
        refusals: list[CallStatus] = ["denied", "unknown_tool", "not_started"]
        status = draw(st.sampled_from(refusals))
        refuse = Refuse(
            lane=lane(step, "tool", index=index), status=status, message="no", rule="policy", **known
        )
        return [(refuse, Outcome(at=draw(seconds)))]
    pairs: list[Pair] = []
    for attempt in range(1, draw(st.integers(1, 3)) + 1):
        effect = CallTool(lane=lane(step, "tool", index=index, attempt=attempt), **known)
        result = ToolResult(content=draw(st.text(max_size=3)), status=draw(st.sampled_from(["ok", "error"])))
        failure = Failure(kind=draw(st.sampled_from(FailureKind)), message="m")
        at, took, answered = draw(seconds), draw(seconds), draw(st.booleans())
        pairs.append((effect, Outcome(result if answered else None, None if answered else failure, at, took)))
    return pairs


@st.composite
def run_pairs(draw: st.DrawFn) -> list[Pair]:
    """Draw the pairs of a run in order of lanes."""
    pairs: list[Pair] = []
    for step in range(draw(st.integers(0, 3))):
        pairs += draw(model_pairs(step))
        for index in range(draw(st.integers(0, 3))):
            pairs += draw(call_pairs(step, index))
    return pairs


@given(run_pairs(), st.randoms())
def test_order_of_completion_never_changes_the_trace(pairs: list[Pair], random: Any) -> None:
    expected = fold_trace(header(), pairs, END)
    shuffled = list(pairs)
    random.shuffle(shuffled)

    assert fold_trace(header(), shuffled, END) == expected


@given(run_pairs())
def test_totals_obey_their_laws(pairs: list[Pair]) -> None:
    trace = fold_trace(header(), pairs, END)
    totals, calls, models = trace.totals, trace.tool_calls, trace.model_calls
    started = sum(isinstance(e, CallTool) for e, _ in pairs)

    assert totals.steps == len(models)
    assert totals.model_calls == sum(isinstance(e, CallModel) for e, _ in pairs)
    assert totals.tool_calls == len(calls) == sum(totals.tool_calls_by_name.values())
    assert totals.tool_executions == started
    assert totals.retries == (totals.model_calls - totals.steps) + started - sum(
        c.attempts > 0 for c in calls
    )
    assert totals.denials == len(trace.denials) == sum(c.status == "denied" for c in calls)
    assert totals.in_doubt == sum(c.status == "in_doubt" for c in calls)
    assert totals.errors <= totals.tool_calls + totals.steps
    assert totals.duration_s == max((o.at for _, o in pairs if o.at is not None), default=None)


@given(run_pairs())
def test_missing_usage_or_price_is_unknown_and_never_0(pairs: list[Pair]) -> None:
    totals = fold_trace(header(), pairs, END).totals
    replies = [o.value for e, o in pairs if isinstance(e, CallModel) and o.value is not None]
    unpriced = any(r.cost_nanousd is None for r in replies)
    unread = any(r.usage is None or r.usage.input_tokens is None for r in replies)
    answered = {o.value is not None for e, o in pairs if isinstance(e, CallModel)}

    assert (totals.cost_nanousd is None) >= (unpriced or True not in answered)
    assert (totals.input_tokens is None) >= (unread or True not in answered)
    if totals.total_tokens is not None:
        assert totals.total_tokens == (totals.input_tokens or 0) + (totals.output_tokens or 0)


def steps_of(*names: str) -> list[ToolStep]:
    return [ToolStep(id="", lane="", name=n[0], arguments={}, status="ok", args_hash=n) for n in names]


@pytest.mark.parametrize(
    ("names", "loops"),
    [
        ((), 0),
        (("a", "a"), 0),
        (("a", "a", "a"), 1),
        (("a",) * 9, 1),
        (("a", "a", "b", "a"), 0),
        (("a1", "a2", "a1"), 0),
        (("a",) * 3 + ("b",) * 4, 2),
        (("a",) * 3 + ("b",) + ("a",) * 3, 2),
    ],
)
def test_a_loop_is_a_stretch_of_at_least_three_equal_calls(names: tuple[str, ...], loops: int) -> None:
    assert count_loops(steps_of(*names)) == loops


@pytest.mark.parametrize(
    ("kind", "write", "status"),
    [
        ("timeout", False, "timeout"),
        ("error", True, "error"),
        ("rate_limited", False, "error"),
        ("interrupted", False, "interrupted"),
        ("interrupted", True, "in_doubt"),
        ("in_doubt", False, "in_doubt"),
    ],
)
def test_status_of_a_failed_call(kind: str, write: bool, status: str) -> None:
    assert failure_status(Failure(kind=FailureKind(kind), message=""), write=write) == status


def fold(*pairs: Pair) -> Trace:
    return fold_trace(header(), pairs, END)


def test_denials_of_a_recorded_guard_count_as_denials() -> None:
    told = InputReply(denials=(Denial(tool=None, rule="recorded", message="no", lane="0.input/1", step=0),))
    arguments: dict[str, Any] = {}
    call = CallTool(lane="0.tool0/1", call_id="a", name="look", arguments=arguments, args_hash="h")
    refused = Outcome(ToolResult(content="no", status="denied", error="not allowed"))

    trace = fold((Input(lane="0.input/1"), Outcome(told)), (call, refused))

    assert [(d.tool, d.rule, d.message) for d in trace.denials] == [
        (None, "recorded", "no"),
        ("look", "recorded", "not allowed"),
    ]


def test_an_approval_keeps_its_answer_and_the_arguments_it_was_for() -> None:
    asked = AskApproval(
        lane="0.approval0/1",
        call_id="a",
        name="pay",
        arguments={},
        args_hash="h",
        policy_hash="p",
        timeout_s=1,
    )

    trace = fold((asked, Outcome(ApprovalAnswer(decision="denied", by="ann", reason="too much"))))

    entry = trace.approvals[0]
    assert (entry.tool, entry.decision, entry.by, entry.reason, entry.args_hash) == (
        "pay",
        "denied",
        "ann",
        "too much",
        "h",
    )
    assert trace.totals.approvals == 1


def test_trace_hash_holds_no_times_ids_or_keys() -> None:
    def run(call_id: str, at: float, cost: int) -> Trace:
        reply = ModelReply(parts=(TextPart("x"),), response_id=call_id, cost_nanousd=cost)
        model = CallModel(lane="0.model/1", request=ModelRequest(model="m", messages=()))
        call = CallTool(lane="0.tool0/1", call_id=call_id, name="look", arguments={}, args_hash="h")
        return fold((model, Outcome(reply, at=at)), (call, Outcome(ToolResult(content="r"), at=at)))

    assert run("a", 1.0, 5).trace_hash == run("b", 2.0, 6).trace_hash
    assert run("a", 1.0, 5) != run("b", 2.0, 6)


@pytest.mark.parametrize(
    ("write", "stop_reason", "source", "status", "in_doubt"),
    [
        (True, "crashed", "prod", "in_doubt", 1),
        (False, "crashed", "prod", "interrupted", 0),
        (True, "crashed", "import", "interrupted", 0),
        (True, "crashed", "lift", "interrupted", 0),
        (True, "finish", "prod", "interrupted", 0),
    ],
)
def test_a_write_that_a_crash_cut_off_is_in_doubt(
    write: bool, stop_reason: str, source: Any, status: str, in_doubt: int
) -> None:
    call = CallTool(lane="0.tool0/1", call_id="c", name="pay", arguments={}, args_hash="a", write=write)

    trace = fold_trace(header(source=source), [(call, Outcome())], End(stop_reason=stop_reason))

    assert [c.status for c in trace.tool_calls] == [status]
    assert trace.totals.in_doubt == in_doubt
