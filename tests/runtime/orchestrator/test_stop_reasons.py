"""Each stop reason that the flow and its driver can produce ends a run here, and End is performed once."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.core.effects import Admission, AnyOutcome, CallTool, InputReply, SingleEffect
from runtime.core.messages import ModelReply, RefusalPart, TextPart
from runtime.core.money import Rate
from runtime.core.policy import Budget, Policy
from runtime.core.run import Header
from runtime.core.stop import StopKind, parse_stop
from tests.support.playbook import Playbook, asks, failed, header

Case = tuple[str, Header, Playbook]


class Broken(Playbook):
    """Fails as our own bug would, in the middle of a run."""

    def perform(self, effect: SingleEffect) -> AnyOutcome:
        if isinstance(effect, CallTool):
            self.seen.append(effect)
            raise KeyError("a bug")
        return super().perform(effect)


def refusing(name: str, cause: str) -> Playbook:
    return Playbook([asks("look")], admit=lambda e: Admission(granted=e.name != name, cause=cause))


def failing(tool: str, kind: str, **fields: Any) -> Playbook:
    return Playbook([asks(tool)], tools={tool: [failed(kind, **fields)]})


def cases() -> list[Case]:
    plain = header()
    priced = header(
        budget=Budget(max_usd="0.00000001"),
        parameters={"max_tokens": 100},
        rates={"m1": Rate(input=10**6, output=10**6)},
    )
    approve = header(policy=Policy(allow="any", approve=("pay",), on_denied="stop"))
    refusal = ModelReply(parts=(RefusalPart("no"),), finish_reason="stop")
    cut = ModelReply(parts=(TextPart("a"),), finish_reason="length")
    return [
        ("finish", plain, Playbook(["done"])),
        ("max_steps", header(budget=Budget(max_steps=1)), Playbook([asks("look")])),
        ("max_seconds", header(budget=Budget(max_seconds=0.5)), Playbook([asks("look")])),
        ("max_usd", priced, Playbook()),
        ("max_tokens", header(budget=Budget(max_tokens=10), parameters={"max_tokens": 100}), Playbook()),
        ("max_tool_calls", header(budget=Budget(max_tool_calls=0)), Playbook([asks("look")])),
        ("policy_deny:pay", header(policy=Policy(allow=(), on_denied="stop")), Playbook([asks("pay")])),
        ("approval_denied:pay", approve, Playbook([asks("pay")], approvals={"pay": "denied"})),
        ("approval_timeout", approve, Playbook([asks("pay")], approvals={"pay": "timeout"})),
        ("tool_timeout:look", plain, failing("look", "timeout")),
        ("tool_error_exhausted:look", plain, failing("look", "error")),
        ("tool_unhealthy:look", plain, refusing("look", "breaker")),
        ("tool_rate_limited:look", plain, refusing("look", "rate")),
        ("tool_disabled:look", plain, refusing("look", "disabled")),
        ("tenant_disabled", plain, refusing("look", "tenant")),
        ("loop_detected", plain, Playbook([asks("look") for _ in range(9)])),
        ("operator_kill", plain, refusing("m1", "kill")),
        ("model_timeout:m1", plain, Playbook([failed("timeout")])),
        ("model_error_exhausted:m1", plain, Playbook([failed()])),
        ("model_unhealthy:m1", plain, refusing("m1", "breaker")),
        ("model_refused", plain, Playbook([refusal])),
        ("model_rate_limited:m1", plain, refusing("m1", "rate")),
        ("output_truncated", plain, Playbook([cut])),
        ("invalid_action", header(policy=Policy(allow="any", on_unknown="stop")), Playbook([asks("nope")])),
        ("in_doubt:pay", plain, failing("pay", "timeout", retryable=True)),
        ("concurrency_limited:look", plain, refusing("look", "concurrency")),
        ("control_unavailable", plain, refusing("look", "unavailable")),
        ("cancelled", plain, failing("look", "interrupted", cause="cancelled")),
        ("internal_error", plain, Broken([asks("look")])),
        ("open", header(inputs="recorded"), Playbook(["a"], inputs=[InputReply(end="open")])),
    ]


@pytest.mark.parametrize(("reason", "of", "book"), cases(), ids=[c[0] for c in cases()])
def test_run_ends_with_exactly_this_reason(reason: str, of: Header, book: Playbook) -> None:
    finished = book.run(of)

    assert finished.end.stop_reason == reason
    assert finished.trace.stop_reason == reason
    assert [e.stop_reason for e in book.ends] == [reason]
    assert isinstance(book.seen[-1], type(book.ends[0]))
    assert finished.end.trace_hash == finished.trace.trace_hash


def test_the_table_holds_each_reason_but_the_one_that_recovery_sets() -> None:
    covered = {parse_stop(reason).kind for reason, _, _ in cases()}

    assert set(StopKind) - covered == {StopKind.CRASHED}
