"""Denials, unknown tools, invalid arguments and loops: told or stopped, with a cap."""

from __future__ import annotations

import pytest

from runtime.core.effects import ToolResult
from runtime.core.policy import LoopLimits, Policy
from runtime.testing.scripted import Turn
from tests.support.playbook import Playbook, ToolAnswer, asks, failed, header


def numbered(name: str, count: int) -> list[Turn]:
    """Return replies that each ask for a tool with other arguments."""
    return [asks(name, n=n) for n in range(count)]


def told(book: Playbook) -> list[str]:
    return [p.response for m in book.last_told() for p in m.parts if hasattr(p, "response")]


def test_a_denial_is_told_and_counted_and_the_other_calls_go_on() -> None:
    book = Playbook([asks("pay", "look"), "done"])

    finished = book.run(header(policy=Policy(allow=("look",))))

    assert finished.end.stop_reason == "finish"
    assert book.started == ["look"]
    assert told(book) == ["Tool 'pay' is not allowed by the policy of this run.", "look ok"]
    assert finished.end.totals.denials == 1
    assert [(d.step, d.tool, d.rule) for d in finished.trace.denials] == [(0, "pay", "policy")]


@pytest.mark.parametrize(
    ("name", "policy", "reason"),
    [
        ("pay", Policy(allow=("look",), max_refusals=2), "policy_deny:pay"),
        ("nope", Policy(allow="any", max_refusals=2), "invalid_action"),
    ],
)
def test_refusals_are_told_up_to_the_cap_then_the_run_stops(name: str, policy: Policy, reason: str) -> None:
    book = Playbook(numbered(name, 9))

    finished = book.run(header(policy=policy))

    assert finished.end.stop_reason == reason
    assert len(book.requests) == 3
    assert len(book.refused) == 3


@pytest.mark.parametrize(
    ("name", "arguments", "policy", "reason", "status"),
    [
        ("pay", {}, Policy(allow=(), on_denied="stop"), "policy_deny:pay", "denied"),
        ("nope", {}, Policy(allow="any", on_unknown="stop"), "invalid_action", "unknown_tool"),
        ("look", {"n": "x"}, Policy(allow="any", on_invalid="stop"), "invalid_action", "invalid_arguments"),
    ],
)
def test_policy_may_stop_at_the_first_refusal(
    name: str, arguments: dict[str, str], policy: Policy, reason: str, status: str
) -> None:
    book = Playbook([asks(name, **arguments)])

    finished = book.run(header(policy=policy))

    assert finished.end.stop_reason == reason
    assert [c.status for c in finished.trace.tool_calls] == [status]


def test_invalid_arguments_are_told_with_path_and_rule() -> None:
    book = Playbook([asks("look", n="many", extra=1), asks("look", n=1), "done"])

    finished = book.run()

    assert finished.end.stop_reason == "finish"
    first = finished.trace.tool_calls[0]
    assert first.status == "invalid_arguments"
    assert first.result == "Invalid arguments for tool 'look':\n- extra: not allowed\n- n: expected integer"
    assert book.started == ["look"]


def test_malformed_arguments_are_told_too() -> None:
    from runtime.core.messages import ModelReply, ToolCallPart

    broken = ModelReply(
        parts=(ToolCallPart(id="a", name="look", arguments='{"n": '),), finish_reason="tool_call"
    )
    book = Playbook([broken, "done"])

    finished = book.run()

    assert told(book) == ["Invalid arguments for tool 'look':\n- arguments: expected a JSON object"]
    assert finished.trace.tool_calls[0].arguments == '{"n": '


def test_a_model_that_keeps_sending_other_invalid_arguments_ends_with_invalid_action() -> None:
    book = Playbook([asks("look", n=str(n)) for n in range(20)])

    finished = book.run(header(policy=Policy(allow="any", max_refusals=4)))

    assert finished.end.stop_reason == "invalid_action"
    assert len(book.requests) == 5
    assert book.started == []


def test_a_model_that_keeps_sending_the_same_invalid_arguments_ends_in_a_loop() -> None:
    book = Playbook([asks("look", n="x") for _ in range(20)])

    finished = book.run()

    assert finished.end.stop_reason == "loop_detected"
    assert len(book.requests) == 4
    assert finished.end.totals.loops == 1


def test_the_call_that_would_pass_the_loop_limit_is_not_started() -> None:
    book = Playbook([asks("look", n=1) for _ in range(20)])

    finished = book.run(header(policy=Policy(allow="any", loop=LoopLimits(same_call=2))))

    assert finished.end.stop_reason == "loop_detected"
    assert book.started == ["look", "look"]
    assert book.refused == [("look", "not_started")]


def test_a_cycle_of_calls_is_a_loop() -> None:
    book = Playbook([asks(("look", "find")[n % 2]) for n in range(30)])

    finished = book.run(header(policy=Policy(allow="any", loop=LoopLimits(cycle=2))))

    assert finished.end.stop_reason == "loop_detected"
    assert book.started == ["look", "find"] * 2


def test_the_same_error_of_a_tool_again_and_again_is_a_loop() -> None:
    answer: list[ToolAnswer] = [ToolResult(content="no such page", status="error", error="no such page")]
    book = Playbook(numbered("look", 20), tools={"look": answer})

    finished = book.run(header(policy=Policy(allow="any", loop=LoopLimits(same_error=3))))

    assert finished.end.stop_reason == "loop_detected"
    assert book.started == ["look"] * 4
    assert finished.end.totals.errors == 4


def test_the_loop_guard_can_be_switched_off() -> None:
    book = Playbook([asks("look", n=1) for _ in range(10)] + ["done"])

    assert book.run(header(policy=Policy(allow="any", loop=None))).end.stop_reason == "finish"


def test_a_tool_s_own_error_is_told_and_never_repeated() -> None:
    book = Playbook(
        [asks("look"), "done"], tools={"look": [ToolResult(content="gone", status="error", error="gone")]}
    )

    finished = book.run()

    assert finished.end.stop_reason == "finish"
    assert told(book) == ["gone"]
    assert (finished.end.totals.errors, finished.end.totals.retries) == (1, 0)


def test_spent_retries_are_told_where_policy_says_so_up_to_the_cap() -> None:
    book = Playbook(numbered("look", 9), tools={"look": [failed()]})

    finished = book.run(header(policy=Policy(allow="any", on_failure="tell", max_refusals=2)))

    assert finished.end.stop_reason == "tool_error_exhausted:look"
    assert book.started == ["look"] * 3
