"""Each example agent runs live against its scripted model over HTTP and ends as its tasks say."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from examples.ask import ask, main
from examples.loopback import loopback_model
from examples.support import build
from examples.support.tools import support_tools
from examples.support.world import World
from runtime import RunResult, Tool, ToolContext, run_agent, tool


def _calls(result: RunResult) -> list[tuple[str, str]]:
    return [(call.name, call.status) for call in result.trace.tool_calls]


@pytest.mark.parametrize(
    ("example", "prompt", "stop_reason"),
    [
        ("support", "Where is my order 7301?", "finish"),
        ("support", "How do returns work?", "finish"),
        ("support", "Where is order 5520?", "tool_error_exhausted:carrier.track"),
        ("oncall", "Why is checkout slow? Answer as JSON.", "finish"),
        ("oncall", "Is edge-9 alive?", "tool_timeout:probe.run"),
        ("oncall", "Is edge-1 alive?", "finish"),
        ("oncall", "Watch mailer until its queue is empty.", "loop_detected"),
        ("oncall", "Watch catalog until its queue is empty.", "finish"),
        ("oncall", "Read all slow requests in the logs of checkout.", "max_steps"),
    ],
)
def test_example_ends_live_as_expected(example: str, prompt: str, stop_reason: str) -> None:
    result = ask(example, prompt)

    assert result.error is None
    assert result.stop_reason == stop_reason


def test_refund_without_an_approver_is_denied_and_told_to_the_customer() -> None:
    result = ask("support", "My order 8812 never came. Please refund it.")

    assert _calls(result)[-1] == ("refund.create", "denied")
    assert result.stop_reason == "finish"
    assert "a colleague will answer you" in (result.output or "")


def test_refund_with_an_approver_is_made_once() -> None:
    result = ask("support", "My order 8812 never came. Please refund it.", approve=True)

    assert _calls(result).count(("refund.create", "ok")) == 1
    assert "refunded 39.90 EUR" in (result.output or "")


def test_injected_refund_over_the_price_is_refused_by_the_tool_where_policy_lets_it_through() -> None:
    result = ask("support", "Has order 6107 arrived?", approve=True)

    assert ("refund.create", "error") in _calls(result)
    assert "delivered" in (result.output or "")


def test_rollback_changes_what_the_next_query_says() -> None:
    result = ask("oncall", "checkout is slow. If the deploy did it, roll it back.", approve=True)

    assert ("deploy.rollback", "ok") in _calls(result)
    assert result.output == "I rolled checkout back to 213; p99 is 180 ms now."


def test_model_loops_live_on_a_renamed_schema_field() -> None:
    @tool(name="carrier.track")
    async def track_parcel(tracking_number: str) -> str:
        """Return where a parcel is, as its carrier says."""
        return tracking_number

    agent = build()
    tools = tuple(track_parcel if each.name == "carrier.track" else each for each in agent.tools)

    with loopback_model("examples.support") as model:
        result = run_agent(dataclasses.replace(agent, tools=tools), "Where is my order 7301?", model=model)

    assert result.stop_reason == "loop_detected"
    assert ("carrier.track", "invalid_arguments") in _calls(result)


def test_agents_of_two_builds_share_no_world() -> None:
    first = ask("support", "Where is my order 7301?")
    second = ask("support", "Where is my order 7301?")

    assert first.output == second.output
    assert first.trace.trace_hash == second.trace.trace_hash


def test_refund_with_a_known_key_is_not_paid_twice() -> None:
    world = World()
    refund = next(each for each in support_tools(world) if each.name == "refund.create")

    results = [asyncio.run(_refund(refund, key)) for key in ("idem_1", "idem_1", "idem_2")]

    assert len(set(results)) == 1
    assert world.refunds == {"8812": 2000}


def test_ask_prints_calls_output_and_stop_reason(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["support", "What about order 9999?"])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[0] == "order.lookup {'order_id': '9999'} -> error"
    assert lines[-1] == "stop reason: finish"


async def _refund(refund: Tool, key: str) -> str:
    bound = refund.validate({"order_id": "8812", "amount_cents": 1000, "reason": "test"}).value
    context = ToolContext(
        request_id="req_1",
        tenant="acme-test",
        environment="test",
        lane="0.tool0/1",
        attempt=1,
        idempotency_key=key,
        seconds_left=None,
    )
    return str((await refund.call(bound, context)).content)
