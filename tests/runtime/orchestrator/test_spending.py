"""Dollar and token limits: clamped, reserved, never passed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.canonical import canonical_bytes
from runtime.core.effects import AnyOutcome, CallModel, Outcome, SingleEffect
from runtime.core.messages import Message, ModelReply, Part, TextPart, ToolCallPart
from runtime.core.money import Rate, Usage, exact_usd
from runtime.core.policy import Budget, Policy, RetryPolicy
from runtime.core.run import Header
from tests.support.playbook import Playbook, failed, header

RATE = Rate(input=1_000_000, output=4_000_000, cache_read=100_000)


class Provider(Playbook):
    """Counts tokens as a real provider does: each message has its size, at most a token a byte.

    A reply's size as input is what was reported as its output. Draws decide everything that is left open.
    """

    def __init__(self, data: st.DataObject, rate: Rate = RATE) -> None:
        super().__init__(tools=lambda _: "x" * data.draw(st.integers(0, 300)))
        self._data = data
        self._rate = rate
        self._sizes: dict[int, tuple[Message, int]] = {}
        self._share = data.draw(st.sampled_from([0.05, 0.25, 1.0]))
        self._last_output = 0
        self.spent_nanos = 0
        self.spent_tokens = 0

    def _size(self, message: Message) -> int:
        known = self._sizes.get(id(message))
        if known is None:
            size = (
                self._last_output if message.role == "assistant" else self._tokens(canonical_bytes(message))
            )
            known = self._sizes[id(message)] = (message, size)
        return known[1]

    def _tokens(self, text: bytes) -> int:
        return int(len(text) * self._share)

    def perform(self, effect: SingleEffect) -> AnyOutcome:
        return self._bill(effect) if isinstance(effect, CallModel) else super().perform(effect)

    def _bill(self, effect: CallModel) -> AnyOutcome:
        self.seen.append(effect)
        draw = self._data.draw
        request, limit = effect.request, effect.limits.max_output_tokens
        assert limit is not None
        assert limit >= 1
        size = sum(map(self._size, request.messages)) + self._tokens(canonical_bytes(request.tools))
        output = draw(st.integers(0, limit))
        usage = Usage(input_tokens=size, output_tokens=output, cache_read_tokens=draw(st.integers(0, size)))
        cost = self._rate.cost(usage)
        assert cost is not None
        self._last_output = output
        self.spent_nanos += cost
        self.spent_tokens += size + output
        happens = draw(st.sampled_from(["answer", "answer", "lost", "untold"]))
        if happens == "lost":
            return Outcome(failure=failed("timeout", retryable=True), at=self.now)
        part: Part = ToolCallPart(id="", name="look", arguments={"n": len(self.seen)})
        told = happens == "answer"
        reply = ModelReply(
            parts=(part,),
            finish_reason="tool_call",
            usage=usage if told else None,
            cost_nanousd=cost if told else None,
        )
        return Outcome(reply, at=self.now)


def metered(max_output: int, **budget: Any) -> Header:
    return header(
        budget=Budget(max_steps=12, **budget),
        parameters={"max_completion_tokens": max_output},
        rates={"m1": RATE},
        policy=Policy(loop=None),
        model_retry=RetryPolicy(attempts=3),
    )


@given(st.data(), st.integers(0, 60_000), st.integers(1, 400))
def test_a_run_never_costs_more_than_its_dollar_limit(data: st.DataObject, cap: int, max_output: int) -> None:
    provider = Provider(data)

    finished = provider.run(metered(max_output, max_usd=exact_usd(cap)))

    assert provider.spent_nanos <= cap
    assert finished.error is None
    assert finished.end.stop_reason in {"max_usd", "max_steps", "model_timeout:m1"}


@given(st.data(), st.integers(0, 20_000), st.integers(1, 400))
def test_a_run_never_uses_more_than_its_token_limit(data: st.DataObject, cap: int, max_output: int) -> None:
    provider = Provider(data)

    finished = provider.run(metered(max_output, max_tokens=cap))

    assert provider.spent_tokens <= cap
    assert finished.error is None
    assert finished.end.stop_reason in {"max_tokens", "max_steps", "model_timeout:m1"}


def test_a_provider_that_tells_no_usage_is_charged_the_worst_case() -> None:
    used: list[int] = []

    class Untold(Playbook):
        def perform(self, effect: SingleEffect) -> AnyOutcome:
            if not isinstance(effect, CallModel):
                return super().perform(effect)
            self.seen.append(effect)
            limit = effect.limits.max_output_tokens or 0
            sent = sum(len(canonical_bytes(m)) for m in effect.request.messages)
            used.append(sent + len(canonical_bytes(effect.request.tools)) + limit)
            return Outcome(ModelReply(parts=(ToolCallPart(id="", name="look", arguments={}),)), at=0.0)

    book = Untold()
    finished = book.run(metered(900, max_tokens=6_000))

    assert finished.end.stop_reason == "max_tokens"
    assert len(used) >= 2
    assert sum(used) <= 6_000


def test_the_output_limit_of_a_request_is_clamped_to_what_is_affordable() -> None:
    cheap, dear = Playbook(["done"]), Playbook(["done"])

    dear.run(metered(1_000, max_usd=1))
    cheap.run(metered(1_000, max_usd="0.000003"))

    assert dear.requests[0].limits.max_output_tokens == 1_000
    clamped = cheap.requests[0].limits
    assert clamped.max_output_tokens is not None
    assert 16 <= clamped.max_output_tokens < 1_000
    assert clamped.reserved_nanousd is not None
    assert 3_000 - 4 < clamped.reserved_nanousd <= 3_000


def test_the_clamp_is_no_part_of_what_the_agent_asks() -> None:
    book = Playbook(["done"])

    book.run(metered(1_000, max_usd="0.000003"))

    assert book.requests[0].request.parameters == {"max_completion_tokens": 1_000}


@pytest.mark.parametrize(
    ("budget", "reason"), [({"max_usd": "0.0000001"}, "max_usd"), ({"max_tokens": 50}, "max_tokens")]
)
def test_a_run_stops_before_a_call_that_could_buy_nothing_useful(budget: dict[str, int], reason: str) -> None:
    book = Playbook(["done"])

    finished = book.run(metered(1_000, **budget))

    assert finished.end.stop_reason == reason
    assert book.requests == []
    assert finished.end.totals.cost_nanousd is None


def test_a_limit_never_buys_another_model_call() -> None:
    usage = Usage(input_tokens=10, output_tokens=700)
    dear = ModelReply(
        parts=(ToolCallPart(id="a", name="look", arguments={}),),
        finish_reason="tool_call",
        usage=usage,
        cost_nanousd=RATE.cost(usage),
    )
    book = Playbook([dear, dear])

    finished = book.run(metered(1_000, max_usd="0.000003"))

    assert finished.end.stop_reason == "max_usd"
    assert len(book.requests) == 1
    assert finished.end.totals.cost_nanousd == 2_810


def test_without_limits_nothing_is_clamped_or_reserved() -> None:
    book = Playbook([ModelReply(parts=(TextPart("done"),), finish_reason="stop")])

    book.run()

    limits = book.requests[0].limits
    assert (limits.max_output_tokens, limits.reserved_nanousd, limits.deadline_s) == (None, None, None)


def test_a_fallback_is_paid_at_its_own_price() -> None:
    book = Playbook([failed(), "done"])
    dear = Rate(input=100_000_000, output=400_000_000)
    of = header(
        models=("m1", "m2"),
        rates={"m1": RATE, "m2": dear},
        budget=Budget(max_usd="0.00002"),
        parameters={"max_completion_tokens": 100},
    )

    finished = book.run(of)

    assert finished.end.stop_reason == "max_usd"
    assert [e.request.model for e in book.requests] == ["m1"]
